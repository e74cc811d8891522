import { hasher, OciError, type Spool } from '@cluster-image/oci';
import { type Disk, wholeFile } from './disk.ts';
import { asStored, fileOfSize } from './file.ts';
import { closing, type FileHandle, type FileSystem, onDisk } from './file-system.ts';
import { fileWriter } from './file-writer.ts';

/**
 * Gathers bytes in files under `.staging/`. They are hashed as they come, so that a layout on the same
 * disk links such a file into place and reads none of it again. What a process leaves behind is swept
 * away once it is gone.
 */
export function spool(disk: Disk): Spool {
  const { fs } = disk;
  return {
    async begin() {
      await disk.sweep();
      const path = disk.stagePath(wholeFile);
      const hash = hasher();
      let size = 0;
      let isOver = false;
      // Open only while it is used: whoever may begin uploads could else take all that a process may open.
      const open = (flags: string): Promise<FileHandle> =>
        onDisk(fs, path, () => disk.making(path, () => fs.open(path, flags, 0o644)));
      const remove = (): Promise<void> => onDisk(fs, path, () => fs.rm(path, { force: true }));
      await closing(fs, path, await open('wx'), async () => {}).catch(async (error: unknown) => {
        await remove();
        throw error;
      });
      return {
        get size() {
          return size;
        },
        async append(chunks) {
          const handle = await open('a');
          const writer = fileWriter(fs, path, handle);
          let [added, whole] = [0, 0];
          try {
            await requireSize(fs, path, handle, size);
            for await (const chunk of chunks) {
              if (isOver) throw new OciError('ABORTED', `${path} was given up`);
              await writer.write(chunk);
              hash.update(chunk);
              added += chunk.length;
            }
          } finally {
            try {
              await writer.end();
              whole = added;
            } finally {
              // Not before it is there to be read, and the file free to be gone on with.
              await onDisk(fs, path, () => handle.close()).finally(() => {
                size += whole;
              });
              // Opening it may have made it again.
              if (isOver) await remove();
            }
          }
        },
        read: (range) => fileOfSize(path, size, fs).open(range),
        async content() {
          const handle = await open('r');
          await closing(fs, path, handle, async () => {
            await handle.chmod(0o444);
            await handle.sync();
          });
          return asStored(fileOfSize(path, size, fs), { path, digest: hash.digest() });
        },
        async end() {
          isOver = true;
          await remove();
        },
      };
    },
  };
}

/** Throws FILE_SYSTEM where somebody has cut or replaced a file meanwhile: its digest would be another. */
async function requireSize(
  fs: FileSystem,
  path: string,
  handle: FileHandle,
  expected: number,
): Promise<void> {
  const { size } = await onDisk(fs, path, () => handle.stat());
  if (size === expected) return;
  throw new OciError('FILE_SYSTEM', `${path} has ${size} bytes, and was left with ${expected}`, {
    hint: 'Nothing but this program may write there; send it again.',
  });
}
