import { posix } from 'node:path';
import type { Tree, TreeEntry } from '@cluster-image/oci';

export type FileEntry = TreeEntry & { readonly type: 'file' };

/** More links on the way to a file than anybody means. */
const mostLinks = 40;

/** The file at a path, through links that stay inside the tree; undefined where there is none. */
export async function followed(tree: Tree, path: string): Promise<FileEntry | undefined> {
  const found = await target(tree, path);
  return found?.type === 'file' ? found : undefined;
}

/** What is at a path in the end, through links that stay inside the tree, on the way to it as well. */
export async function target(tree: Tree, path: string): Promise<TreeEntry | undefined> {
  const found = await reached(tree, path);
  return found === 'outside' ? undefined : found;
}

/**
 * What is at a path in the end, as a system follows links; `outside` where the path, or a link, leads
 * out of the tree.
 *
 * @param path `..` in it counts before any link does
 */
export async function reached(
  tree: Tree,
  path: string,
): Promise<TreeEntry | 'outside' | undefined> {
  if (posix.isAbsolute(path)) return 'outside';
  const plain = posix.join(path, '.').replace(/\/$/, '');
  const found = await tree.entry(plain === '.' ? '' : plain);
  return found && found.type !== 'symlink' ? found : walked(tree, plain);
}

/** Goes to a path name by name. After a link `..` is what is above its target, and not above itself. */
async function walked(tree: Tree, path: string): Promise<TreeEntry | 'outside' | undefined> {
  const ahead = path.split('/').reverse();
  const behind: string[] = [];
  let links = 0;
  for (let name = ahead.pop(); name !== undefined; name = ahead.pop()) {
    if (name === '' || name === '.') continue;
    if (name === '..') {
      if (behind.pop() === undefined) return 'outside';
      continue;
    }
    behind.push(name);
    const found = await tree.entry(behind.join('/'));
    if (!found) return undefined;
    if (found.type !== 'symlink') continue;
    if (posix.isAbsolute(found.target)) return 'outside';
    if (++links > mostLinks) return undefined;
    behind.pop();
    ahead.push(...found.target.split('/').reverse());
  }
  return tree.entry(behind.join('/'));
}
