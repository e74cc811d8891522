import type { OciError } from '@cluster-image/oci';

/**
 * What the blocks before a file in a tar archive say, read strictly: where readers are known to
 * differ about what an archive holds it is refused, so that nobody is shown another archive than we
 * see. https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html#tag_20_94_13_06
 */
export interface TarHeader {
  readonly type: string;
  readonly path: string;
  readonly linkPath: string;
  readonly mode: number;
  /** How many bytes follow, without padding. */
  readonly size: number;
}

/** Makes the error that names what is wrong and where. */
export type Fault = (why: string) => OciError;

/** Tar counts in blocks of 512 bytes. */
export const block = 512;

export function isNullBlock(head: Buffer): boolean {
  return head.every((byte) => byte === 0);
}

/** Reads a header block. */
export function readHeader(head: Buffer, fault: Fault): TarHeader {
  if (!isSummed(head)) throw fault('no tar header');
  const name = text(head, 0, 100, fault);
  const prefix = text(head, 345, prefixSize(head), fault);
  return {
    type: head[156] ? String.fromCharCode(head[156]) : '0',
    path: prefix ? `${prefix}/${name}` : name,
    linkPath: text(head, 157, 100, fault),
    mode: number(head, 100, 8, fault) & 0o7777,
    size: number(head, 124, 12, fault),
  };
}

/** The checksum adds up all bytes, its own field counted as spaces; some writers took bytes as signed. */
function isSummed(head: Buffer): boolean {
  let unsigned = 0;
  let signed = 0;
  for (let at = 0; at < block; at++) {
    const byte = at >= 148 && at < 156 ? 0x20 : (head[at] ?? 0);
    unsigned += byte;
    signed += byte < 0x80 ? byte : byte - 0x100;
  }
  const field = octal(head, 148, 8);
  return field === unsigned || field === signed;
}

/** POSIX archives have the front of a long name apart; GNU ones have other things in its place. */
function prefixSize(head: Buffer): number {
  if (head.toString('latin1', 257, 263) !== 'ustar\0') return 0;
  const isStar = head.toString('latin1', 508, 512) === 'tar\0';
  return isStar ? 131 : 155;
}

/** Text up to a NUL. */
function text(head: Buffer, start: number, length: number, fault: Fault): string {
  let end = start;
  while (end < start + length && head[end] !== 0) end++;
  return end === start ? '' : decode(head.subarray(start, end), fault);
}

/** A number in octal or, where it is too large for that, in two's complement after a set first bit. */
function number(head: Buffer, start: number, length: number, fault: Fault): number {
  const isBinary = ((head[start] ?? 0) & 0x80) !== 0;
  const value = isBinary ? binary(head, start, length) : octal(head, start, length);
  if (value !== undefined && Number.isSafeInteger(value) && value >= 0) return value;
  throw fault('a header with a number that is none');
}

function binary(head: Buffer, start: number, length: number): number {
  const bits = BigInt(`0x${head.toString('hex', start, start + length)}`);
  return Number(BigInt.asIntN(length * 8 - 1, bits));
}

/** Digits between spaces or NULs; none are zero. */
function octal(head: Buffer, start: number, length: number): number | undefined {
  const isBlank = (at: number): boolean => head[at] === 0 || head[at] === 0x20;
  let at = start;
  while (at < start + length && isBlank(at)) at++;
  let value = 0;
  for (; at < start + length && !isBlank(at); at++) {
    const digit = (head[at] ?? 0) - 0x30;
    if (digit < 0 || digit > 7) return undefined;
    value = value * 8 + digit;
  }
  return value;
}

/** What a pax header overrides. */
export interface TarOverrides {
  readonly path?: string;
  readonly linkPath?: string;
  readonly size?: number;
}

/** Reads the records of a pax header: `<length> <key>=<value>\n`, the length counting all of it. */
export function readOverrides(body: Buffer, fault: Fault): TarOverrides {
  const records = readRecords(body, fault);
  for (const key of records.keys()) {
    if (key.startsWith('GNU.sparse.')) throw fault('a sparse file');
  }
  const value = (key: string): string => decode(records.get(key) ?? Buffer.alloc(0), fault);
  const [path, linkPath, size] = [value('path'), value('linkpath'), value('size')];
  if (path.includes('\0') || linkPath.includes('\0')) throw fault('a name with a NUL');
  if (!/^[0-9]*$/.test(size) || !Number.isSafeInteger(Number(size))) {
    throw fault('an extended header with a size that is none');
  }
  // An empty value takes an override back.
  return {
    ...(path && { path }),
    ...(linkPath && { linkPath }),
    ...(size && { size: Number(size) }),
  };
}

/** Values as they are: those that are no names may be any bytes. */
function readRecords(body: Buffer, fault: Fault): ReadonlyMap<string, Buffer> {
  const records = new Map<string, Buffer>();
  for (let at = 0; at < body.length; ) {
    const space = body.indexOf(0x20, at);
    const length = body.toString('latin1', at, Math.max(at, space));
    const end = at + Number(length);
    const equals = body.indexOf(0x3d, space);
    const isRecord =
      /^[1-9][0-9]{0,8}$/.test(length) &&
      equals > space + 1 &&
      equals < end &&
      body[end - 1] === 0x0a;
    if (!isRecord) throw fault('an extended header that is none');
    records.set(body.toString('latin1', space + 1, equals), body.subarray(equals + 1, end - 1));
    at = end;
  }
  return records;
}

/** The name that a GNU long-name header holds. */
export function readLongName(body: Buffer, fault: Fault): string {
  return text(body, 0, body.length, fault);
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Names that are not UTF-8 differ on disk and would not here. */
function decode(bytes: Uint8Array, fault: Fault): string {
  try {
    return decoder.decode(bytes);
  } catch {
    throw fault('a name that is not UTF-8');
  }
}
