import { posix } from 'node:path';
import type { Tree, TreeEntry } from '@cluster-image/oci';

export type FileEntry = TreeEntry & { readonly type: 'file' };

/** More steps on the way to a file than anybody means, links and the directories above them. */
const mostSteps = 64;

/** The file at a path, through links that stay inside the tree; undefined where there is none. */
export async function followed(tree: Tree, path: string): Promise<FileEntry | undefined> {
  const found = await target(tree, path);
  return found?.type === 'file' ? found : undefined;
}

/** What is at a path in the end, through links that stay inside the tree, on the way to it as well. */
export async function target(tree: Tree, path: string): Promise<TreeEntry | undefined> {
  let left = mostSteps;
  return step(path);

  async function step(path: string): Promise<TreeEntry | undefined> {
    let at: string | undefined = path;
    while (at !== undefined && left-- > 0) {
      const found: TreeEntry | undefined = (await tree.entry(at)) ?? (await belowLink(at));
      if (found?.type !== 'symlink') return found;
      at = linked(found.path, found.target);
    }
    return undefined;
  }

  /** What is at a path above which there is a link to a directory. */
  async function belowLink(path: string): Promise<TreeEntry | undefined> {
    const { dir, base } = posix.parse(path);
    if (dir === '') return undefined;
    const above = await step(dir);
    if (above?.type !== 'directory' || above.path === dir) return undefined;
    return tree.entry(above.path === '' ? base : `${above.path}/${base}`);
  }
}

/** The path in the tree that a link leads to; undefined where it leads out of it. */
export function linked(path: string, target: string): string | undefined {
  if (posix.isAbsolute(target)) return undefined;
  const joined = posix.join(posix.dirname(path), target).replace(/\/$/, '');
  return joined === '..' || joined.startsWith('../') ? undefined : joined;
}
