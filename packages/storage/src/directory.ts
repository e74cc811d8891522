import { join } from 'node:path';
import { OciError, type Tree, type TreeEntry } from '@cluster-image/oci';
import { fileOfSize } from './file.ts';
import { type FileSystem, ifExists, list, nodeFileSystem, onDisk } from './file-system.ts';

/**
 * A directory as a tree. Symbolic links are entries and are not followed, so nothing outside the
 * directory is reached. Sockets, devices and pipes are refused with FILE_SYSTEM.
 *
 * @param skip leaves out an entry, and what is below it
 */
export function directory(
  root: string,
  skip: (path: string) => boolean = () => false,
  fs: FileSystem = nodeFileSystem,
): Tree {
  async function entry(path: string): Promise<TreeEntry | undefined> {
    return (await isReached(path)) ? look(path) : undefined;
  }

  /** Whether all that is above a path are directories that are part of the tree. */
  async function isReached(path: string): Promise<boolean> {
    if (!isInside(path)) return false;
    for (let end = path.indexOf('/'); end >= 0; end = path.indexOf('/', end + 1)) {
      const above = path.slice(0, end);
      const absolute = join(root, above);
      const found = skip(above)
        ? undefined
        : await onDisk(fs, absolute, () => ifExists(fs.lstat(absolute)));
      if (!found?.isDirectory()) return false;
    }
    return true;
  }

  async function look(path: string): Promise<TreeEntry | undefined> {
    if (path !== '' && skip(path)) return undefined;
    const absolute = join(root, path);
    // Only the directory itself may be reached through a link: it is what was asked for.
    const ask = path === '' ? fs.stat : fs.lstat;
    const found = await onDisk(fs, absolute, () => ifExists(ask(absolute)));
    if (!found) return undefined;
    const mode = found.mode & 0o7777;
    if (found.isDirectory()) return { type: 'directory', path, mode };
    if (found.isSymbolicLink()) {
      const target = await onDisk(fs, absolute, () => fs.readlink(absolute));
      return { type: 'symlink', path, mode, target };
    }
    if (!found.isFile()) {
      throw new OciError('FILE_SYSTEM', `${absolute} is not a file, a directory or a link`, {
        hint: 'Sockets, pipes and devices cannot be part of an image; exclude it in .dockerignore.',
      });
    }
    return { type: 'file', path, mode, content: fileOfSize(absolute, found.size, fs) };
  }

  async function* entries(below = ''): AsyncIterable<TreeEntry> {
    if ((await entry(below))?.type === 'directory') yield* entriesIn(below);
  }

  async function* entriesIn(below: string): AsyncIterable<TreeEntry> {
    const absolute = join(root, below);
    for (const name of await onDisk(fs, absolute, () => list(fs, absolute))) {
      if (name.includes('\uFFFD')) {
        throw new OciError(
          'FILE_SYSTEM',
          `${absolute} has a file whose name is not UTF-8: ${name}`,
        );
      }
      const found = await look(below ? `${below}/${name}` : name);
      if (!found) continue;
      yield found;
      if (found.type === 'directory') yield* entriesIn(found.path);
    }
  }

  return { entry, entries };
}

function isInside(path: string): boolean {
  const parts = path.split('/');
  return path === '' || (!path.includes('\0') && !parts.some((part) => /^\.{0,2}$/.test(part)));
}
