import { posix } from 'node:path';
import type { Tree, TreeEntry } from '@cluster-image/oci';

/** More links on the way to a file than anybody means. */
const mostLinks = 40;

/**
 * What is at a path in the end, through links as a system follows them, those on the way included;
 * `outside` where one of them, or the path, leads out of the tree.
 *
 * @param path relative to the tree, with `/`; `..` in it counts before any link does
 */
export async function reached(
  tree: Tree,
  path: string,
): Promise<TreeEntry | 'outside' | undefined> {
  if (posix.isAbsolute(path)) return 'outside';
  const direct = posix.join(path, '.').replace(/\/$/, '');
  if (direct === '..' || direct.startsWith('../')) return 'outside';
  const found = await tree.entry(direct === '.' ? '' : direct);
  return found && found.type !== 'symlink' ? found : throughLinks(tree, direct);
}

async function throughLinks(tree: Tree, path: string): Promise<TreeEntry | 'outside' | undefined> {
  const ahead = path.split('/').reverse();
  const behind: string[] = [];
  let links = 0;
  let found = await tree.entry('');
  for (let name = ahead.pop(); name !== undefined; name = ahead.pop()) {
    if (name === '' || name === '.') continue;
    if (name === '..') {
      if (behind.pop() === undefined) return 'outside';
      found = await tree.entry(behind.join('/'));
      continue;
    }
    found = await tree.entry([...behind, name].join('/'));
    if (!found) return undefined;
    if (found.type !== 'symlink') behind.push(name);
    else if (posix.isAbsolute(found.target)) return 'outside';
    else if (++links > mostLinks) return undefined;
    else {
      ahead.push(...found.target.split('/').reverse());
      found = await tree.entry(behind.join('/'));
    }
  }
  return found;
}
