import { type Algorithm, type Digest, digestAlgorithm, digestOf, hasher } from './digest.ts';
import { OciError } from './error.ts';

/** Bytes `start` up to, and not including, `end`; both in bytes from the start of the content. */
export interface Range {
  readonly start: number;
  readonly end: number;
}

/**
 * Bytes with a size, opened on demand, in whole or by range, as often as wanted. Nothing is read or
 * asked for before `open` is iterated; leaving the loop early releases whatever was held.
 *
 * A content is not trusted: `open` delivers what the source has, and whoever stores it or passes it
 * on checks it (`verified`, and every `putBlob`). It delivers exactly the bytes of the range or
 * throws; it never ends early. A chunk is the reader's to keep: no buffer is used twice.
 */
export interface Content {
  readonly size: number;
  open(range?: Range): AsyncIterable<Uint8Array>;
}

/**
 * A content that can be read into memory that the reader has already. What is sent on chunk by chunk
 * costs half as much that way, for new memory has to be cleared by the system first.
 */
export interface SeekableContent extends Content {
  seek(): Promise<ContentReader>;
}

export interface ContentReader {
  /** Fills memory with what begins at an offset, in bytes. Throws SIZE_MISMATCH where that is not there. */
  read(into: Uint8Array, at: number): Promise<void>;
  close(): Promise<void>;
}

export function isSeekable(content: Content): content is SeekableContent {
  return 'seek' in content;
}

/** The range, or the whole where none is given. Throws SIZE_MISMATCH for bytes that are not there. */
export function rangeOf(size: number, range: Range = { start: 0, end: size }): Range {
  const { start, end } = range;
  if (start >= 0 && start <= end && end <= size) return range;
  throw new OciError('SIZE_MISMATCH', `no bytes ${start} to ${end} in ${size} bytes`);
}

/** The content that these bytes are. */
export function bytes(data: Uint8Array | string): Content {
  const all = typeof data === 'string' ? new TextEncoder().encode(data) : data;
  return {
    size: all.length,
    async *open(range) {
      const { start, end } = rangeOf(all.length, range);
      if (start < end) yield all.subarray(start, end);
    },
  };
}

/** A part of another content. */
export function slice(content: Content, part: Range): Content {
  const { start, end } = rangeOf(content.size, part);
  const size = end - start;
  return {
    size,
    open(range) {
      const inner = rangeOf(size, range);
      return content.open({ start: start + inner.start, end: start + inner.end });
    },
  };
}

/** Contents one after another. */
export function concat(parts: readonly Content[]): Content {
  const ends: number[] = [];
  let size = 0;
  for (const part of parts) {
    size += part.size;
    ends.push(size);
  }
  return {
    size,
    async *open(range) {
      const { start, end } = rangeOf(size, range);
      for (let at = partAt(ends, start); start < end && at < parts.length; at++) {
        const part = parts[at];
        if (!part || part.size === 0) continue;
        const partStart = (ends[at] ?? size) - part.size;
        if (partStart >= end) return;
        yield* part.open({
          start: Math.max(0, start - partStart),
          end: Math.min(part.size, end - partStart),
        });
      }
    },
  };
}

/** The index of the first part that ends after `offset`. */
export function partAt(ends: ArrayLike<number>, offset: number): number {
  let low = 0;
  let high = ends.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((ends[middle] ?? 0) > offset) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** The same content (and whatever else is known of it), telling how many bytes each step delivers. */
export function observed(content: Content, moved: (bytes: number) => void): Content {
  return {
    ...content,
    async *open(range) {
      for await (const chunk of content.open(range)) {
        moved(chunk.length);
        yield chunk;
      }
    },
  };
}

/**
 * The same content, checked while it is read in whole: the last chunk is only handed over once the
 * digest of all of it is right. Throws DIGEST_MISMATCH or SIZE_MISMATCH. A range of it cannot be
 * checked and passes through as it is.
 *
 * @param what how the error names these bytes, for instance `blob of docker.io/library/nginx`
 */
export function verified(content: Content, digest: Digest, what: string): Content {
  return {
    size: content.size,
    open: (range) =>
      range && (range.start !== 0 || range.end !== content.size)
        ? content.open(range)
        : checked(content, digest, what),
  };
}

async function* checked(content: Content, digest: Digest, what: string): AsyncIterable<Uint8Array> {
  const hash = hasher(digestAlgorithm(digest));
  let size = 0;
  let held: Uint8Array | undefined;
  for await (const chunk of content.open()) {
    hash.update(chunk);
    size += chunk.length;
    if (size > content.size) break;
    // An empty chunk must not push out what may be the last bytes.
    if (chunk.length === 0) continue;
    if (held) yield held;
    held = chunk;
  }
  if (size !== content.size) throw sizeMismatch(what, digest, content.size, size);
  const actual = hash.digest();
  if (actual !== digest) throw digestMismatch(what, digest, actual);
  if (held) yield held;
}

export function digestMismatch(what: string, expected: Digest, actual: Digest): OciError {
  return new OciError('DIGEST_MISMATCH', `${what}: expected ${expected}, got ${actual}`, {
    hint: 'The bytes were changed on the way or at rest. Nothing of them was kept; try again, or from another source.',
  });
}

export function sizeMismatch(
  what: string,
  digest: Digest,
  expected: number,
  actual: number,
): OciError {
  return new OciError(
    'SIZE_MISMATCH',
    `${what} (${digest}): expected ${expected} bytes, got ${actual > expected ? 'more' : actual}`,
  );
}

/**
 * All of a content in memory; only for what is small by nature (manifests, configs, lists).
 * Throws SIZE_MISMATCH where it is larger than `limit` bytes.
 */
export async function readAll(content: Content, limit: number): Promise<Uint8Array> {
  if (content.size > limit) {
    throw new OciError('SIZE_MISMATCH', `${content.size} bytes where at most ${limit} are allowed`);
  }
  const all = new Uint8Array(content.size);
  let size = 0;
  for await (const chunk of content.open()) {
    if (size + chunk.length > all.length) {
      throw new OciError('SIZE_MISMATCH', `expected ${all.length} bytes, got more`);
    }
    all.set(chunk, size);
    size += chunk.length;
  }
  if (size !== all.length) {
    throw new OciError('SIZE_MISMATCH', `expected ${all.length} bytes, got ${size}`);
  }
  return all;
}

/** The same as a text. */
export async function readText(content: Content, limit: number): Promise<string> {
  return new TextDecoder().decode(await readAll(content, limit));
}

/** The digest of a content, read once from start to end. */
export async function digestContent(content: Content, algorithm?: Algorithm): Promise<Digest> {
  const hash = hasher(algorithm);
  for await (const chunk of content.open()) hash.update(chunk);
  return hash.digest();
}

/** `readAll`, checked against its digest. Throws DIGEST_MISMATCH. */
export async function readVerified(
  content: Content,
  digest: Digest,
  limit: number,
  what: string,
): Promise<Uint8Array> {
  const all = await readAll(content, limit);
  const actual = digestOf(all, digestAlgorithm(digest));
  if (actual !== digest) throw digestMismatch(what, digest, actual);
  return all;
}
