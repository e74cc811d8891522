import type { Content } from '@cluster-image/oci';
import { type Disk, wholeFile } from './disk.ts';
import { file } from './file.ts';
import { closing, onDisk } from './file-system.ts';
import { fileWriter } from './file-writer.ts';

/** A file for bytes that somebody needs for a while and nobody keeps, of any size that the disk has room for. */
export interface Scratch {
  /** For programs to write and read. */
  readonly path: string;
  /** Puts bytes at its end. */
  append(chunks: AsyncIterable<Uint8Array>): Promise<void>;
  /** What is in it, its size pinned now. */
  content(): Promise<Content | undefined>;
  /** Removes it. */
  end(): Promise<void>;
}

/**
 * A new file under `.staging/`, empty and only for this user. Should the process not come to remove
 * it, the next one that writes there does.
 */
export async function scratch(disk: Disk): Promise<Scratch> {
  const { fs } = disk;
  await disk.sweep();
  const path = disk.stagePath(wholeFile);
  const open = (flags: string) => disk.making(path, () => fs.open(path, flags, 0o600));
  await closing(fs, path, await onDisk(fs, path, () => open('wx')), async () => {});
  return {
    path,
    async append(chunks) {
      const handle = await onDisk(fs, path, () => open('a'));
      await closing(fs, path, handle, async () => {
        const writer = fileWriter(fs, path, handle);
        try {
          for await (const chunk of chunks) await writer.write(chunk);
        } finally {
          await writer.end();
        }
      });
    },
    content: () => file(path, fs),
    end: () => onDisk(fs, path, () => fs.rm(path, { force: true })),
  };
}
