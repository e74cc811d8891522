import { type Content, fileOf, OciError, readAll, type Tree } from '@cluster-image/oci';
import { gunzip, tarTree } from '@cluster-image/storage';
import PQueue from 'p-queue';
import { type Document, isMap, parseDocument } from 'yaml';
import { followed, target } from '../follow.ts';
import { type Findings, merge, nothing, type Origin } from './discovery.ts';
import { findInDocuments } from './documents.ts';
import { sourceLines } from './source-lines.ts';

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

/** How many charts are rendered at a time. */
const chartsAtOnce = 4;

/**
 * The images of every chart directly below `charts/`, with the values in `charts/<chart name>.values.yaml`
 * if there are any, as sealos has it.
 */
export async function findInCharts(tree: Tree, render: RenderChart): Promise<Findings> {
  const queue = new PQueue({ concurrency: chartsAtOnce });
  const found: Promise<Findings>[] = [];
  for await (const { path } of tree.entries('charts')) {
    if (path.split('/').length === 2) found.push(queue.add(() => findAt(tree, path, render)));
  }
  return merge(await Promise.all(found));
}

async function findAt(tree: Tree, path: string, render: RenderChart): Promise<Findings> {
  const entry = await target(tree, path);
  if (!entry) {
    const reason = 'a link that leads to nothing in the context';
    return { ...nothing, unresolved: [{ text: '', reason, origin: { file: path } }] };
  }
  if (entry.type === 'file') {
    if (!/\.(?:tgz|tar\.gz)$/.test(path)) return nothing;
    return findInChart(tree, path, await openArchive(entry.content, path), render);
  }
  const chart = below(tree, entry.path);
  if (!(await chart.entry('Chart.yaml'))) {
    const reason = 'a directory without Chart.yaml, which is not searched';
    return { ...nothing, suspects: [{ text: path, reason, origins: [{ file: path }] }] };
  }
  await refuseOutwardLinks(tree, entry.path, new Set());
  return findInChart(tree, path, chart, render);
}

async function findInChart(
  tree: Tree,
  path: string,
  chart: Tree,
  render: RenderChart,
): Promise<Findings> {
  const name = await chartName(chart, path);
  const valuesFile = `charts/${name}.values.yaml`;
  const values = (await followed(tree, valuesFile)) ? [valuesFile] : [];
  const via = ['helm template', path, ...values.map((file) => `-f ${file}`)].join(' ');
  const rendered = await rendering(path, () => render({ path, values }));
  const sources = await sourceLines(rendered, async (template) => {
    const file = await fileOf(chart, template);
    return file && file.size <= fileLimit ? textOf(file) : undefined;
  });
  const isArchive = (await target(tree, path))?.type === 'file';
  return findInDocuments(rendered, path, {
    origin(line, document): Origin {
      const template = sourceOf(document);
      if (template === undefined) return { file: path, via };
      // A template inside an archive is no file of the context.
      const lines = isArchive ? undefined : sources.get(template);
      if (!lines) return { file: path, via: `${via}: ${template}` };
      const file = `${path}/${template}`;
      const known = lines.get(line);
      return known === undefined ? { file, via } : { file, line: known, via };
    },
  });
}

async function rendering(path: string, render: () => Promise<string>): Promise<string> {
  try {
    return await render();
  } catch (error) {
    if (!(error instanceof OciError) || error.code !== 'TOOL') throw error;
    throw new OciError('TOOL', `${path}: ${error.message}`, { cause: error, hint: error.hint });
  }
}

/** A packed chart as a tree whose paths begin inside it. */
async function openArchive(archive: Content, path: string): Promise<Tree> {
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

/** Helm reads through links, and what lies outside of the context is none of its business. */
async function refuseOutwardLinks(tree: Tree, path: string, seen: Set<string>): Promise<void> {
  if (seen.has(path)) return;
  seen.add(path);
  for await (const entry of tree.entries(path)) {
    if (entry.type !== 'symlink') continue;
    const end = await target(tree, entry.path);
    if (end?.type === 'directory') await refuseOutwardLinks(tree, end.path, seen);
    if (end) continue;
    const where = JSON.stringify(entry.target);
    throw new OciError('INPUT_INVALID', `${entry.path} is a link to ${where}`, {
      hint: 'A chart may only have links to what is in the context. Put the file itself there.',
    });
  }
}

async function chartName(chart: Tree, path: string): Promise<string> {
  const file = await followed(chart, 'Chart.yaml');
  const invalid = (why: string): OciError =>
    new OciError('INPUT_INVALID', `${path}/Chart.yaml: ${why}`, {
      hint: 'A chart names itself in Chart.yaml: https://helm.sh/docs/topics/charts/',
    });
  if (!file) throw invalid('there is no such file');
  const document = parseDocument(await textOf(file.content), { logLevel: 'silent' });
  const name = isMap(document.contents) ? document.contents.get('name') : undefined;
  if (typeof name !== 'string') throw invalid('it has no name');
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name)) {
    throw invalid(`${JSON.stringify(name)} is not a chart name`);
  }
  return name;
}

async function textOf(content: Content): Promise<string> {
  return new TextDecoder().decode(await readAll(content, fileLimit));
}

/** The template that helm says a document comes from, without the chart's own name in front. */
function sourceOf(document: Document | undefined): string | undefined {
  const comment = [document?.commentBefore, document?.contents?.commentBefore].join('\n');
  return /^ ?Source: [^/\n]+\/(.+)$/m.exec(comment)?.[1];
}
