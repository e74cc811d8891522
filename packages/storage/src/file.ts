import {
  type Content,
  type ContentReader,
  type Digest,
  OciError,
  type Range,
  rangeOf,
  type SeekableContent,
} from '@cluster-image/oci';
import { type FileSystem, ifExists, nodeFileSystem, onDisk } from './file-system.ts';

/** Bytes asked of the operating system at a time: large enough that calls cost nothing beside the copying. */
const chunkSize = 512 * 1024;

const stored = Symbol('stored');

/** A content that is a file whose bytes were checked against the digest when they were stored. */
interface StoredContent extends Content {
  readonly [stored]: StoredFile;
}

export interface StoredFile {
  readonly path: string;
  readonly digest: Digest;
}

/** The content of a file, its size pinned now; undefined where there is no such file. */
export async function file(
  path: string,
  fs: FileSystem = nodeFileSystem,
): Promise<Content | undefined> {
  const found = await onDisk(fs, path, () => ifExists(fs.stat(path)));
  if (!found) return undefined;
  if (!found.isFile()) {
    throw new OciError('FILE_SYSTEM', `${path} is not a regular file`);
  }
  return fileOfSize(path, found.size, fs);
}

/** The content of a file that is known to have so many bytes; nothing is asked until it is opened. */
export function fileOfSize(path: string, size: number, fs: FileSystem): SeekableContent {
  return {
    size,
    open: (range) => read(fs, path, size, rangeOf(size, range)),
    seek: () => seek(fs, path, size),
  };
}

async function seek(fs: FileSystem, path: string, size: number): Promise<ContentReader> {
  const handle = await onDisk(fs, path, () => fs.open(path, 'r'));
  return {
    async read(into, at) {
      for (let done = 0; done < into.length; ) {
        const { bytesRead } = await onDisk(fs, path, () =>
          handle.read(into, done, into.length - done, at + done),
        );
        if (bytesRead === 0) throw changed(path, at + done, size);
        done += bytesRead;
      }
    },
    close: () => onDisk(fs, path, () => handle.close()),
  };
}

function changed(path: string, actual: number, size: number): OciError {
  return new OciError('SIZE_MISMATCH', `${path} has ${actual} bytes where ${size} were expected`, {
    hint: 'The file changed while it was read; try again.',
  });
}

/** Marks a content as the file that a store keeps for a digest, so that it can be linked instead of copied. */
export function asStored(content: Content, file: StoredFile): StoredContent {
  return { ...content, [stored]: file };
}

export function storedFile(content: Content): StoredFile | undefined {
  return isStored(content) ? content[stored] : undefined;
}

function isStored(content: Content): content is StoredContent {
  return stored in content;
}

async function* read(
  fs: FileSystem,
  path: string,
  size: number,
  { start, end }: Range,
): AsyncIterable<Uint8Array> {
  if (start === end) return;
  const handle = await onDisk(fs, path, () => fs.open(path, 'r'));
  const readAt = async (at: number): Promise<Uint8Array> => {
    const buffer = Buffer.allocUnsafeSlow(Math.min(chunkSize, end - at));
    const { bytesRead } = await onDisk(fs, path, () => handle.read(buffer, 0, buffer.length, at));
    if (bytesRead > 0) return buffer.subarray(0, bytesRead);
    throw changed(path, at, size);
  };
  let next: Promise<Uint8Array> | undefined = readAt(start);
  try {
    for (let at = start; next; ) {
      const chunk: Uint8Array = await next;
      at += chunk.length;
      // Read while the reader is busy with this one.
      next = at < end ? readAt(at) : undefined;
      next?.catch(() => {});
      yield chunk;
    }
  } finally {
    await next?.catch(() => {});
    await onDisk(fs, path, () => handle.close());
  }
}
