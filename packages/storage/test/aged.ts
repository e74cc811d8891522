import { type FileSystem, nodeFileSystem } from '@cluster-image/storage';
import type { FileStatus } from '../src/file-system.ts';

export const hour = 3_600_000;
export const day = 24 * hour;

/** A file system on which things are so old as is said, in milliseconds; else as new as they are. */
export function aged(
  ageOf: (path: string) => number | undefined,
  fs: FileSystem = nodeFileSystem,
): FileSystem {
  const dated = (found: FileStatus, path: string): FileStatus => {
    const age = ageOf(path);
    return {
      size: found.size,
      mode: found.mode,
      nlink: found.nlink,
      blocks: found.blocks,
      mtimeMs: found.mtimeMs,
      ctimeMs: age === undefined ? found.ctimeMs : Date.now() - age,
      isFile: () => found.isFile(),
      isDirectory: () => found.isDirectory(),
      isSymbolicLink: () => found.isSymbolicLink(),
    };
  };
  return { ...fs, lstat: async (path) => dated(await fs.lstat(path), path) };
}

/** Everything is so old. */
export function allAged(age: number, fs?: FileSystem): FileSystem {
  return aged(() => age, fs);
}
