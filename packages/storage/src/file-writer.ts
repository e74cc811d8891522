import { randomUUID } from 'node:crypto';
import { basename, dirname, join } from 'node:path';
import type { Content } from '@cluster-image/oci';
import { type FileSystem, nodeFileSystem, onDisk } from './file-system.ts';

/** How much is handed to the operating system in one write, in bytes. */
export const batchSize = 1024 * 1024;

export type FileHandle = Awaited<ReturnType<FileSystem['open']>>;

export interface FileWriter {
  write(chunk: Uint8Array): Promise<void>;
  /** Writes what is left and waits for all of it. */
  end(): Promise<void>;
}

/** Appends chunks to a file in large writes, one of them under way while the next is gathered. */
export function fileWriter(fs: FileSystem, path: string, handle: FileHandle): FileWriter {
  let batch: Uint8Array[] = [];
  let size = 0;
  let writing = Promise.resolve();

  async function send(): Promise<void> {
    await writing;
    const chunks = batch;
    batch = [];
    size = 0;
    writing = onDisk(fs, path, () => writeAll(handle, chunks));
    // The failure is thrown by the next await of it; until then it is not unhandled.
    writing.catch(() => {});
  }

  return {
    async write(chunk) {
      batch.push(chunk);
      size += chunk.length;
      if (size >= batchSize) await send();
    },
    async end() {
      await send();
      await writing;
    },
  };
}

async function writeAll(handle: FileHandle, chunks: readonly Uint8Array[]): Promise<void> {
  if (chunks.length === 0) return;
  const size = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  const { bytesWritten } = await handle.writev([...chunks]);
  if (bytesWritten < size) {
    await writeAll(handle, [Buffer.concat(chunks).subarray(bytesWritten)]);
  }
}

/** Writes a content to a file that appears, or replaces the one that is there, only once it is whole. */
export async function saveFile(
  path: string,
  content: Content,
  fs: FileSystem = nodeFileSystem,
): Promise<void> {
  const staged = join(dirname(path), `.${basename(path)}.${randomUUID()}.part`);
  try {
    await onDisk(fs, path, () => fs.mkdir(dirname(path), { recursive: true }));
    const handle = await onDisk(fs, path, () => fs.open(staged, 'wx', 0o644));
    try {
      const writer = fileWriter(fs, path, handle);
      try {
        for await (const chunk of content.open()) await writer.write(chunk);
      } finally {
        await writer.end();
      }
      await onDisk(fs, path, () => handle.sync());
    } finally {
      await handle.close();
    }
    await onDisk(fs, path, () => fs.rename(staged, path));
  } catch (error) {
    await fs.rm(staged, { force: true }).catch(() => {});
    throw error;
  }
}
