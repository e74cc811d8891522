import { type Content, type Digest, digestContent, digestOf, type Tree } from '@cluster-image/oci';
import type { Renderings } from '@cluster-image/storage';
import { allFiles } from './discover/chart-dependencies.ts';
import { chartLimit } from './discover/chart-tree.ts';
import type { ChartToRender, RenderChart } from './discover/charts.ts';
import { followed, target } from './follow.ts';
import { argumentsFor } from './helm.ts';

/** What is remembered by other rules than these has another number. */
const formatVersion = 1;

export interface RememberedRenderings {
  /** The context, with charts that are fetched. */
  readonly tree: Tree;
  readonly renderings: Renderings;
  /** What tells the program that renders from others. */
  mark(): Promise<string>;
}

/**
 * The same renderer, which does not render again what was rendered before: the same chart, by the bytes
 * of all its files, told the same. Failures are not remembered.
 */
export function rememberedRenderings(
  render: RenderChart,
  { tree, renderings, mark }: RememberedRenderings,
): RenderChart {
  let marked: Promise<string> | undefined;
  return async (chart) => {
    marked ??= mark();
    const program = await marked;
    const inputs = await inputsOf(tree, chart, program);
    if (!inputs) return render(chart);
    const known = await renderings.recall(inputs);
    if (known !== undefined) return known;
    const text = await render(chart);
    // Somebody may have written to a file while it was read.
    const isSame = (await inputsOf(tree, chart, program)) === inputs;
    if (isSame) await renderings.remember(inputs, text);
    return text;
  };
}

/** The digest of all that has a part in what comes of a chart; undefined where that is too much to read. */
async function inputsOf(
  tree: Tree,
  chart: ChartToRender,
  program: string,
): Promise<Digest | undefined> {
  const files = await filesOf(tree, chart);
  if (!files) return undefined;
  const digests: (readonly [string, Digest])[] = [];
  for (const [path, content] of files) digests.push([path, await digestContent(content)]);
  // Whatever the chart is called and wherever it lies, the same comes of it.
  const told = argumentsFor({ ...chart, path: '', file: undefined });
  return digestOf(Buffer.from(JSON.stringify([formatVersion, program, told, digests])));
}

async function filesOf(
  tree: Tree,
  { path, packed, values, set }: ChartToRender,
): Promise<ReadonlyMap<string, Content> | undefined> {
  const given = set.flatMap(({ how, text }) =>
    how === 'set-file' ? [text.slice(text.indexOf('=') + 1)] : [],
  );
  const files = new Map<string, Content>();
  for (const name of [...values, ...given]) {
    const file = await followed(tree, name);
    if (!file) return undefined;
    files.set(name, file.content);
  }
  const found = packed ? undefined : await target(tree, path);
  if (packed) files.set('.', packed);
  else if (found?.type === 'file') files.set('.', found.content);
  else if (found?.type === 'directory') {
    // Nothing else begins so.
    for (const [inner, content] of await allFiles(tree, found.path))
      files.set(`./${inner}`, content);
  } else return undefined;
  const size = [...files.values()].reduce((sum, content) => sum + content.size, 0);
  return size > chartLimit ? undefined : files;
}
