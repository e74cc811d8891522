import { pipeline, Readable } from 'node:stream';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { type Content, OciError } from '@cluster-image/oci';
import { compressionOf } from './archive-reader.ts';

/** Larger than any layer, in bytes. */
const endless = 2 ** 50;

/** How far back one may read, in bytes: further than a tar's headers are apart from what they extend. */
const memory = 256 * 1024;

/**
 * Does something with what a gzip or zstd file holds, as a content that is read from front to end
 * while it is unpacked: a range may begin a little before the last one ended, not far before. Behind
 * its end there are zeros. A file that is not compressed is given as it is.
 *
 * Throws ARCHIVE_INVALID where it is damaged, UNSUPPORTED for another compression.
 *
 * @param what how errors name the file
 */
export async function unpacked<T>(
  content: Content,
  what: string,
  use: (plain: Content) => Promise<T>,
): Promise<T> {
  const compression = await compressionOf(content);
  if (compression === undefined) return use(content);
  if (compression !== 'gzip' && compression !== 'zstd') {
    throw new OciError('UNSUPPORTED', `${what} is compressed with ${compression}`);
  }
  const unpack = compression === 'gzip' ? createGunzip() : createZstdDecompress();
  const stream = pipeline(Readable.from(content.open()), unpack, () => {});
  try {
    const { plain, readOut } = onwards(stream, what);
    const result = await use(plain);
    // To its end, where whoever checks its digest finds out.
    await readOut();
    return result;
  } catch (cause) {
    if (cause instanceof OciError) throw cause;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new OciError('ARCHIVE_INVALID', `${what}: ${why}`, { cause });
  } finally {
    stream.destroy();
  }
}

function onwards(
  stream: AsyncIterable<Uint8Array>,
  what: string,
): { readonly plain: Content; readOut(): Promise<void> } {
  const chunks = stream[Symbol.asyncIterator]();
  let held: Uint8Array[] = [];
  let first = 0;
  let end = 0;
  let isOver = false;

  async function readMore(): Promise<void> {
    const next = await chunks.next();
    if (next.done) {
      isOver = true;
      return;
    }
    held.push(next.value);
    end += next.value.length;
  }

  /** Lets go of what lies too far behind. */
  function forget(at: number): void {
    for (let [oldest] = held; oldest && first + oldest.length < at - memory; [oldest] = held) {
      first += oldest.length;
      held = held.slice(1);
    }
  }

  function partAt(at: number): Uint8Array | undefined {
    let start = first;
    for (const chunk of held) {
      if (at < start + chunk.length) return chunk.subarray(at - start);
      start += chunk.length;
    }
    return undefined;
  }

  const plain: Content = {
    size: endless,
    async *open(range = { start: 0, end: endless }) {
      if (range.start < first) throw new OciError('ARCHIVE_INVALID', `${what} is read backwards`);
      for (let at = range.start; at < range.end; ) {
        while (end <= at && !isOver) {
          forget(Math.min(at, end));
          await readMore();
        }
        const part = partAt(at) ?? new Uint8Array(Math.min(range.end - at, 64 * 1024));
        const wanted = part.subarray(0, range.end - at);
        at += wanted.length;
        forget(at);
        yield wanted;
      }
    },
  };
  return {
    plain,
    async readOut() {
      while (!isOver) {
        await readMore();
        forget(end);
      }
    },
  };
}
