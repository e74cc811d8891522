import { type Content, codeOf, OciError, readText, type Tree } from '@cluster-image/oci';
import { type Rendering, renderCommand } from './chart-renderings.ts';
import type { FindInCharts } from './charts.ts';
import { type Findings, nothing, type Origin } from './discovery.ts';
import { findInDocuments } from './documents.ts';
import { sourceLines } from './source-lines.ts';

/** Helm's own limit on a file of a chart, in bytes. */
const fileLimit = 5 * 1024 * 1024;

/** A chart as it lies in the context. */
export interface Chart {
  readonly path: string;
  /** By paths that begin in the chart; where it is not packed, the entries have theirs in the context. */
  readonly files: Tree;
  readonly isPacked: boolean;
  /** All of it, where that is not in one place of the context. */
  readonly packed?: Content;
}

/** What a chart comes to when it is rendered so. What cannot be rendered is unresolved. */
export async function findInRendering(
  chart: Chart,
  rendering: Rendering,
  { render, rules, files, explain }: FindInCharts,
): Promise<Findings> {
  const { path } = chart;
  const via = renderCommand(path, rendering);
  let rendered: string;
  try {
    rendered = await render({ ...rendering, path, packed: chart.packed, file: files?.get(path) });
  } catch (error) {
    const failed = unrendered(error, { ...(await failedAt(error, chart)), via });
    return rendering.isPartial ? doubtful(failed) : failed;
  }
  const places = new Map<string, string>();
  const sources = await sourceLines(rendered, async (template) => {
    const entry = await chart.files.entry(template);
    if (entry?.type !== 'file' || entry.content.size > fileLimit) return undefined;
    places.set(template, chart.packed ? entry.path : `${path}/${template}`);
    return readText(entry.content, fileLimit);
  });
  return findInDocuments(rendered, path, {
    ...(rules && { rules }),
    origin: (line, head) => ({
      ...placeOf(line, sourceOf(head)),
      ...(explain && { rendered: line }),
    }),
  });

  function placeOf(line: number, template: string | undefined): Origin {
    if (template === undefined) return { file: path, via };
    // A template inside an archive is no file of the context.
    const file = chart.isPacked ? undefined : places.get(template);
    if (file === undefined) return { file: path, via: `${via}: ${template}` };
    const known = sources.get(template)?.(line);
    return known === undefined ? { file, via } : { file, line: known, via };
  }
}

/** The template that helm says a document comes from, without the chart's own name in front. */
function sourceOf(head: string): string | undefined {
  return /^# ?Source: [^/\n]+\/(.+)$/m.exec(head)?.[1];
}

/** Where helm says that a chart failed, as far as that is a file of the context. */
async function failedAt(error: unknown, { path, files, isPacked }: Chart): Promise<Origin> {
  const message = error instanceof Error ? error.message : '';
  const position = /[\w.-]+\/((?:charts\/[\w.-]+\/)*templates\/[^\s:()]+)(?::(\d+))?/.exec(message);
  const [, template = '', line] = position ?? [];
  const entry = isPacked || template === '' ? undefined : await files.entry(template);
  if (!entry) return { file: path };
  return { file: entry.path, ...(line !== undefined && { line: Number(line) }) };
}

/** What becomes of a chart that cannot be rendered. Throws what is no fault of the chart. */
export function unrendered(error: unknown, origin: Origin): Findings {
  const code = codeOf(error);
  const isOfChart = code === 'INPUT_INVALID' || code === 'ARCHIVE_INVALID';
  if (!isOfChart || !(error instanceof OciError)) throw error;
  const reason = error.hint === undefined ? error.message : `${error.message}. ${error.hint}`;
  return { ...nothing, unresolved: [{ text: '', reason, origin }] };
}

/** Failures of what could not be told in whole. */
function doubtful({ unresolved }: Findings): Findings {
  const suspects = unresolved.map(({ reason, origin }) => ({
    text: origin.via ?? origin.file,
    reason,
    origins: [origin],
  }));
  return { ...nothing, suspects };
}
