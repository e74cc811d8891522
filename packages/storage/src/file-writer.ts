import { dirname, join, resolve } from 'node:path';
import { type Content, OciError } from '@cluster-image/oci';
import {
  closing,
  type FileHandle,
  type FileSystem,
  list,
  nodeFileSystem,
  onDisk,
  syncDirectory,
} from './file-system.ts';
import { isGone } from './process-mark.ts';
import { parseStageName, stageName } from './stage-name.ts';

/** How much is handed to the operating system in one write, in bytes. */
export const batchSize = 1024 * 1024;

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
  const { bytesWritten } = await handle.writev(chunks);
  if (bytesWritten < size) {
    await writeAll(handle, [Buffer.concat(chunks).subarray(bytesWritten)]);
  }
}

/**
 * Writes a content to a file that appears, or replaces the one that is there, only once it is whole.
 * Until then it lies beside it under a name that begins with a dot.
 *
 * @param mode who may read it; what holds a secret is 0600
 */
export async function saveFile(
  path: string,
  content: Content,
  fs: FileSystem = nodeFileSystem,
  mode = 0o644,
): Promise<void> {
  const target = resolve(path);
  const directory = dirname(target);
  const staged = join(directory, `.${stageName(partKind)}`);
  try {
    await onDisk(fs, target, () => fs.mkdir(directory, { recursive: true }));
    await sweepParts(fs, directory).catch(() => {});
    await writeFile(fs, staged, target, content, mode);
    await onDisk(fs, target, () => fs.rename(staged, target));
    await onDisk(fs, target, () => syncDirectory(fs, directory));
  } catch (error) {
    await fs.rm(staged, { force: true }).catch(() => {});
    throw error;
  }
}

const partKind = 'part';

/** Removes what processes that are gone have left of files they were writing. */
async function sweepParts(fs: FileSystem, directory: string): Promise<void> {
  for (const name of await list(fs, directory)) {
    if (!name.startsWith('.')) continue;
    const said = parseStageName(name.slice(1));
    const isLeft = said?.kind === partKind && said.mark && isGone(said.mark);
    if (isLeft) await fs.rm(join(directory, name), { force: true });
  }
}

async function writeFile(
  fs: FileSystem,
  staged: string,
  target: string,
  content: Content,
  mode: number,
): Promise<void> {
  const handle = await onDisk(fs, target, () => fs.open(staged, 'wx', mode));
  await closing(fs, target, handle, async () => {
    const writer = fileWriter(fs, target, handle);
    let size = 0;
    for await (const chunk of content.open()) {
      size += chunk.length;
      await writer.write(chunk);
    }
    await writer.end();
    if (size !== content.size) {
      const message = `${target}: expected ${content.size} bytes, got ${size}`;
      throw new OciError('SIZE_MISMATCH', message);
    }
    await handle.sync();
  });
}
