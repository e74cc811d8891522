import { type Content, OciError, type Tree } from '@cluster-image/oci';
import { gunzip, tarTree } from '@cluster-image/storage';
import { target } from '../follow.ts';

/** Helm's own limit on the files of a chart in all, in bytes. */
export const chartLimit = 100 * 1024 * 1024;

/** A packed chart as a tree whose paths begin inside it. Throws ARCHIVE_INVALID, INPUT_INVALID. */
export async function openArchive(archive: Content, path: string): Promise<Tree> {
  const unpacked = await tarTree(await gunzip(archive, chartLimit, path), path);
  for await (const entry of unpacked.entries()) {
    return below(unpacked, entry.path.split('/')[0] ?? '');
  }
  throw new OciError('INPUT_INVALID', `${path} is an empty archive`);
}

/**
 * What lies below a directory, by paths that begin there, through links as well; the entries have their
 * paths in the whole tree.
 */
export function below(tree: Tree, path: string): Tree {
  return {
    entries: (inner) => tree.entries(inner ? `${path}/${inner}` : path),
    entry: (inner) => target(tree, `${path}/${inner}`),
  };
}

/**
 * Helm reads through links, and what lies outside of the context is none of its business. Throws
 * INPUT_INVALID where there is such a link at or below a path.
 */
export async function refuseOutwardLinks(
  tree: Tree,
  path: string,
  seen: Set<string> = new Set(),
): Promise<void> {
  if (seen.has(path)) return;
  seen.add(path);
  for await (const entry of tree.entries(path)) {
    if (entry.type !== 'symlink') continue;
    const end = await target(tree, entry.path);
    if (end?.type === 'directory') await refuseOutwardLinks(tree, end.path, seen);
    if (end) continue;
    const where = JSON.stringify(entry.target);
    throw new OciError('INPUT_INVALID', `${entry.path} is a link to ${where}`, {
      hint: 'A chart may only have links to what is in the context. Put the file itself there.',
    });
  }
}
