/** What the graph has to know of what builds an image, at a glance. */
export interface BuildSketch {
  /** Whether it needs a container to be built in, or says what only container engines know. */
  readonly needsEngine: boolean;
  /** What it copies out of its context, as globs; undefined where that is not plain to see. */
  readonly copies: readonly string[] | undefined;
  /** What it is built upon, but for what is not plain to see. */
  readonly bases: readonly string[];
}

const forEngines: ReadonlySet<string> = new Set(['RUN', 'SHELL', 'HEALTHCHECK', 'ONBUILD']);

/**
 * Reads as much of a Dockerfile as targets depend on; the build reads the file in earnest. Where it is not
 * plain what is copied, that counts as everything. A base that only the build is told of, by an argument
 * without a default for instance, is left out.
 */
export function sketch(text: string): BuildSketch {
  const lines = instructions(text);
  const copies = lines.map(copied);
  return {
    needsEngine: lines.some((line) => forEngines.has(keywordOf(line))),
    copies: copies.every((sources) => sources !== undefined)
      ? [...new Set(copies.flat())].sort()
      : undefined,
    bases: plainBases(lines),
  };
}

/** One instruction a line: continued lines joined, and without comments and what is written in place. */
function instructions(text: string): readonly string[] {
  const found: string[] = [];
  let open = '';
  let heredoc: string | undefined;
  const isContinued = /^#\s*escape=`/i.test(text) ? /`$/ : /\\$/;
  for (const line of text.replace(/^\uFEFF/, '').split(/\r?\n/)) {
    if (heredoc !== undefined) {
      if (line.trim() === heredoc) heredoc = undefined;
      continue;
    }
    if (/^\s*(?:#|$)/.test(line)) continue;
    const whole = open + line.trim();
    open = isContinued.test(whole) ? `${whole.slice(0, -1)} ` : '';
    if (open !== '') continue;
    found.push(whole);
    heredoc = /<<-?["']?(\w+)/.exec(whole)?.[1];
  }
  return open === '' ? found : [...found, open];
}

function keywordOf(line: string): string {
  return (/^\w+/.exec(line)?.[0] ?? '').toUpperCase();
}

function plainBases(lines: readonly string[]): readonly string[] {
  const values = new Map<string, string>();
  const bases: (string | undefined)[] = [];
  for (const line of lines) {
    const words = line.split(/\s+/).slice(1);
    if (keywordOf(line) === 'FROM') {
      bases.push(expanded(words.find((word) => !word.startsWith('--')) ?? '', values));
    } else if (keywordOf(line) === 'ARG' && bases.length === 0) {
      for (const word of words) declare(word, values);
    }
  }
  return bases.filter((base) => base !== undefined);
}

/** Adds an argument and its default, if it has one that is plain to see. */
function declare(word: string, values: Map<string, string>): void {
  const [, name = '', text = ''] = /^(\w+)=(.+)$/.exec(word) ?? [];
  const value = expanded(text, values);
  if (value) values.set(name, value);
}

/** A word with the values of arguments in their places; undefined where it is not plain what it says. */
function expanded(word: string, values: ReadonlyMap<string, string>): string | undefined {
  const whole = word
    .replace(/^(["'])(.*)\1$/, '$2')
    .replace(
      /\$(?:(\w+)|\{(\w+)(?::?-([^{}$]*))?\})/g,
      (text, bare, braced, fallback) => (values.get(bare ?? braced) ?? fallback) || text,
    );
  return /[$"'\\]/.test(whole) ? undefined : whole;
}

/** What an instruction copies out of the context; undefined where that is not plain to see. */
function copied(line: string): readonly string[] | undefined {
  if (!['COPY', 'ADD'].includes(keywordOf(line))) return [];
  const words = line.split(/\s+/).slice(1);
  if (words.some((word) => word.startsWith('--from='))) return [];
  return plainSources(words.filter((word) => !word.startsWith('--')).slice(0, -1));
}

/** What is copied, as globs; undefined where that is not plain to see. */
export function plainSources(sources: readonly string[]): readonly string[] | undefined {
  const normal = sources.map((source) => source.replace(/^(?:\.?\/)+/, '').replace(/\/+$/, ''));
  return normal.every((source) => /^[\w@+=,.*?-][\w@+=,./*?-]*$/.test(source) && isInside(source))
    ? normal
    : undefined;
}

function isInside(source: string): boolean {
  return source !== '.' && !source.split('/').includes('..');
}

/**
 * What copies through a symbolic link counts as copying everything: Nx has the link in its hash, and not
 * what it leads to.
 *
 * @param isLink of a path in the project; not asked about what patterns stand for
 */
export function wholeBehindLinks(
  build: BuildSketch,
  isLink: (path: string) => boolean,
): BuildSketch {
  const isLinked = build.copies?.some((path) => waysTo(path).some(isLink));
  return isLinked ? { ...build, copies: undefined } : build;
}

/** The directories on the way to a path and the path itself, as far as that is no pattern. */
function waysTo(path: string): readonly string[] {
  const parts = path.split('/');
  const pattern = parts.findIndex((part) => /[*?]/.test(part));
  const plain = pattern < 0 ? parts : parts.slice(0, pattern);
  return plain.map((_, at) => plain.slice(0, at + 1).join('/'));
}
