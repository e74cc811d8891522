import { OciError, readAll, type Tree, type TreeEntry } from '@cluster-image/oci';
import PQueue from 'p-queue';
import { type FileEntry, followed } from '../follow.ts';
import { type Findings, merge, nothing } from './discovery.ts';

/** The most that a manifest or list may hold, in bytes. */
const fileLimit = 16 * 1024 * 1024;

/** How many files are read at a time. */
const filesAtOnce = 16;

/** What one file has to say, by its text and its name. */
export type Find = (text: string, file: string) => Findings;

/** Reads the files below a directory whose paths are like that. */
export async function findBelow(
  tree: Tree,
  directory: string,
  names: RegExp,
  find: Find,
): Promise<Findings> {
  const entries = await entriesBelow(tree, directory);
  return findAmong(
    tree,
    entries.filter(({ path }) => names.test(path)),
    find,
  );
}

/** All that is below a directory. */
export async function entriesBelow(tree: Tree, directory: string): Promise<readonly TreeEntry[]> {
  const entries: TreeEntry[] = [];
  for await (const entry of tree.entries(directory)) entries.push(entry);
  return entries;
}

/** Reads those entries that are files, or lead to some. */
export async function findAmong(
  tree: Tree,
  entries: readonly TreeEntry[],
  find: Find,
): Promise<Findings> {
  const queue = new PQueue({ concurrency: filesAtOnce });
  const found = entries.map((entry) => queue.add(() => findIn(tree, entry, find)));
  return merge(await Promise.all(found));
}

/** Reads those of some files that are there. */
export async function findInFiles(
  tree: Tree,
  paths: readonly string[],
  find: Find,
): Promise<Findings> {
  return merge(
    await Promise.all(paths.map(async (path) => findIn(tree, await tree.entry(path), find))),
  );
}

/** Reads a file, through links that stay in the tree. What is no text is unresolved. */
export async function findIn(
  tree: Tree,
  entry: TreeEntry | undefined,
  find: Find,
): Promise<Findings> {
  if (!entry || entry.type === 'directory') return nothing;
  const { path } = entry;
  const file = entry.type === 'file' ? entry : await followed(tree, path);
  if (!file) return unreadable(path, 'a link to no file of the context');
  const text = await textOf(file);
  return text === undefined ? unreadable(path, 'neither UTF-8 nor UTF-16') : find(text, path);
}

function unreadable(file: string, reason: string): Findings {
  return { ...nothing, unresolved: [{ text: '', reason, origin: { file } }] };
}

/** The text of a file; undefined where it is none. Throws INPUT_INVALID for what is too large. */
export async function textOf({ path, content }: FileEntry): Promise<string | undefined> {
  if (content.size > fileLimit) {
    throw new OciError('INPUT_INVALID', `${path} has over ${fileLimit} bytes`);
  }
  return decoded(await readAll(content, fileLimit));
}

function decoded(bytes: Uint8Array): string | undefined {
  const [first, second] = bytes;
  const isWide = (first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff);
  const encoding = !isWide ? 'utf-8' : first === 0xff ? 'utf-16le' : 'utf-16be';
  try {
    const text = new TextDecoder(encoding, { fatal: true }).decode(bytes);
    return text.includes('\0') ? undefined : text;
  } catch {
    return undefined;
  }
}
