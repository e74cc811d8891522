import type { Content, Tree } from '@cluster-image/oci';
import PQueue from 'p-queue';
import { followed, target } from '../follow.ts';
import type { BuildFileCommands } from '../kubefile/commands.ts';
import { findChartCommands } from './chart-commands.ts';
import { completedChart, namingLacking } from './chart-dependencies.ts';
import { type ChartFile, readChartFile } from './chart-file.ts';
import { type ChartFiles, chartParts, packedFiles, unpackedFiles } from './chart-parts.ts';
import {
  chartSettings,
  misconfigured,
  type Rendering,
  renderingsOf,
  usualRenderings,
} from './chart-renderings.ts';
import { below, openArchive, refuseOutwardLinks } from './chart-tree.ts';
import { declaredImages } from './declared-images.ts';
import { type Findings, merge, nothing } from './discovery.ts';
import { type Chart, findInRendering, unrendered } from './find-in-rendering.ts';
import { givenValues } from './given-values.ts';
import type { SearchRules } from './search-rules.ts';
import type { ChartSettings } from './settings.ts';
import { withValueOrigins } from './value-origins.ts';

/**
 * Renders a chart to the manifests it would install. Throws INPUT_INVALID where the chart, or what is
 * said of it, does not let itself be rendered, and TOOL where nothing does.
 */
export type RenderChart = (chart: ChartToRender) => Promise<string>;

export interface ChartToRender extends Rendering {
  /** A chart's directory or `.tgz`. */
  readonly path: string;
  /** A packed chart that lies elsewhere than in the context's directory, in full. */
  readonly file?: string | undefined;
  /** The chart, packed, where what is at its path is not all of it. */
  readonly packed?: Content | undefined;
}

export interface FindInCharts {
  readonly render: RenderChart;
  readonly rules?: SearchRules;
  /** What is special about charts, by their paths. */
  readonly settings?: Readonly<Record<string, ChartSettings>> | undefined;
  /** Packed charts of the tree that are not in the context's directory: where they are, by their paths. */
  readonly files?: ReadonlyMap<string, string> | undefined;
  /** What the image is told to run, which may install charts. */
  readonly commands?: BuildFileCommands | undefined;
  /** How charts are rendered, where the configuration says nothing of them; else with their values in `charts/`. */
  readonly usual?: readonly Rendering[];
  /** Whether origins tell the line of what was rendered, and values. */
  readonly explain?: boolean | undefined;
}

/** How many charts are rendered at a time. */
const chartsAtOnce = 4;

/**
 * The images of every chart directly below `charts/`, and of those that the configuration names
 * elsewhere. What cannot be rendered is unresolved, and the others still count. Throws INPUT_INVALID
 * for a configuration that names what is not there.
 */
export async function findInCharts(tree: Tree, options: FindInCharts): Promise<Findings> {
  const settings = await chartSettings(tree, options.settings);
  const paths = await pathsOf(tree, settings);
  const known = new Map([...paths].map((path) => [path, settings.get(path)]));
  const { renderings, suspects } = options.commands
    ? await findChartCommands(tree, options.commands, known)
    : { renderings: new Map<string, readonly Rendering[]>(), suspects: [] };
  const queue = new PQueue({ concurrency: chartsAtOnce });
  const found: Promise<Findings>[] = [];
  for (const path of new Set([...paths, ...renderings.keys()])) {
    const installed = renderings.get(path);
    const isSaid = settings.has(path) || installed !== undefined;
    if (!isSaid && (await holdsOnly(tree, path, [...renderings.keys()]))) continue;
    found.push(queue.add(() => findAt(tree, path, settings.get(path), options, installed)));
  }
  return merge([...(await Promise.all(found)), { ...nothing, suspects }]);
}

/** The images of one chart, wherever it lies in the context. What cannot be rendered is unresolved. */
export async function findInChartAt(
  tree: Tree,
  path: string,
  options: FindInCharts,
): Promise<Findings> {
  const settings = await chartSettings(tree, options.settings);
  return findAt(tree, path, settings.get(path), options);
}

/** Where charts may be, and nobody says they are not. */
async function pathsOf(
  tree: Tree,
  settings: ReadonlyMap<string, ChartSettings>,
): Promise<ReadonlySet<string>> {
  const paths = new Set<string>();
  for await (const { path } of tree.entries('charts')) {
    if (path.split('/').length !== 2) continue;
    const isAround = [...settings.keys()].some((named) => named.startsWith(`${path}/`));
    if (!isAround || (await target(tree, `${path}/Chart.yaml`))) paths.add(path);
  }
  for (const [path, { repository }] of settings) {
    if (!repository && !(await target(tree, path))) {
      throw misconfigured(`charts.${JSON.stringify(path)}`, 'there is no such path in the context');
    }
    paths.add(path);
  }
  return paths;
}

/** Whether a directory is no chart itself and has charts below it, none but these. */
async function holdsOnly(tree: Tree, path: string, charts: readonly string[]): Promise<boolean> {
  const below = charts.filter((chart) => chart.startsWith(`${path}/`));
  if (below.length === 0) return false;
  for await (const { path: at } of tree.entries(path)) {
    if (!/(?:\/Chart\.yaml|\.tgz|\.tar\.gz)$/.test(at)) continue;
    if (!below.some((chart) => at === chart || at.startsWith(`${chart}/`))) return false;
  }
  return true;
}

async function findAt(
  tree: Tree,
  path: string,
  settings: ChartSettings | undefined,
  options: FindInCharts,
  installed?: readonly Rendering[],
): Promise<Findings> {
  try {
    const chart = await chartAt(tree, path, settings);
    return 'files' in chart ? await findInChart(tree, chart, settings, options, installed) : chart;
  } catch (error) {
    return unrendered(error, { file: path });
  }
}

/** The chart at a path; where there is none, what is to be said of that. */
async function chartAt(
  tree: Tree,
  path: string,
  settings: ChartSettings | undefined,
): Promise<Chart | Findings> {
  const entry = await target(tree, path);
  if (!entry) {
    const { repository } = settings ?? {};
    const reason = repository
      ? `a chart of ${repository} that was not fetched`
      : 'a link that leads to nothing in the context';
    return { ...nothing, unresolved: [{ text: '', reason, origin: { file: path } }] };
  }
  if (entry.type === 'file') {
    if (!settings && !/\.(?:tgz|tar\.gz)$/.test(path)) return nothing;
    return { path, files: await openArchive(entry.content, path), isPacked: true };
  }
  const files = below(tree, entry.path);
  if (!settings && !(await files.entry('Chart.yaml'))) {
    const reason = 'a directory without Chart.yaml, which is not searched';
    return { ...nothing, suspects: [{ text: path, reason, origins: [{ file: path }] }] };
  }
  await refuseOutwardLinks(tree, entry.path);
  return { path, files, isPacked: false };
}

async function findInChart(
  tree: Tree,
  found: Chart,
  settings: ChartSettings | undefined,
  options: FindInCharts,
  installed: readonly Rendering[] | undefined,
): Promise<Findings> {
  const file = await readChartFile(found.files);
  // A library is for other charts to use, and helm does not render it.
  if (file.isLibrary) return nothing;
  const chart = await completed(tree, found, file);
  const values = await valuesOf(tree, file);
  const renderings = renderingsOf(settings, options.usual ?? usualRenderings(values, installed));
  const render = namingLacking(options.render, file);
  const all: Findings[] = [];
  for (const rendering of renderings) {
    const rendered = await findInRendering(chart, rendering, { ...options, render });
    const parts = await chartParts(await filesOf(tree, chart), () => givenValues(tree, rendering));
    const { explain } = options;
    all.push(explain ? await withValueOrigins(rendered, parts, chart.path) : rendered);
    all.push(await declaredImages(parts, rendered, settings?.declared));
  }
  return merge(all);
}

/** A chart with the charts of the context that it depends on and does not hold. */
async function completed(tree: Tree, chart: Chart, file: ChartFile): Promise<Chart> {
  if (chart.isPacked) return chart;
  const { path } = chart;
  const whole = await completedChart(tree, (await target(tree, path))?.path ?? path, file);
  return whole ? { ...chart, ...whole } : chart;
}

async function filesOf(tree: Tree, { path, files, isPacked }: Chart): Promise<ChartFiles> {
  if (isPacked) return packedFiles(files, { file: path });
  return unpackedFiles(tree, (await target(tree, path))?.path ?? path, path);
}

/** The values file that is there for a chart, as sealos has it. */
async function valuesOf(tree: Tree, { name }: ChartFile): Promise<string | undefined> {
  const path = `charts/${name}.values.yaml`;
  return (await followed(tree, path)) && path;
}
