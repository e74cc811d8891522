import { type Content, memory, OciError } from '@cluster-image/oci';
import { directory } from '@cluster-image/storage';
import { parentsOf } from './assemble/source.ts';
import { chartRepositories } from './charts/chart-repositories.ts';
import { chartShelf } from './charts/chart-shelf.ts';
import { type RemoteChart, remoteCharts } from './charts/remote-chart.ts';
import { configurationName } from './configuration-file.ts';
import type { ContextDirectory } from './context-directory.ts';
import { everyOne } from './failures.ts';
import type { ChartSources } from './lock/charts.ts';
import type { LockedCharts } from './lock/lockfile.ts';
import { treeWithFiles } from './tree-with-files.ts';
import type { Workspace } from './workspace.ts';

/** The charts that a context has from repositories. */
export interface ContextCharts {
  readonly wanted: readonly RemoteChart[];
  readonly sources: ChartSources;
  /** The context with the pinned charts in it, which are fetched where they are not here yet. */
  place(pins: LockedCharts): Promise<ContextDirectory>;
}

/**
 * What the configuration says of charts in repositories. Throws INPUT_INVALID for what it may not say,
 * and for paths at which the context has something itself.
 *
 * @param leavesNothing keeps charts in memory, not in the store
 */
export async function contextCharts(
  opened: ContextDirectory,
  { configuration, network, store, context }: Workspace,
  leavesNothing = false,
): Promise<ContextCharts> {
  const wanted = remoteCharts(configuration);
  for (const chart of wanted) await requireFree(opened, chart);
  const repositories = chartRepositories(network, context);
  const shelf = leavesNothing
    ? chartShelf(memory(), store.registry, repositories, context)
    : chartShelf(store.registry, undefined, repositories, context);
  return {
    wanted,
    sources: { repositories, shelf },
    async place(pins) {
      const brought = await everyOne(
        Object.entries(pins),
        ([path]) => path,
        async ([path, pin]) => [path, await shelf.bring(pin)] as const,
      );
      return withCharts(opened, new Map(brought));
    },
  };
}

function withCharts(
  opened: ContextDirectory,
  charts: ReadonlyMap<string, Content>,
): ContextDirectory {
  return {
    ...opened,
    charts,
    tree: treeWithFiles(opened.tree, charts),
    open: (skip) => treeWithFiles(directory(opened.path, skip), charts),
  };
}

/** Throws INPUT_INVALID where a context has something at the path of a chart, or in its way. */
async function requireFree(
  { tree }: ContextDirectory,
  { path, repository }: RemoteChart,
): Promise<void> {
  const inTheWay = (at: string, why: string): OciError =>
    new OciError(
      'INPUT_INVALID',
      `${configurationName}: charts ${JSON.stringify(path)} comes from ${repository}, but ${at} ${why}`,
      { hint: 'Remove the one or the other.' },
    );
  for (const parent of parentsOf(path)) {
    const found = await tree.entry(parent);
    if (found && found.type !== 'directory') throw inTheWay(parent, `is a ${found.type}`);
  }
  if (await tree.entry(path)) throw inTheWay(path, 'is in the context as well');
}
