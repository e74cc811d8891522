import { type Content, OciError, partAt, type Range, rangeOf } from '@cluster-image/oci';
import { Header, Pax } from 'tar';
import { block } from './tar-header.ts';

/** One entry of an archive that is to be. Owner is 0:0 and time is the epoch, always. */
export type TarEntry =
  | {
      readonly type: 'file';
      readonly path: string;
      readonly mode: number;
      readonly content: Content;
      readonly owner?: Owner;
    }
  | {
      readonly type: 'directory';
      readonly path: string;
      readonly mode: number;
      readonly owner?: Owner;
    }
  | {
      readonly type: 'symlink';
      readonly path: string;
      readonly target: string;
      readonly owner?: Owner;
    };

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** An archive ends with two blocks of zeros; in bytes. */
export const endSize = 2 * block;

/** Pieces smaller than this are gathered before they are handed over, in bytes. */
const pieceSize = 64 * 1024;

/**
 * A tar archive that is never written: its size is known at once, and any range of it is computed
 * from the entries' contents. The bytes depend on nothing but the entries and their order, and are
 * pinned by a test. Names that do not fit a header get a pax header.
 * https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html#tag_20_94_13_06
 */
export function tarball(entries: readonly TarEntry[]): Content {
  const ends = new Float64Array(entries.length + 1);
  let size = 0;
  entries.forEach((entry, index) => {
    size += header(entry).length + padded(sizeOf(entry));
    ends[index] = size;
  });
  size += endSize;
  ends[entries.length] = size;

  async function* pieces(range: Range): AsyncIterable<Uint8Array> {
    for (let index = partAt(ends, range.start); index <= entries.length; index++) {
      let at = index === 0 ? 0 : (ends[index - 1] ?? 0);
      if (at >= range.end) return;
      const entry = entries[index];
      if (!entry) {
        yield* within(new Uint8Array(endSize), at, range);
        return;
      }
      const head = header(entry);
      yield* within(head, at, range);
      at += head.length;
      const contentSize = sizeOf(entry);
      if (entry.type === 'file' && contentSize > 0) {
        const start = Math.max(0, range.start - at);
        const end = Math.min(contentSize, range.end - at);
        if (start < end) yield* entry.content.open({ start, end });
      }
      at += contentSize;
      yield* within(new Uint8Array(padded(contentSize) - contentSize), at, range);
    }
  }

  return { size, open: (range) => gathered(pieces(rangeOf(size, range))) };
}

/** What stands before and behind the bytes of an entry in the archive. */
export function tarFrame(entry: TarEntry): readonly [head: Uint8Array, padding: Uint8Array] {
  const size = sizeOf(entry);
  return [header(entry), new Uint8Array(padded(size) - size)];
}

function sizeOf(entry: TarEntry): number {
  return entry.type === 'file' ? entry.content.size : 0;
}

function padded(size: number): number {
  return Math.ceil(size / block) * block;
}

const typeNames = { file: 'File', directory: 'Directory', symlink: 'SymbolicLink' } as const;

function header(entry: TarEntry): Uint8Array {
  const fields = {
    path: entry.type === 'directory' ? `${entry.path}/` : entry.path,
    linkpath: entry.type === 'symlink' ? entry.target : undefined,
    size: sizeOf(entry),
    uid: entry.owner?.uid ?? 0,
    gid: entry.owner?.gid ?? 0,
  };
  const mode = entry.type === 'symlink' ? 0o777 : entry.mode;
  const type = typeNames[entry.type];
  const head = new Header({ ...fields, mode, type, mtime: new Date(0) });
  const isLossy = head.encode();
  if (!head.block) throw new OciError('ARCHIVE_INVALID', `no tar header for ${entry.path}`);
  const needsPax = isLossy || isDotted(head.block);
  return needsPax ? Buffer.concat([new Pax(fields).encode(), head.block]) : head.block;
}

/** Whether a name that fills its field got a `.` for the directory before it, which readers would show. */
function isDotted(head: Buffer): boolean {
  return head.toString('latin1', 345, 347) === '.\0';
}

/** The part of some bytes, which lie at an offset, that is within a range. */
function* within(bytes: Uint8Array, at: number, range: Range): Iterable<Uint8Array> {
  const part = bytes.subarray(
    Math.max(0, range.start - at),
    Math.max(0, Math.min(bytes.length, range.end - at)),
  );
  if (part.length > 0) yield part;
}

/** The same bytes in fewer pieces. */
async function* gathered(pieces: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  let small: Uint8Array[] = [];
  let size = 0;
  for await (const piece of pieces) {
    if (size > 0 && size + piece.length > pieceSize) {
      yield Buffer.concat(small, size);
      small = [];
      size = 0;
    }
    if (piece.length >= pieceSize) {
      yield piece;
    } else {
      small.push(piece);
      size += piece.length;
    }
  }
  if (size > 0) yield Buffer.concat(small, size);
}
