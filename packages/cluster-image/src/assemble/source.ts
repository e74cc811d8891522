import { posix } from 'node:path';
import { readText, type Tree, type TreeEntry } from '@cluster-image/oci';
import type { PlanEntry } from '@cluster-image/storage';
import { Minimatch } from 'minimatch';

/** Something that can be copied into an image: a file of the context, or bytes known by digest. */
export type SourceEntry = TreeEntry | PlanEntry;

/** What `COPY` copies from, by path. Paths are relative and in one spelling; parents are in it. */
export type Source = ReadonlyMap<string, SourceEntry>;

/** What docker means by a pattern: no braces, no extended globs, a leading dot is nothing special. */
const syntax = { dot: true, nobrace: true, noext: true, nonegate: true, nocomment: true } as const;

/** Whether a path fits a pattern of `COPY`, in which `**` is no more than `*`. */
export function matchesCopyPattern(path: string, pattern: string): boolean {
  return new Minimatch(pattern, { ...syntax, noglobstar: true }).match(path);
}

export function isPattern(text: string): boolean {
  return /[*?[\\]/.test(text);
}

/**
 * The files of a context that `.dockerignore` lets through, with the modes they have in an image. A
 * later line overrules an earlier one, and what matches a directory matches everything below it.
 * https://docs.docker.com/build/concepts/context/#dockerignore-files
 *
 * @param open opens the context without what is left out, which is then not even looked at
 * @param excluded paths that are no part of the context whatever the file says
 */
export async function contextSource(
  open: (skip: (path: string) => boolean) => Tree,
  ignoreText: string,
  excluded: readonly string[],
): Promise<Source> {
  const rules = parseIgnore(ignoreText);
  const isExcluded = (path: string): boolean =>
    excluded.some((root) => path === root || path.startsWith(`${root}/`));
  const isOut = (path: string): boolean => isExcluded(path) || isIgnored(path, rules);
  const tree = open((path) => isExcluded(path) || (isOut(path) && !mayHold(path, rules)));
  const source = new Map<string, SourceEntry>();
  for await (const entry of tree.entries()) {
    if (!isOut(entry.path)) source.set(entry.path, normalized(entry));
  }
  for (const path of excluded) removeEmptied(source, path);
  return withParents(source);
}

/** The names that an ignore file of a context can have, buildah's or docker's; the first that is there counts. */
export function ignoreFilesOf(kubefile: string): readonly string[] {
  return [`${kubefile}.dockerignore`, '.containerignore', '.dockerignore'];
}

/** What the ignore file of a context says; nothing where there is none. */
export async function ignoreTextOf(tree: Tree, kubefile: string): Promise<string> {
  for (const path of ignoreFilesOf(kubefile)) {
    const entry = await tree.entry(path);
    if (entry?.type !== 'file') continue;
    return readText(entry.content, 1024 * 1024);
  }
  return '';
}

/** Whoever made what is excluded also made the directories above it, where they have nothing else in them. */
function removeEmptied(source: Map<string, SourceEntry>, excluded: string): void {
  for (const parent of parentsOf(excluded).toReversed()) {
    const isFilled = [...source.keys()].some((path) => path.startsWith(`${parent}/`));
    if (isFilled) return;
    if (source.get(parent)?.type === 'directory') source.delete(parent);
  }
}

/** The same whatever machine and umask it comes from: only whether a file is a program counts. */
function normalized(entry: TreeEntry): SourceEntry {
  if (entry.type === 'directory') return directoryEntry(entry.path);
  if (entry.type === 'symlink') return entry;
  return { ...entry, mode: entry.mode & 0o100 ? 0o755 : 0o644 };
}

interface IgnoreRule {
  readonly pattern: Minimatch;
  /** The same, for directories above what it matches. */
  readonly above: Minimatch;
  readonly isException: boolean;
}

function parseIgnore(text: string): readonly IgnoreRule[] {
  return text
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/)
    .filter((line) => !line.startsWith('#'))
    .map((line) => line.trim())
    .map((line) => {
      const isException = line.startsWith('!');
      const path = posix.normalize(isException ? line.slice(1).trim() : line);
      return { isException, path: path.replace(/^\/|\/$/g, '') };
    })
    .filter(({ path }) => path !== '' && path !== '.')
    .map(({ isException, path }) => ({
      pattern: new Minimatch(path, syntax),
      above: new Minimatch(path, { ...syntax, partial: true }),
      isException,
    }));
}

function isIgnored(path: string, rules: readonly IgnoreRule[]): boolean {
  const candidates = [...parentsOf(path), path];
  let ignored = false;
  for (const { pattern, isException } of rules) {
    if (ignored !== isException) continue;
    if (candidates.some((candidate) => pattern.match(candidate))) ignored = !isException;
  }
  return ignored;
}

/** Whether an exception may let something through out of an ignored directory. */
function mayHold(directory: string, rules: readonly IgnoreRule[]): boolean {
  return rules.some(({ above, isException }) => isException && above.match(directory));
}

/** A file that is let through out of an ignored directory still needs the directory. */
function withParents(source: ReadonlyMap<string, SourceEntry>): Source {
  const whole = new Map<string, SourceEntry>();
  for (const [path, entry] of source) {
    for (const parent of parentsOf(path)) {
      if (!whole.has(parent)) whole.set(parent, source.get(parent) ?? directoryEntry(parent));
    }
    whole.set(path, entry);
  }
  return whole;
}

/** The directories above a path, outermost first. */
export function parentsOf(path: string): readonly string[] {
  const parents: string[] = [];
  for (let end = path.indexOf('/'); end >= 0; end = path.indexOf('/', end + 1)) {
    parents.push(path.slice(0, end));
  }
  return parents;
}

export function directoryEntry(path: string): PlanEntry {
  return { type: 'directory', path, mode: 0o755 };
}

/** One source over another: where both have a path, the upper one's counts. */
export function over(upper: Source, lower: Source): Source {
  return new Map([...lower, ...upper]);
}
