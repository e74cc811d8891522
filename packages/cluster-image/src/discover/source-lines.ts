/** The line of a template that a rendered line comes from; undefined where that is not known. */
export type SourceLineOf = (line: number) => number | undefined;

/** How many lines around a line are compared, each way. */
const neighbours = 12;

/** How many lines of other branches may be between two. */
const branches = 8;

/**
 * For each template of a chart that is there as a file, which of its lines rendered lines come from.
 * Helm does not tell, and it sorts what it rendered by kind. So a line is known only where no other can
 * be meant: none other would render to it, or no other has as many neighbours that would render to its
 * neighbours, or as much text in common with it.
 *
 * @param rendered what `helm template` printed; lines are counted from 1 in both
 */
export async function sourceLines(
  rendered: string,
  open: (template: string) => Promise<string | undefined>,
): Promise<ReadonlyMap<string, SourceLineOf>> {
  const lines = rendered.split('\n').map((text) => text.trimEnd());
  const names = lines.flatMap((text) => /^# Source: [^/]+\/(.+)$/.exec(text)?.[1] ?? []);
  const known = new Map<string, SourceLineOf>();
  for (const name of new Set(names)) {
    const template = await open(name);
    if (template !== undefined) known.set(name, sourceLineOf(lines, template));
  }
  return known;
}

function sourceLineOf(rendered: readonly string[], template: string): SourceLineOf {
  let sources: readonly TemplateLine[] | undefined;
  return (line) => {
    sources ??= template.split('\n').flatMap((text, at) => templateLine(text, at + 1));
    const text = rendered[line - 1] ?? '';
    const possible = [...sources.keys()].filter((at) => mayRender(sources?.[at], text));
    if (possible.length <= 1) return sources[possible[0] ?? -1]?.line;
    const likeness = possible.map((at) => alike(sources ?? [], at, rendered, line - 1));
    const best = Math.max(...likeness);
    const likely = possible.filter((_, at) => best > 0 && likeness[at] === best);
    // Of the branches of a condition the one that says most is meant.
    const length = Math.max(...likely.map((at) => sources?.[at]?.length ?? 0));
    const [first, ...others] = likely.filter((at) => sources?.[at]?.length === length);
    return first !== undefined && others.length === 0 ? sources[first]?.line : undefined;
  };
}

/** A line of a template that has a text of its own around its actions. */
interface TemplateLine {
  readonly line: number;
  /** What stands before, between and behind the actions. */
  readonly literals: readonly string[];
  /** Of all that, in characters. */
  readonly length: number;
}

function templateLine(text: string, line: number): readonly TemplateLine[] {
  const literals = text.trimEnd().split(/\{\{.*?\}\}/);
  const isText = literals.some((literal) => /[^\s"'-]/.test(literal));
  return isText ? [{ line, literals, length: literals.join('').length }] : [];
}

/**
 * Whether a line can become another, whatever its actions give: its literal parts are there, in order,
 * and what it is indented by, which is not so for lines of helpers.
 */
function mayRender(source: TemplateLine | undefined, text: string): boolean {
  if (!source) return false;
  const [first = '', ...others] = source.literals;
  const last = others.pop();
  if (last === undefined) return text === first;
  if (!text.startsWith(first) || !text.endsWith(last)) return false;
  let at = first.length;
  for (const part of others) {
    const found = text.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return at <= text.length - last.length;
}

/**
 * How many lines around one of a template would render to those around one that is rendered, in
 * thousandths, less one for each line between that would not, as in another branch of a condition.
 */
function alike(
  sources: readonly TemplateLine[],
  source: number,
  rendered: readonly string[],
  line: number,
): number {
  return alikeTowards(-1) + alikeTowards(1);

  function alikeTowards(step: 1 | -1): number {
    let at = line;
    let next = source;
    let found = 0;
    for (let count = 0; count < neighbours; count++) {
      do at += step;
      while (rendered[at] === '');
      const text = rendered[at];
      if (text === undefined || text === '---' || text.startsWith('# Source: ')) break;
      const skipped = passed(next, step, text);
      if (skipped === undefined) break;
      next += step * (skipped + 1);
      found += 1000 - skipped;
    }
    return found;
  }

  /** How many lines come before the next that would render to a text; undefined where that is too far. */
  function passed(from: number, step: 1 | -1, text: string): number | undefined {
    for (let skipped = 0; skipped < branches; skipped++) {
      if (mayRender(sources[from + step * (skipped + 1)], text)) return skipped;
    }
    return undefined;
  }
}
