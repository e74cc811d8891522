import type { Context, Platform } from '@cluster-image/oci';
import { placedNames } from '../assemble/names.ts';
import type { RemoteChart } from '../charts/remote-chart.ts';
import { contextCharts } from '../context-charts.ts';
import { type ContextDirectory, discoverIn, openContext } from '../context-directory.ts';
import type { Discovery } from '../discover/discovery.ts';
import { platformsOf, type Workspace } from '../workspace.ts';
import { lockCharts, requirePinnedCharts, unusedCharts } from './charts.ts';
import { driftOf, requirePinned, requireResolved, requireUsed, tellSuspects } from './check.ts';
import { lock } from './lock.ts';
import { formatLockfile, type LockedCharts, type Lockfile, readLockfile } from './lockfile.ts';

/** How a context is looked at. */
export interface Asked {
  readonly path: string;
  readonly file?: string | undefined;
  readonly bare: boolean;
  /** As they were asked for. */
  readonly platform: readonly string[];
  readonly buildArguments: Readonly<Record<string, string>>;
  /** What pins its images. */
  readonly command: string;
  /** The charts whose pins may move; undefined where charts have to be pinned already. */
  readonly movableCharts?: (wanted: readonly RemoteChart[]) => 'all' | readonly string[];
}

/** A context, what it refers to by now, and what its lockfile says. */
export interface Looked {
  readonly directory: ContextDirectory;
  readonly existing: Lockfile | undefined;
  readonly wanted: readonly RemoteChart[];
  readonly charts: LockedCharts;
  readonly discovery: Discovery;
  readonly platforms: readonly Platform[];
  readonly command: string;
}

/** Throws LOCK_DRIFT for charts that have to be pinned and are not, and for what cannot be told. */
export async function look(asked: Asked, workspace: Workspace): Promise<Looked> {
  const { configuration, context } = workspace;
  const { command, movableCharts } = asked;
  const opened = await openContext(workspace.path(asked.path));
  const existing = await readLockfile(opened.tree);
  const { wanted, sources, place } = await contextCharts(opened, workspace);
  const charts =
    movableCharts === undefined
      ? requirePinnedCharts(wanted, existing?.charts, command)
      : await lockCharts(wanted, existing?.charts, sources, movableCharts(wanted));
  const directory = await place(charts);
  const platforms = platformsOf(asked.platform, configuration);
  const discovery = await discoverIn(directory, { ...asked, platforms }, workspace);
  requireResolved(discovery);
  tellSuspects(discovery, configuration, context);
  return { directory, existing, wanted, charts, discovery, platforms, command };
}

/** Throws LOCK_DRIFT where the lockfile does not pin what the context refers to, or pins more. */
export function requireInStep(looked: Looked): void {
  const { discovery, existing, wanted, charts, platforms, command } = looked;
  requirePinnedCharts(wanted, existing?.charts, command);
  const drift = driftOf(discovery, existing, platforms);
  requirePinned(drift, command);
  const unused = [...drift.unused, ...unusedCharts(existing, charts)];
  requireUsed({ ...drift, unused }, command);
}

/** A lockfile as it should be, and its text where that is not what it was. */
export interface Relocked {
  readonly lockfile: Lockfile;
  readonly text: string | undefined;
}

/**
 * Pins what is not pinned, and lets go of what nothing refers to.
 *
 * @param update the pins that may move
 */
export async function relock(
  { directory, existing, charts, discovery, platforms }: Looked,
  update: 'all' | readonly string[],
  { configuration, network, engines, context }: Workspace,
  told: Context,
): Promise<Relocked> {
  const total = discovery.images.length + discovery.bases.length;
  told.report({ type: 'stage', name: 'lock', total });
  const sources = { upstream: network.upstream, tree: directory.tree, engines };
  const images = await lock(discovery, existing, sources, { platforms, update }, context);
  const lockfile = { ...images, charts };
  // What could not be built is not pinned.
  for (const platform of platforms) placedNames(lockfile, platform, configuration);
  const text = formatLockfile(lockfile);
  return {
    lockfile,
    text: existing && formatLockfile(existing) === text ? undefined : text,
  };
}
