import { fileOf, OciError, readAll, type Tree } from '@cluster-image/oci';
import { gunzip, tarTree } from '@cluster-image/storage';
import { type Document, isMap, parseDocument } from 'yaml';
import { type Findings, merge, nothing, type Origin } from './discovery.ts';
import { findInDocuments } from './documents.ts';

/** Renders a chart to the manifests it would install; what is passed is relative to the context. */
export type RenderChart = (chart: ChartToRender) => Promise<string>;

export interface ChartToRender {
  /** A chart's directory or `.tgz`. */
  readonly path: string;
  /** Values files, the later ones winning. */
  readonly values: readonly string[];
}

/** Helm's own limits on the files of a chart, in bytes. */
const chartLimit = 100 * 1024 * 1024;
const fileLimit = 5 * 1024 * 1024;

/**
 * The images of every chart directly below `charts/`, with the values in `charts/<chart name>.values.yaml`
 * if there are any, as sealos has it.
 */
export async function findInCharts(tree: Tree, render: RenderChart): Promise<Findings> {
  const paths: string[] = [];
  for await (const entry of tree.entries('charts')) {
    if (entry.path.split('/').length !== 2) continue;
    const isChart =
      entry.type === 'directory'
        ? (await tree.entry(`${entry.path}/Chart.yaml`)) !== undefined
        : entry.type === 'file' && entry.path.endsWith('.tgz');
    if (isChart) paths.push(entry.path);
  }
  return merge(await Promise.all(paths.map((path) => findInChart(tree, path, render))));
}

async function findInChart(tree: Tree, path: string, render: RenderChart): Promise<Findings> {
  const chart = await openChart(tree, path);
  const name = await chartName(chart, path);
  const valuesFile = `charts/${name}.values.yaml`;
  const values = (await fileOf(tree, valuesFile)) ? [valuesFile] : [];
  const via = ['helm template', path, ...values.map((file) => `-f ${file}`)].join(' ');
  let rendered: string;
  try {
    rendered = await render({ path, values });
  } catch (error) {
    if (!(error instanceof OciError) || error.code !== 'TOOL') throw error;
    throw new OciError('TOOL', `${path}: ${error.message}`, { cause: error, hint: error.hint });
  }
  if (rendered.trim() === '') return nothing;
  const isArchive = path.endsWith('.tgz');
  const sources = await sourceLines(rendered, (template) => fileOf(chart, template));
  return findInDocuments(rendered, path, {
    origin(line, document): Origin {
      const template = sourceOf(document);
      if (template === undefined) return { file: path, via };
      if (isArchive) return { file: path, via: `${via}: ${template}` };
      const known = sources.get(template)?.get(line);
      const file = `${path}/${template}`;
      return known === undefined ? { file, via } : { file, line: known, via };
    },
  });
}

/** A chart as a tree whose paths begin inside it. */
async function openChart(tree: Tree, path: string): Promise<Tree> {
  const archive = await fileOf(tree, path);
  if (!archive) return below(tree, path);
  const unpacked = await tarTree(await gunzip(archive, chartLimit, path), path);
  for await (const entry of unpacked.entries()) {
    return below(unpacked, entry.path.split('/')[0] ?? '');
  }
  throw new OciError('INPUT_INVALID', `${path} is an empty archive`);
}

function below(tree: Tree, path: string): Tree {
  return {
    entries: (inner) => tree.entries(inner ? `${path}/${inner}` : path),
    entry: (inner) => tree.entry(`${path}/${inner}`),
  };
}

async function chartName(chart: Tree, path: string): Promise<string> {
  const file = await fileOf(chart, 'Chart.yaml');
  const invalid = (why: string): OciError =>
    new OciError('INPUT_INVALID', `${path}/Chart.yaml: ${why}`, {
      hint: 'A chart names itself in Chart.yaml: https://helm.sh/docs/topics/charts/',
    });
  if (!file) throw invalid('there is no such file');
  const text = new TextDecoder().decode(await readAll(file, fileLimit));
  const document = parseDocument(text, { logLevel: 'silent' });
  const name = isMap(document.contents) ? document.contents.get('name') : undefined;
  if (typeof name !== 'string') throw invalid('it has no name');
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name)) {
    throw invalid(`${JSON.stringify(name)} is not a chart name`);
  }
  return name;
}

/** The template that helm says a document comes from, without the chart's own name in front. */
function sourceOf(document: Document): string | undefined {
  const comment = [document.commentBefore, document.contents?.commentBefore].join('\n');
  return /^ ?Source: [^/\n]+\/(.+)$/m.exec(comment)?.[1];
}

/**
 * For each template, which of its lines the rendered `image` lines come from. Known only where a
 * template has as many of them as its rendering does, so that the one in each place belongs to the
 * other.
 */
async function sourceLines(
  rendered: string,
  open: (template: string) => ReturnType<typeof fileOf>,
): Promise<ReadonlyMap<string, ReadonlyMap<number, number>>> {
  const byTemplate = new Map<string, number[]>();
  let template = '';
  rendered.split('\n').forEach((line, at) => {
    const source = /^# Source: [^/]+\/(.+)$/.exec(line)?.[1];
    if (source !== undefined) template = source;
    if (isImageLine(line)) byTemplate.set(template, [...(byTemplate.get(template) ?? []), at + 1]);
  });
  const known = new Map<string, ReadonlyMap<number, number>>();
  for (const [name, renderedLines] of byTemplate) {
    const file = name ? await open(name) : undefined;
    if (!file || file.size > fileLimit) continue;
    const text = new TextDecoder().decode(await readAll(file, fileLimit));
    const lines = text.split('\n').flatMap((line, at) => (isImageLine(line) ? [at + 1] : []));
    if (lines.length !== renderedLines.length) continue;
    known.set(name, new Map(renderedLines.map((line, at) => [line, lines[at] ?? 0])));
  }
  return known;
}

function isImageLine(line: string): boolean {
  return /^\s*(?:-\s+)?"?image"?\s*:/.test(line);
}
