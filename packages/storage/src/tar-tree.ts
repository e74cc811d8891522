import {
  type Content,
  compareBytes,
  type Digest,
  digestContent,
  OciError,
  readAll,
  slice,
  type Tree,
  type TreeEntry,
} from '@cluster-image/oci';
import {
  block,
  type Fault,
  isNullBlock,
  readHeader,
  readLongName,
  readOverrides,
  type TarHeader,
  type TarOverrides,
} from './tar-header.ts';

/** How much is read at a time while headers are looked for, in bytes. */
const windowSize = 64 * 1024;

export interface TarOptions {
  /** Refuses entries of one name that are not the same. */
  readonly unique?: boolean;
  /** How many entries there may be: more than any archive of images has, by default. */
  readonly entryLimit?: number;
}

/** The longest name, and the most that a pax or long-name header may hold, in bytes. */
const nameLimit = 4096;
const extensionLimit = 64 * 1024;

/**
 * A tar archive as a tree: indexed once by seeking from header to header, its files then read by
 * range. Nothing is ever extracted, so a name in an archive is a key of a map and never a path on
 * disk; those that climb out with `..` are refused all the same. Of several entries with one name
 * the last counts.
 *
 * Throws ARCHIVE_INVALID, naming the entry or the offset in bytes.
 *
 * @param what how errors name the archive, for instance its path
 */
export async function tarTree(
  content: Content,
  what: string,
  { unique = false, entryLimit = 1_000_000 }: TarOptions = {},
): Promise<Tree> {
  const invalid: Fault = (why) => new OciError('ARCHIVE_INVALID', `${what}: ${why}`);
  const entries = new Map<string, TreeEntry>();
  const repeated: [TreeEntry, TreeEntry][] = [];
  let count = 0;
  for await (const entry of scan(content, invalid, (path) => entries.get(path))) {
    if (++count > entryLimit) throw invalid(`more than ${entryLimit} entries`);
    const earlier = entries.get(entry.path);
    if (earlier && unique) repeated.push([earlier, entry]);
    entries.set(entry.path, entry);
  }
  const isSame = comparison();
  for (const [earlier, later] of repeated) {
    if (!(await isSame(earlier, later))) {
      throw invalid(`${later.path} is in it twice, with different bytes`);
    }
  }
  const sorted = [...entries.values()].sort((a, b) => compareBytes(a.path, b.path));
  return {
    async *entries(below) {
      for (const entry of sorted) {
        if (!below || entry.path.startsWith(`${below}/`)) yield entry;
      }
    },
    entry: async (path) => entries.get(path),
  };
}

/**
 * The entries of a tar archive in their order, as `tarTree` reads them. One whose bytes are wanted is
 * read before the next is asked for, where the archive can only be read forwards.
 */
export async function* tarEntries(content: Content, what: string): AsyncIterable<TreeEntry> {
  const seen = new Map<string, TreeEntry>();
  const invalid: Fault = (why) => new OciError('ARCHIVE_INVALID', `${what}: ${why}`);
  for await (const entry of scan(content, invalid, (path) => seen.get(path))) {
    seen.set(entry.path, entry);
    yield entry;
  }
}

async function* scan(
  content: Content,
  invalid: Fault,
  find: (path: string) => TreeEntry | undefined,
): AsyncIterable<TreeEntry> {
  const read = windowed(content);
  let overrides: TarOverrides = {};
  let at = 0;
  const fault: Fault = (why) => invalid(`${why} at byte ${at}`);

  async function extension(size: number): Promise<Buffer> {
    if (size > extensionLimit) throw fault(`a header of ${size} bytes`);
    const start = at + block;
    const body = await readAll(slice(content, { start, end: start + size }), extensionLimit);
    return Buffer.from(body);
  }

  while (at < content.size) {
    if (at + block > content.size) throw fault('is cut off');
    const head = await read(at, block);
    if (isNullBlock(head)) {
      const isAlone = at + 2 * block <= content.size && !isNullBlock(await read(at + block, block));
      if (isAlone) throw fault('goes on after its end');
      break;
    }
    const plain = readHeader(head, fault);
    const isExtension = extensionTypes.includes(plain.type);
    const header = isExtension ? plain : { ...plain, ...overrides };
    const start = at + block;
    const { size } = header;
    if (start + size > content.size) {
      throw invalid(`${header.path || `the entry at byte ${at}`} is cut off`);
    }
    if (isExtension) {
      const body = await extension(size);
      const more = extend(header.type, body, fault);
      if (Object.keys(more).some((key) => key in overrides)) {
        throw fault('two extended headers for one entry');
      }
      overrides = { ...overrides, ...more };
    } else {
      overrides = {};
      const found = entryOf(header, slice(content, { start, end: start + size }), invalid, find);
      if (found) yield found;
    }
    at = start + Math.ceil(size / block) * block;
    if (at > content.size) throw fault('is cut off');
  }
  if (Object.keys(overrides).length > 0) throw invalid('ends before the entry of a long name');
}

const extensionTypes: readonly string[] = ['x', 'g', 'L', 'K'];

/** What an extended header changes about the entry after it. */
function extend(type: string, body: Buffer, fault: Fault): TarOverrides {
  if (type === 'L') return { path: readLongName(body, fault) };
  if (type === 'K') return { linkPath: readLongName(body, fault) };
  const overrides = readOverrides(body, fault);
  if (type === 'x') return overrides;
  // Some readers let a global header change every entry after it, others none.
  if (Object.keys(overrides).length > 0) throw fault('a global header with a name or size');
  return {};
}

/** What a header makes an entry of the tree; undefined for what has no bytes and no place in one. */
function entryOf(
  header: TarHeader,
  content: Content,
  invalid: Fault,
  find: (path: string) => TreeEntry | undefined,
): TreeEntry | undefined {
  const { mode, linkPath } = header;
  const path = entryPath(header.path, invalid);
  const isFile = header.type === '0' || header.type === '7';
  // Some old archives have directories that differ from files by a slash only.
  const isDirectory = header.type === '5' || (isFile && header.path.endsWith('/'));
  if ((!isFile || isDirectory) && header.size > 0)
    throw invalid(`${path} has bytes but is no file`);
  if (isDirectory) return path === '' ? undefined : { type: 'directory', path, mode };
  if (path === '') throw invalid('an entry without a name');
  if (isFile) return { type: 'file', path, mode, content };
  switch (header.type) {
    case '1': {
      const target = find(entryPath(linkPath, invalid));
      if (!target || target.type === 'directory')
        throw invalid(`${path} is a link to nothing in it`);
      return { ...target, path };
    }
    case '2':
      return { type: 'symlink', path, mode, target: linkPath };
    case '3':
    case '4':
    case '6':
      return undefined;
    default:
      throw invalid(`${path} is of type ${JSON.stringify(header.type)}, which is not supported`);
  }
}

/** A name without what does not distinguish it: a leading slash or `./`, a trailing slash. */
function entryPath(name: string, invalid: Fault): string {
  if (Buffer.byteLength(name) > nameLimit) throw invalid(`a name of over ${nameLimit} bytes`);
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) throw invalid(`the name ${JSON.stringify(name)} leads out of it`);
  return parts.join('/');
}

/** Reads small pieces that lie close together with few requests. */
function windowed(content: Content): (at: number, length: number) => Promise<Buffer> {
  let start = 0;
  let held: Buffer = Buffer.alloc(0);
  return async (at, length) => {
    if (at < start || at + length > start + held.length) {
      const end = Math.min(content.size, at + windowSize);
      const { buffer, byteOffset, byteLength } = await readAll(
        slice(content, { start: at, end }),
        windowSize,
      );
      held = Buffer.from(buffer, byteOffset, byteLength);
      start = at;
    }
    return held.subarray(at - start, at - start + length);
  };
}

/** Tells whether two entries are the same, reading no content twice. */
function comparison(): (a: TreeEntry, b: TreeEntry) => Promise<boolean> {
  const digests = new Map<Content, Promise<Digest>>();
  const digestOf = (content: Content): Promise<Digest> => {
    const known = digests.get(content) ?? digestContent(content);
    digests.set(content, known);
    return known;
  };
  return async (a, b) => {
    if (a.type === 'symlink') return b.type === 'symlink' && a.target === b.target;
    if (a.type === 'directory' || b.type !== 'file') return a.type === b.type;
    if (a.content.size !== b.content.size) return false;
    return (await digestOf(a.content)) === (await digestOf(b.content));
  };
}
