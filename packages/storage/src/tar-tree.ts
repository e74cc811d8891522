import {
  type Content,
  compareBytes,
  digestContent,
  OciError,
  readAll,
  slice,
  type Tree,
  type TreeEntry,
} from '@cluster-image/oci';
import { Header, Pax } from 'tar';

/** Tar counts in blocks of 512 bytes. */
const block = 512;

/** How much is read at a time while headers are looked for, in bytes. */
const windowSize = 64 * 1024;

/** More entries than any archive of images has. */
const entryLimit = 1_000_000;

/** The longest name, and the most that a pax or long-name header may hold, in bytes. */
const nameLimit = 4096;
const extensionLimit = 64 * 1024;

/**
 * A tar archive as a tree: indexed once by seeking from header to header, its files then read by
 * range. Nothing is ever extracted, so a name in an archive is a key of a map and never a path on
 * disk; those that climb out with `..` are refused all the same. Of several entries with one name
 * the last counts, and `unique` refuses them where their bytes differ.
 *
 * Throws ARCHIVE_INVALID, naming the entry or the offset in bytes.
 *
 * @param what how errors name the archive, for instance its path
 */
export async function tarTree(
  content: Content,
  what: string,
  options: { readonly unique?: boolean } = {},
): Promise<Tree> {
  const invalid = (why: string): OciError => new OciError('ARCHIVE_INVALID', `${what}: ${why}`);
  const entries = new Map<string, TreeEntry>();
  const repeated: [TreeEntry, TreeEntry][] = [];
  for await (const entry of scan(content, invalid, (path) => entries.get(path))) {
    const earlier = entries.get(entry.path);
    if (earlier && entry.type === 'file') repeated.push([earlier, entry]);
    entries.set(entry.path, entry);
    if (entries.size > entryLimit) throw invalid(`more than ${entryLimit} entries`);
  }
  if (options.unique) {
    for (const [earlier, later] of repeated) {
      if (!(await isSame(earlier, later))) {
        throw invalid(`${later.path} is in it twice, with different bytes`);
      }
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

type Invalid = (why: string) => OciError;

async function* scan(
  content: Content,
  invalid: Invalid,
  find: (path: string) => TreeEntry | undefined,
): AsyncIterable<TreeEntry> {
  const read = windowed(content);
  let extension: Pax | undefined;
  let everywhere: Pax | undefined;
  let at = 0;
  while (at + block <= content.size) {
    const head = new Header(await read(at, block), 0, extension, everywhere);
    if (head.nullBlock) return;
    if (!head.cksumValid) throw invalid(`no tar header at byte ${at}`);
    const size = head.size ?? -1;
    const start = at + block;
    if (!Number.isSafeInteger(size) || size < 0) throw invalid(`bad size in the header at ${at}`);
    if (start + size > content.size) {
      throw invalid(`${head.path || `the entry at byte ${at}`} is cut off`);
    }
    at = start + Math.ceil(size / block) * block;
    const body = { start, end: start + size };
    switch (head.type) {
      case 'ExtendedHeader':
        extension = Pax.parse(await extensionText(), extension);
        continue;
      case 'GlobalExtendedHeader':
        everywhere = Pax.parse(await extensionText(), everywhere, true);
        continue;
      case 'NextFileHasLongPath':
      case 'OldGnuLongPath':
        extension = withName(extension, 'path', await extensionText());
        continue;
      case 'NextFileHasLongLinkpath':
        extension = withName(extension, 'linkpath', await extensionText());
        continue;
    }
    extension = undefined;
    const path = entryPath(head.path ?? '', invalid);
    const mode = (head.mode ?? 0) & 0o7777;
    if (path === '') continue;
    switch (head.type) {
      case 'File':
      case 'OldFile':
      case 'ContiguousFile':
        yield { type: 'file', path, mode, content: slice(content, body) };
        break;
      case 'Directory':
      case 'GNUDumpDir':
        yield { type: 'directory', path, mode };
        break;
      case 'SymbolicLink':
        yield { type: 'symlink', path, mode, target: head.linkpath ?? '' };
        break;
      case 'Link': {
        const target = find(entryPath(head.linkpath ?? '', invalid));
        if (target?.type !== 'file') throw invalid(`${path} is a link to nothing in it`);
        yield { ...target, path };
        break;
      }
      case 'CharacterDevice':
      case 'BlockDevice':
      case 'FIFO':
        break;
      default:
        throw invalid(`${path} is of type ${head.type}, which is not supported`);
    }

    async function extensionText(): Promise<string> {
      if (size > extensionLimit) throw invalid(`a header of ${size} bytes at byte ${start}`);
      return Buffer.from(await readAll(slice(content, body), extensionLimit)).toString('utf8');
    }
  }
}

function withName(extension: Pax | undefined, field: 'path' | 'linkpath', text: string): Pax {
  const end = text.indexOf('\0');
  const name = end < 0 ? text : text.slice(0, end);
  return new Pax({ ...extension, [field]: name });
}

/** A name without what does not distinguish it: a leading slash or `./`, a trailing slash. */
function entryPath(name: string, invalid: Invalid): string {
  if (Buffer.byteLength(name) > nameLimit) throw invalid(`a name of over ${nameLimit} bytes`);
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) throw invalid(`the name ${JSON.stringify(name)} leads out of it`);
  if (name.includes('\0')) throw invalid(`the name ${JSON.stringify(name)} has a NUL`);
  return parts.join('/');
}

/** Reads small pieces that lie close together with few requests. */
function windowed(content: Content): (at: number, length: number) => Promise<Buffer> {
  let start = 0;
  let held = Buffer.alloc(0);
  return async (at, length) => {
    if (at < start || at + length > start + held.length) {
      const end = Math.min(content.size, at + Math.max(length, windowSize));
      held = Buffer.from(await readAll(slice(content, { start: at, end }), windowSize));
      start = at;
    }
    return held.subarray(at - start, at - start + length);
  };
}

async function isSame(a: TreeEntry, b: TreeEntry): Promise<boolean> {
  if (a.type !== 'file' || b.type !== 'file' || a.content.size !== b.content.size) return false;
  return (await digestContent(a.content)) === (await digestContent(b.content));
}
