/** What the graph has to know of what builds an image, at a glance. */
export interface BuildSketch {
  /** Whether it needs a container to be built in, or says what only container engines know. */
  readonly needsEngine: boolean;
  /** What it copies out of its context, as globs; undefined where that is not plain to see. */
  readonly copies: readonly string[] | undefined;
  /** What it is built upon; undefined where that is not plain to see. */
  readonly bases: readonly string[] | undefined;
}

const forEngines: ReadonlySet<string> = new Set(['RUN', 'SHELL', 'HEALTHCHECK', 'ONBUILD']);

/**
 * Reads as much of a Dockerfile as targets depend on, and is never wrong to the harmful side: what is
 * not plain counts as copying everything, and the build reads the file in earnest.
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

function plainBases(lines: readonly string[]): readonly string[] | undefined {
  const bases = lines
    .filter((line) => keywordOf(line) === 'FROM')
    .map(
      (line) =>
        line
          .split(/\s+/)
          .slice(1)
          .find((word) => !word.startsWith('--')) ?? '',
    );
  return bases.some((base) => /[$"']/.test(base)) ? undefined : bases;
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
