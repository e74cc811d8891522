import { hasher, OciError, type Spool } from '@cluster-image/oci';
import { type Disk, wholeFile } from './disk.ts';
import { asStored, fileOfSize } from './file.ts';
import { onDisk } from './file-system.ts';
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
      const handle = await onDisk(fs, path, () =>
        disk.making(path, () => fs.open(path, 'wx', 0o644)),
      );
      const hash = hasher();
      let size = 0;
      let isOpen = true;
      let isAdding = false;
      let isOver = false;
      const close = async (): Promise<void> => {
        if (!isOpen) return;
        isOpen = false;
        await onDisk(fs, path, () => handle.close());
      };
      return {
        get size() {
          return size;
        },
        async append(chunks) {
          const writer = fileWriter(fs, path, handle);
          let added = 0;
          isAdding = true;
          try {
            for await (const chunk of chunks) {
              if (isOver) throw new OciError('ABORTED', `${path} was given up`);
              await writer.write(chunk);
              hash.update(chunk);
              added += chunk.length;
            }
          } finally {
            try {
              await writer.end();
              // Not before it is there to be read.
              size += added;
            } finally {
              isAdding = false;
              if (isOver) await close();
            }
          }
        },
        read: (range) => fileOfSize(path, size, fs).open(range),
        async content() {
          await onDisk(fs, path, async () => {
            await handle.chmod(0o444);
            await handle.sync();
          });
          await close();
          return asStored(fileOfSize(path, size, fs), { path, digest: hash.digest() });
        },
        async end() {
          isOver = true;
          // What is being written would go to whatever file is opened next.
          if (!isAdding) await close();
          await onDisk(fs, path, () => fs.rm(path, { force: true }));
        },
      };
    },
  };
}
