import type { Tree, TreeEntry } from '@cluster-image/oci';
import type { PlanEntry } from '@cluster-image/storage';
import { minimatch } from 'minimatch';

/** Something that can be copied into an image: a file of the context, or bytes known by digest. */
export type SourceEntry = TreeEntry | PlanEntry;

/** What `COPY` copies from, by path. Paths are relative and in one spelling; parents are in it. */
export type Source = ReadonlyMap<string, SourceEntry>;

/** What docker means by a pattern: no braces, no extended globs, a leading dot is nothing special. */
const syntax = { dot: true, nobrace: true, noext: true, nonegate: true, nocomment: true } as const;

export function matchesPattern(path: string, pattern: string): boolean {
  return minimatch(path, pattern, syntax);
}

export function isPattern(text: string): boolean {
  return /[*?[\\]/.test(text);
}

/**
 * The files of a context that `.dockerignore` lets through. A later line overrules an earlier one,
 * and what matches a directory matches everything below it.
 * https://docs.docker.com/build/concepts/context/#dockerignore-files
 *
 * @param excluded paths that are no part of the context whatever the file says
 */
export async function contextSource(
  tree: Tree,
  ignoreText: string,
  excluded: readonly string[],
): Promise<Source> {
  const rules = parseIgnore(ignoreText);
  const source = new Map<string, SourceEntry>();
  const isExcluded = (path: string): boolean =>
    excluded.some((root) => path === root || path.startsWith(`${root}/`));
  for await (const entry of tree.entries()) {
    if (!isExcluded(entry.path) && !isIgnored(entry.path, rules)) source.set(entry.path, entry);
  }
  return withParents(source);
}

interface IgnoreRule {
  readonly pattern: string;
  readonly isException: boolean;
}

function parseIgnore(text: string): readonly IgnoreRule[] {
  return text
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/)
    .filter((line) => !line.startsWith('#'))
    .map((line) => line.trim())
    .filter((line) => line !== '' && line !== '!' && line !== '.')
    .map((line) => {
      const isException = line.startsWith('!');
      const parts = (isException ? line.slice(1).trim() : line).split('/');
      const pattern = parts.filter((part) => part !== '' && part !== '.').join('/');
      return { pattern, isException };
    });
}

function isIgnored(path: string, rules: readonly IgnoreRule[]): boolean {
  const parts = path.split('/');
  const candidates = parts.map((_, at) => parts.slice(0, at + 1).join('/'));
  let ignored = false;
  for (const { pattern, isException } of rules) {
    if (ignored !== isException) continue;
    if (candidates.some((candidate) => matchesPattern(candidate, pattern))) ignored = !isException;
  }
  return ignored;
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
  const parts = path.split('/').slice(0, -1);
  return parts.map((_, at) => parts.slice(0, at + 1).join('/'));
}

export function directoryEntry(path: string): PlanEntry {
  return { type: 'directory', path, mode: 0o755 };
}

/** One source over another: where both have a path, the upper one's counts. */
export function over(upper: Source, lower: Source): Source {
  return new Map([...lower, ...upper]);
}
