import { posix } from 'node:path';
import type { Tree, TreeEntry } from '@cluster-image/oci';

export type FileEntry = TreeEntry & { readonly type: 'file' };

/** More links after one another than anybody means. */
const mostHops = 16;

/** The file at a path, through links that stay inside the tree; undefined where there is none. */
export async function followed(tree: Tree, path: string): Promise<FileEntry | undefined> {
  const found = await target(tree, path);
  return found?.type === 'file' ? found : undefined;
}

/** What is at a path in the end, through links that stay inside the tree. */
export async function target(tree: Tree, path: string): Promise<TreeEntry | undefined> {
  let at: string | undefined = path;
  for (let hops = 0; at !== undefined && hops < mostHops; hops++) {
    const found: TreeEntry | undefined = await tree.entry(at);
    if (found?.type !== 'symlink') return found;
    at = linked(at, found.target);
  }
  return undefined;
}

/** The path in the tree that a link leads to; undefined where it leads out of it. */
export function linked(path: string, target: string): string | undefined {
  if (posix.isAbsolute(target)) return undefined;
  const joined = posix.join(posix.dirname(path), target).replace(/\/$/, '');
  return joined === '..' || joined.startsWith('../') ? undefined : joined;
}
