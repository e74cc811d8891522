import { posix } from 'node:path';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import {
  bytes,
  type Content,
  codeOf,
  OciError,
  readAll,
  readText,
  type Tree,
} from '@cluster-image/oci';
import { type TarEntry, tarball } from '@cluster-image/storage';
import { followed, target } from '../follow.ts';
import { type ChartDependency, type ChartFile, readChartFile } from './chart-file.ts';
import { inContext } from './chart-renderings.ts';
import { below, chartLimit, refuseOutwardLinks } from './chart-tree.ts';
import type { RenderChart } from './charts.ts';
import { helmIgnore, type Ignores } from './helm-ignore.ts';

/** How many files a chart may have with all that it depends on, and how deep they may be. */
const mostFiles = 20_000;
const depthLimit = 40;

/** A chart together with those of the context that it depends on and has not in its `charts/`. */
export interface CompletedChart {
  /** Packed, as helm takes it. */
  readonly packed: Content;
  /** Its files by paths that begin in it, those of what it depends on below `charts/`; entries have theirs in the context. */
  readonly files: Tree;
}

/** A directory of the context that belongs into a chart. */
interface Part {
  /** Where in the chart. */
  readonly at: string;
  /** Where in the context. */
  readonly directory: string;
  /** Where helm says that its templates are, which is how the dependency is called and not where it is. */
  readonly called: string;
}

/**
 * Puts a chart together with the `file://` dependencies that were not built into it, as `helm
 * dependency build` does, without writing into the context. Undefined for a chart that has none.
 *
 * Throws INPUT_INVALID for what is not in the context, is no chart, depends on itself or is too much.
 *
 * @param directory of the chart, as the tree has it
 */
export async function completedChart(
  tree: Tree,
  directory: string,
  file: ChartFile,
): Promise<CompletedChart | undefined> {
  const parts = await partsOf(tree, { at: '', directory, called: '' }, file, []);
  if (parts.length === 1) return undefined;
  const found = new Map<string, Content>();
  for (const { at, directory: from } of parts) await gather(tree, from, at, found);
  return { packed: await packed(file.name, found), files: filesOf(tree, directory, parts) };
}

/** The same renderer, which tells where what a chart lacks is from. */
export function namingLacking(
  render: RenderChart,
  { dependencies }: Pick<ChartFile, 'dependencies'>,
): RenderChart {
  return async (chart) => {
    try {
      return await render(chart);
    } catch (error) {
      const [, names] = /missing in charts\/ directory: ([\w., -]+)/.exec(String(error)) ?? [];
      if (names === undefined || codeOf(error) !== 'INPUT_INVALID') throw error;
      const lacking = [...new Set(names.split(', '))].map((name) => {
        const found = dependencies.find((dependency) => dependency.name === name);
        const { version = '', repository } = found ?? {};
        const from = repository ? `of ${repository}` : 'that has no repository';
        return [name, version, from].filter(Boolean).join(' ');
      });
      const what = `it depends on ${lacking.join(', and on ')}`;
      const are = lacking.length === 1 ? 'which is' : 'which are';
      throw new OciError('INPUT_INVALID', `${what}, ${are} not in its charts/ directory`, {
        hint: `Run \`helm dependency build ${chart.path}\` and commit ${chart.path}/charts.`,
        cause: error,
      });
    }
  };
}

/** A chart and the charts that it depends on, and so on. */
async function partsOf(
  tree: Tree,
  part: Part,
  file: ChartFile,
  above: readonly string[],
): Promise<readonly Part[]> {
  const { at, directory, called } = part;
  const parts: Part[] = [part];
  for (const [index, dependency] of file.dependencies.entries()) {
    const { name, alias, repository = '' } = dependency;
    if (!repository.startsWith('file://') || (await isBuiltIn(tree, directory, name))) continue;
    const from = await dependencyAt(tree, directory, dependency);
    if ([...above, directory].includes(from)) {
      throw invalid(dependency, 'which depends on this one', 'Break the circle.');
    }
    const inner = await readChartFile(below(tree, from));
    // A chart that is depended on under several names is there once.
    const twin = parts.find((other) => other.directory === from);
    const place = twin?.at ?? posix.join(at, 'charts', `${inner.name}-${index}`);
    const next = {
      at: place,
      directory: from,
      called: posix.join(called, 'charts', alias ?? name),
    };
    if (twin) parts.push(next);
    else parts.push(...(await partsOf(tree, next, inner, [...above, directory])));
  }
  return parts;
}

/** Whether a chart has another one in its `charts/`. */
async function isBuiltIn(tree: Tree, directory: string, name: string): Promise<boolean> {
  const charts = await target(tree, `${directory}/charts`);
  if (charts?.type !== 'directory') return false;
  for await (const { path } of tree.entries(charts.path)) {
    const inner = path.slice(charts.path.length + 1);
    if (inner.includes('/')) continue;
    const version = inner.startsWith(`${name}-`) ? inner.slice(name.length + 1) : '';
    if (/^v?\d.*\.tgz$/.test(version)) return true;
    if (!(await followed(tree, `${path}/Chart.yaml`))) continue;
    const file = await readChartFile(below(tree, path));
    if (file.name === name) return true;
  }
  return false;
}

async function dependencyAt(
  tree: Tree,
  directory: string,
  dependency: ChartDependency,
): Promise<string> {
  const { repository = '' } = dependency;
  const path = repository.slice('file://'.length);
  const located = posix.isAbsolute(path) ? undefined : inContext(posix.join(directory, path));
  const found = located === undefined ? undefined : await target(tree, located);
  const hint = 'Run `helm dependency build` on the chart and commit its charts/ directory.';
  if (found?.type !== 'directory') throw invalid(dependency, 'which is not in the context', hint);
  await refuseOutwardLinks(tree, found.path);
  return found.path;
}

function invalid({ name, repository }: ChartDependency, why: string, hint: string): OciError {
  const message = `Chart.yaml: it depends on ${name} at ${repository}, ${why}`;
  return new OciError('INPUT_INVALID', message, { hint });
}

/** Adds the files of a chart, less those that it ignores, at a place in another one. */
async function gather(
  tree: Tree,
  directory: string,
  at: string,
  found: Map<string, Content>,
): Promise<void> {
  const list = await followed(tree, `${directory}/.helmignore`);
  const ignores = helmIgnore(list ? await readText(list.content, chartLimit) : '');
  await addBelow(tree, directory, '', { at, ignores, found });
}

/**
 * Every file of a chart by its path in it, through links, those included that it ignores. Throws
 * INPUT_INVALID where these are too many.
 */
export async function allFiles(
  tree: Tree,
  directory: string,
): Promise<ReadonlyMap<string, Content>> {
  const found = new Map<string, Content>();
  await addBelow(tree, directory, '', { at: '', ignores: () => false, found });
  return found;
}

interface Gathering {
  readonly at: string;
  readonly ignores: Ignores;
  readonly found: Map<string, Content>;
}

async function addBelow(
  tree: Tree,
  directory: string,
  prefix: string,
  gathering: Gathering,
): Promise<void> {
  const { at, ignores, found } = gathering;
  const left: string[] = [];
  for await (const entry of tree.entries(directory)) {
    const path = posix.join(prefix, entry.path.slice(directory.length + 1));
    if (left.some((out) => path.startsWith(`${out}/`))) continue;
    const end = await target(tree, entry.path);
    if (!end || ignores(path, end.type === 'directory')) left.push(path);
    else if (end.type === 'file') found.set(posix.join(at, path), end.content);
    else if (end.path !== entry.path) await addBelow(tree, end.path, path, gathering);
    if (found.size > mostFiles || path.split('/').length > depthLimit) {
      throw new OciError('INPUT_INVALID', `${directory} has too many files for a chart`);
    }
  }
}

async function packed(name: string, files: ReadonlyMap<string, Content>): Promise<Content> {
  const size = [...files.values()].reduce((sum, content) => sum + content.size, 0);
  if (size > chartLimit) {
    throw new OciError('INPUT_INVALID', `it has over ${chartLimit} bytes with what it depends on`);
  }
  const entries = [...files].map(
    ([path, content]): TarEntry => ({
      type: 'file',
      path: `${name}/${path}`,
      mode: 0o644,
      content,
    }),
  );
  const tar = tarball(entries);
  return bytes(await promisify(gzip)(await readAll(tar, tar.size), { level: 1 }));
}

/** The files of all parts, by the paths that helm says they have. */
function filesOf(tree: Tree, directory: string, parts: readonly Part[]): Tree {
  const own = below(tree, directory);
  return {
    entries: own.entries,
    entry: (path) => {
      const inside = parts.filter(({ called }) => called !== '' && path.startsWith(`${called}/`));
      const part = inside.sort((a, b) => b.called.length - a.called.length)[0];
      if (!part) return own.entry(path);
      return target(tree, `${part.directory}/${path.slice(part.called.length + 1)}`);
    },
  };
}
