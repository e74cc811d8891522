import { type Context, throwIfAborted } from '@cluster-image/oci';
import { atOnce } from './at-once.ts';
import type { Disk } from './disk.ts';
import { errnoOf, onDisk, syncDirectory } from './file-system.ts';
import { below, type Entry, pathOf } from './inventory.ts';

/** How many files are removed at a time. */
const removalsAtOnce = 8;

export interface Sweep {
  /** Removes files, and the directories above that are empty then, and makes that durable. */
  remove(files: readonly Entry[]): Promise<void>;
  /** Removes directories without a file in them. */
  tidy(directory: Entry | undefined): Promise<void>;
  /** What the disk has more room for, in bytes. */
  freed(): number;
  /** What is no longer below the directory, in bytes: with what has other names elsewhere. */
  removed(): number;
}

/** @param isDry tells what would be, and removes nothing */
export function sweep(
  disk: Disk,
  isKept: (entry: Entry) => boolean,
  context: Context,
  isDry: boolean,
): Sweep {
  const { fs } = disk;
  let freed = 0;
  let removed = 0;

  function gone(entry: Entry): void {
    removed += entry.bytes;
    if (!entry.isShared) freed += entry.bytes;
    entry.parent?.entries.delete(entry.name);
  }

  /** Removes what is above as far as it is empty, and gives what is left above. */
  async function climb(directory: Entry | undefined): Promise<Entry | undefined> {
    for (let at = directory; at?.parent; at = at.parent) {
      if (isKept(at) || at.entries.size > 0 || !(await isRemoved(at))) return at;
      gone(at);
    }
    return undefined;
  }

  async function isRemoved(directory: Entry): Promise<boolean> {
    if (isDry) return true;
    const path = disk.path(pathOf(directory));
    try {
      await fs.rmdir(path);
      return true;
    } catch (error) {
      const errno = errnoOf(error) ?? '';
      if (errno === 'ENOENT') return true;
      if (['ENOTEMPTY', 'EEXIST'].includes(errno)) return false;
      return onDisk(fs, path, () => Promise.reject(error));
    }
  }

  return {
    async remove(files) {
      const dirty = new Set<Entry>();
      await atOnce(removalsAtOnce, files, async (file) => {
        throwIfAborted(context.signal);
        const path = disk.path(pathOf(file));
        if (!isDry) await onDisk(fs, path, () => fs.rm(path, { force: true }));
        gone(file);
        const left = await climb(file.parent);
        if (left) dirty.add(left);
      });
      if (isDry) return;
      await atOnce(removalsAtOnce, [...dirty], (directory) =>
        syncDirectory(fs, disk.path(pathOf(directory))),
      );
    },
    async tidy(directory) {
      for (const entry of directory ? [...below(directory)] : []) {
        if (entry.isDirectory && entry.entries.size === 0) await climb(entry);
      }
    },
    freed: () => freed,
    removed: () => removed,
  };
}
