import { join } from 'node:path';
import { OciError, type Tree, type TreeEntry } from '@cluster-image/oci';
import { file } from './file.ts';
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
    if (path !== '' && (skip(path) || !isInside(path))) return undefined;
    const absolute = join(root, path);
    const found = await onDisk(fs, absolute, () => ifExists(fs.lstat(absolute)));
    if (!found) return undefined;
    const mode = found.mode & 0o7777;
    if (found.isDirectory()) return { type: 'directory', path, mode };
    if (found.isSymbolicLink()) {
      const target = await onDisk(fs, absolute, () => fs.readlink(absolute));
      return { type: 'symlink', path, mode, target };
    }
    const content = found.isFile() ? await file(absolute, fs) : undefined;
    if (!content) {
      throw new OciError('FILE_SYSTEM', `${absolute} is not a file, a directory or a link`, {
        hint: 'Sockets, pipes and devices cannot be part of an image; exclude it in .dockerignore.',
      });
    }
    return { type: 'file', path, mode, content };
  }

  async function* entries(below = ''): AsyncIterable<TreeEntry> {
    const absolute = join(root, below);
    for (const name of await onDisk(fs, absolute, () => list(fs, absolute))) {
      if (name.includes('\uFFFD')) {
        throw new OciError(
          'FILE_SYSTEM',
          `${absolute} has a file whose name is not UTF-8: ${name}`,
        );
      }
      const found = await entry(below ? `${below}/${name}` : name);
      if (!found) continue;
      yield found;
      if (found.type === 'directory') yield* entries(found.path);
    }
  }

  return { entry, entries };
}

function isInside(path: string): boolean {
  return !path.startsWith('/') && !path.split('/').includes('..') && !path.includes('\0');
}
