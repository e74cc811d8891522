/** What a header block says, right or wrong; a number is written in octal. */
export interface RawHeader {
  readonly name?: string | Buffer;
  readonly mode?: string;
  readonly size?: number | Buffer | string;
  readonly type?: string;
  readonly link?: string;
  readonly magic?: string;
  readonly prefix?: string;
  readonly trailer?: string;
  /** What the checksum is off by. */
  readonly checksum?: number;
  /** Adds up bytes as if they had a sign, as some old writers did. */
  readonly signed?: boolean;
}

/** A tar archive's end. */
export const end = Buffer.alloc(1024);

export function rawHeader(header: RawHeader): Buffer {
  const { name = '', mode = '0000644\0', size = 0, type = '0', link = '' } = header;
  const block = Buffer.alloc(512);
  Buffer.from(name).copy(block, 0, 0, 100);
  block.write(mode, 100);
  block.write('0000000\x000000000\0', 108);
  if (typeof size === 'number') block.write(`${size.toString(8).padStart(11, '0')}\0`, 124);
  else Buffer.from(size).copy(block, 124, 0, 12);
  block.write('00000000000\0', 136);
  block.write(type, 156);
  Buffer.from(link).copy(block, 157, 0, 100);
  block.write(header.magic ?? 'ustar\x0000', 257);
  block.write(header.prefix ?? '', 345);
  block.write(header.trailer ?? '', 508);
  block.write('        ', 148);
  let sum = 0;
  for (const byte of block) sum += byte - (header.signed && byte > 127 ? 256 : 0);
  block.write(`${(sum + (header.checksum ?? 0)).toString(8).padStart(6, '0')}\0 `, 148);
  return block;
}

/** An entry with its bytes, its size being theirs where none is given. */
export function rawEntry(header: RawHeader, body: string | Buffer = ''): Buffer {
  const bytes = Buffer.from(body);
  const padding = Buffer.alloc((512 - (bytes.length % 512)) % 512);
  return Buffer.concat([rawHeader({ size: bytes.length, ...header }), bytes, padding]);
}

/** A pax header for the entry after it. */
export function pax(records: Readonly<Record<string, string | Buffer>>, type = 'x'): Buffer {
  const body = Object.entries(records).map(([key, value]) => paxRecord(key, value));
  return rawEntry({ name: 'pax', type }, Buffer.concat(body));
}

function paxRecord(key: string, value: string | Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), Buffer.from(value), Buffer.from('\n')]);
  let length = rest.length + 1;
  while (rest.length + String(length).length !== length)
    length = rest.length + String(length).length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

/** A number as GNU tar writes those that are too large for octal digits. */
export function base256(value: bigint): Buffer {
  const bytes = Buffer.alloc(12);
  let left = BigInt.asUintN(95, value);
  for (let at = 11; at >= 0; at--) {
    bytes[at] = Number(left & 0xffn);
    left >>= 8n;
  }
  bytes[0] = (bytes[0] ?? 0) | 0x80;
  return bytes;
}
