import { type Context, OciError } from '@cluster-image/oci';
import { requireChart } from '../charts/chart-archive.ts';
import type { ChartRepositories } from '../charts/chart-repositories.ts';
import type { ChartShelf } from '../charts/chart-shelf.ts';
import { isOci, type RemoteChart } from '../charts/remote-chart.ts';
import { fits } from '../charts/versions.ts';
import { everyOne } from '../failures.ts';
import { type LockedChart, type LockedCharts, type Lockfile, lockfileName } from './lockfile.ts';

export interface ChartSources {
  readonly repositories: ChartRepositories;
  readonly shelf: ChartShelf;
}

/**
 * Pins every chart that a context has from a repository. A pin that exists stays, whatever the
 * repository has by now, unless it is to be updated or is not what is asked for; one that stays costs
 * no request. What is pinned anew is on the shelf afterwards, and is what it was asked for as.
 *
 * Throws the failure, or SOME_FAILED, naming every chart that could not be pinned.
 *
 * @param update which pins may move: those of these paths, or all
 */
export async function lockCharts(
  charts: readonly RemoteChart[],
  existing: LockedCharts | undefined,
  { repositories, shelf }: ChartSources,
  update: 'all' | readonly string[],
): Promise<LockedCharts> {
  const pinned = await everyOne(
    charts,
    ({ path }) => path,
    async (chart): Promise<readonly [string, LockedChart]> => {
      const pin = pinFor(chart, existing);
      const mayMove = update === 'all' || update.includes(chart.path);
      return [chart.path, pin && !mayMove ? pin : await pinAnew(chart)];
    },
  );
  return Object.fromEntries(pinned);

  async function pinAnew(chart: RemoteChart): Promise<LockedChart> {
    const { version, artifact } = await repositories.find(chart);
    const { repository, name } = chart;
    const { digest, size } = artifact.archive;
    const pin: LockedChart = {
      repository,
      name,
      version,
      digest,
      size,
      ...(isOci(repository) && { manifest: artifact.manifest.digest }),
    };
    await requireChart(await shelf.put(pin, artifact), pin, `${name}-${version}.tgz`);
    return pin;
  }
}

/** The pin of a chart; undefined where there is none that fits. */
export function pinFor(
  chart: RemoteChart,
  pins: LockedCharts | undefined,
): LockedChart | undefined {
  const pin = pins?.[chart.path];
  return pin && faultOf(chart, pin) === undefined ? pin : undefined;
}

/** What is wrong with a pin; undefined where it fits. */
function faultOf(
  { repository, name, version }: RemoteChart,
  pin: LockedChart | undefined,
): string | undefined {
  if (!pin) return '';
  if (pin.repository !== repository) return `pinned from ${pin.repository}`;
  if (pin.name !== name) return `pinned as ${pin.name}`;
  if (fits(pin.version, version)) return undefined;
  return `pinned to ${pin.version}`;
}

/** The pins of a context's charts. Throws LOCK_DRIFT, naming those that there are none for. */
export function requirePinnedCharts(
  charts: readonly RemoteChart[],
  pins: LockedCharts | undefined,
  command: string,
): LockedCharts {
  const missing = charts.flatMap((chart) => {
    const why = faultOf(chart, pins?.[chart.path]);
    return why === undefined
      ? []
      : [`  ${chart.path}  (${describeChart(chart)}${why && `; ${why}`})`];
  });
  if (missing.length > 0) {
    throw new OciError(
      'LOCK_DRIFT',
      `${lockfileName} does not pin ${missing.length} of the context's charts:\n${missing.join('\n')}`,
      { hint: `Run \`${command}\` and commit the lockfile.` },
    );
  }
  const used = charts.map(({ path }) => path);
  return Object.fromEntries(Object.entries(pins ?? {}).filter(([path]) => used.includes(path)));
}

/** The charts that a lockfile pins and the context does not have any more. */
export function unusedCharts(
  lockfile: Pick<Lockfile, 'charts'> | undefined,
  used: LockedCharts,
): readonly string[] {
  return Object.keys(lockfile?.charts ?? {}).filter((path) => !Object.hasOwn(used, path));
}

/**
 * The pins of a context's charts, those that are missing being looked up now, which a warning says.
 */
export async function pinnedOrNewest(
  charts: readonly RemoteChart[],
  pins: LockedCharts | undefined,
  sources: ChartSources,
  context: Context,
): Promise<LockedCharts> {
  const found = await lockCharts(charts, pins, sources, []);
  for (const chart of charts) {
    const pin = found[chart.path];
    if (!pin || pinFor(chart, pins)) continue;
    context.report({
      type: 'warning',
      message: `${chart.path} is not pinned, and is ${pin.name} ${pin.version} of ${pin.repository} for now`,
      hint: '`cluster-image lock` pins it.',
    });
  }
  return found;
}

/** A chart in words. */
export function describeChart({ repository, name, version }: RemoteChart): string {
  return [name, version, 'of', repository].filter(Boolean).join(' ');
}
