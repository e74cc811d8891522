/**
 * For each template of a chart that is there as a file, which of its lines the rendered `image` lines
 * come from. Helm does not tell, and it sorts what it rendered by kind; so a line is known only where
 * no other can be meant: none other would render to it, or the template renders to one document that
 * has as many of them, in the same order.
 *
 * @param rendered what `helm template` printed; lines are counted from 1 in both
 */
export async function sourceLines(
  rendered: string,
  open: (template: string) => Promise<string | undefined>,
): Promise<ReadonlyMap<string, ReadonlyMap<number, number>>> {
  const known = new Map<string, ReadonlyMap<number, number>>();
  for (const [name, { lines, documents }] of renderedTemplates(rendered)) {
    const template = await open(name);
    if (template === undefined) continue;
    const sources = imageLines(template.split('\n'));
    const found = new Map<number, number>();
    for (const [at, { line, text }] of lines.entries()) {
      const possible = sources.filter((source) => mayRenderTo(source.text, text));
      const isInOrder = documents === 1 && sources.length === lines.length;
      const source = isInOrder
        ? possible.find((candidate) => candidate === sources[at])
        : possible.length === 1
          ? possible[0]
          : undefined;
      if (source) found.set(line, source.line);
    }
    known.set(name, found);
  }
  return known;
}

interface Line {
  readonly line: number;
  readonly text: string;
}

interface RenderedTemplate {
  readonly lines: Line[];
  documents: number;
}

function renderedTemplates(rendered: string): ReadonlyMap<string, RenderedTemplate> {
  const templates = new Map<string, RenderedTemplate>();
  let current: RenderedTemplate = { lines: [], documents: 0 };
  for (const [at, text] of rendered.split('\n').entries()) {
    const source = /^# Source: [^/]+\/(.+)$/.exec(text)?.[1];
    if (source !== undefined) {
      current = templates.get(source) ?? { lines: [], documents: 0 };
      current.documents += 1;
      templates.set(source, current);
    }
    if (isImageLine(text)) current.lines.push({ line: at + 1, text });
  }
  return templates;
}

function imageLines(lines: readonly string[]): readonly Line[] {
  return lines.flatMap((text, at) => (isImageLine(text) ? [{ line: at + 1, text }] : []));
}

function isImageLine(line: string): boolean {
  return /^\s*(?:-\s+)?"?image"?\s*:/.test(line);
}

/** Whether a line of a template can become a line, whatever its actions give: its literal parts are there, in order. */
function mayRenderTo(template: string, line: string): boolean {
  const [first = '', ...others] = template.trim().split(/\{\{.*?\}\}/);
  const last = others.pop();
  const text = line.trim();
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
