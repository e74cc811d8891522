import { join, posix } from 'node:path';
import { bytes, type Context, formatReference, OciError, parseReference } from '@cluster-image/oci';
import { saveFile } from '@cluster-image/storage';
import { z } from 'zod';
import { placedNames } from '../assemble/names.ts';
import type { RemoteChart } from '../charts/remote-chart.ts';
import { contextCharts } from '../context-charts.ts';
import { discoverIn, openContext } from '../context-directory.ts';
import type { Discovery } from '../discover/discovery.ts';
import type { Environment } from '../environment.ts';
import { lockCharts, requirePinnedCharts, unusedCharts } from '../lock/charts.ts';
import {
  driftOf,
  lockCommand,
  requirePinned,
  requireResolved,
  requireUsed,
  tellSuspects,
} from '../lock/check.ts';
import { lock } from '../lock/lock.ts';
import { formatLockfile, type Lockfile, lockfileName, readLockfile } from '../lock/lockfile.ts';
import { commonOptions, platformsOf, type Workspace, withWorkspace } from '../workspace.ts';
import { buildArgumentsOf, contextOptions, platformOption } from './context-options.ts';
import type { Verb } from './verb.ts';

const options = commonOptions.extend({
  ...contextOptions.shape,
  ...platformOption.shape,
  references: z.array(z.string()).default([]).describe('With --update: only these references'),
  update: z
    .boolean()
    .default(false)
    .describe('Move pins to what upstream means by the references now'),
  check: z
    .boolean()
    .default(false)
    .describe('Write nothing; fail where the lockfile does not fit the context'),
});

export interface Locked {
  /** Relative to the context. */
  readonly lockfile: string;
  readonly images: number;
  /** Those of repositories, where there are any. */
  readonly charts?: number;
  readonly changes: readonly Change[];
}

export interface Change {
  readonly reference: string;
  readonly from?: string;
  readonly to?: string;
}

export const lockVerb: Verb<typeof options, Locked> = {
  name: 'lock',
  summary: 'Pin the images of a context to digests in cluster-image.lock.json',
  positional: ['context', 'references'],
  options,
  run: async (given, environment, context) => {
    if (given.references.length > 0 && !given.update) {
      throw new OciError('USAGE', 'references are only for --update', {
        hint: 'Without it a lockfile pins whatever the context refers to.',
      });
    }
    if (given.check && given.update) {
      throw new OciError('USAGE', '--check writes nothing, and --update moves pins', {
        hint: 'Give one of them.',
      });
    }
    return withWorkspace(environment, given, context, given.context, async (workspace) => {
      const { text, ...locked } = await relock(given, workspace, context);
      const path = join(workspace.path(given.context), lockfileName);
      if (text !== undefined) await saveFile(path, bytes(text));
      return locked;
    });
  },
  lines: ({ lockfile, images, charts, changes }) => [
    ...changes.map(({ reference, from, to }) => {
      if (from === undefined) return `+ ${reference} ${to}`;
      return to === undefined ? `- ${reference}` : `~ ${reference} ${from} -> ${to}`;
    }),
    `${lockfile} pins ${images} images${charts ? ` and ${charts} charts` : ''}${changes.length === 0 ? ', as before' : ''}`,
  ],
};

/**
 * The text of the lockfile that a context should have, without writing it; undefined where it is the one
 * it has. Throws as the verb does.
 *
 * @param built images that the workspace builds beside those of the configuration, by name
 */
export async function lockfileText(
  given: z.infer<typeof options>,
  environment: Environment,
  context: Context,
  built: Readonly<Record<string, string>> = {},
): Promise<string | undefined> {
  return withWorkspace(environment, given, context, given.context, async (workspace) => {
    const { configuration } = workspace;
    const workspaceImages = { ...built, ...configuration.workspaceImages };
    const assumed = { ...workspace, configuration: { ...configuration, workspaceImages } };
    const { text } = await relock(given, assumed, context);
    return text;
  });
}

/** What a lockfile comes to, and its text where that is not what it was. */
async function relock(
  given: z.infer<typeof options>,
  workspace: Workspace,
  context: Context,
): Promise<Locked & { readonly text?: string }> {
  const { configuration, network, engines } = workspace;
  const opened = await openContext(workspace.path(given.context));
  const existing = await readLockfile(opened.tree);
  const { wanted, sources: chartSources, place } = await contextCharts(opened, workspace);
  const command = lockCommand(given);
  const charts = given.check
    ? requirePinnedCharts(wanted, existing?.charts, command)
    : await lockCharts(wanted, existing?.charts, chartSources, movableCharts(given, wanted));
  const directory = await place(charts);
  const buildArguments = buildArgumentsOf(given.buildArg, configuration);
  const platforms = platformsOf(given.platform, configuration);
  const asked = { ...given, buildArguments, platforms };
  const discovery = await discoverIn(directory, asked, workspace);
  requireResolved(discovery);
  tellSuspects(discovery, configuration, workspace.context);
  if (given.check) {
    const drift = driftOf(discovery, existing, platforms);
    requirePinned(drift, command);
    const unused = [...drift.unused, ...unusedCharts(existing, charts)];
    requireUsed({ ...drift, unused }, command);
    return { lockfile: lockfileName, images: discovery.images.length, changes: [] };
  }
  const total = discovery.images.length + discovery.bases.length;
  context.report({ type: 'stage', name: 'lock', total });
  const update = given.update ? movable(given.references, discovery, wanted) : [];
  const sources = { upstream: network.upstream, tree: directory.tree, engines };
  const images = await lock(discovery, existing, sources, { platforms, update }, workspace.context);
  const locked = { ...images, charts };
  // What could not be built is not pinned.
  for (const platform of platforms) placedNames(locked, platform, configuration);
  const text = formatLockfile(locked);
  return {
    lockfile: lockfileName,
    images: Object.keys(locked.images).length,
    ...(wanted.length > 0 && { charts: wanted.length }),
    changes: changesBetween(existing, locked),
    ...((!existing || formatLockfile(existing) !== text) && { text }),
  };
}

/** The charts whose pins may move: those that are asked for by path or name. */
function movableCharts(
  { update, references }: Pick<z.infer<typeof options>, 'update' | 'references'>,
  charts: readonly RemoteChart[],
): 'all' | readonly string[] {
  if (!update) return [];
  if (references.length === 0) return 'all';
  return charts.filter((chart) => references.some(isNameOf(chart))).map(({ path }) => path);
}

/** Whether a text is what a chart is called. */
function isNameOf({ path, name }: RemoteChart): (text: string) => boolean {
  return (text) => posix.normalize(text) === path || text === name;
}

/** The pins that may move. Throws USAGE for what the context does not refer to. */
function movable(
  asked: readonly string[],
  { images, bases }: Discovery,
  charts: readonly RemoteChart[],
): 'all' | readonly string[] {
  if (asked.length === 0) return 'all';
  const known = new Set([...images, ...bases].map(({ reference }) => reference));
  return asked.flatMap((text) => {
    const isChart = charts.some((chart) => isNameOf(chart)(text));
    // The path of a chart need not be a reference.
    if (isChart && /\.tgz$/.test(text)) return [];
    const reference = formatReference(parseReference(text));
    if (known.has(reference)) return [reference];
    if (isChart) return [];
    throw new OciError('USAGE', `the context does not refer to ${reference}`, {
      hint: '`cluster-image discover` lists what it refers to.',
    });
  });
}

function changesBetween(before: Lockfile | undefined, after: Lockfile): readonly Change[] {
  const [old, now] = [meanings(before), meanings(after)];
  return [...new Set([...old.keys(), ...now.keys()])]
    .sort()
    .map((reference) => ({ reference, from: old.get(reference), to: now.get(reference) }))
    .filter(({ from, to }) => from !== to);
}

/** What each reference and chart is pinned to. */
function meanings(lockfile: Lockfile | undefined): ReadonlyMap<string, string> {
  const { images = {}, bases = {}, charts = {} } = lockfile ?? {};
  const found = new Map<string, string>();
  for (const [reference, { digest }] of Object.entries({ ...images, ...bases })) {
    found.set(reference, digest);
  }
  for (const [path, { version, digest }] of Object.entries(charts)) {
    found.set(path, `${version}@${digest}`);
  }
  return found;
}
