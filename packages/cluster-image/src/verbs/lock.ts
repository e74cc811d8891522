import { join, posix } from 'node:path';
import { bytes, type Context, formatReference, OciError, parseReference } from '@cluster-image/oci';
import { saveFile } from '@cluster-image/storage';
import { z } from 'zod';
import type { RemoteChart } from '../charts/remote-chart.ts';
import { formatCount } from '../counts.ts';
import type { Discovery } from '../discover/discovery.ts';
import type { Environment } from '../environment.ts';
import { lockCommand } from '../lock/check.ts';
import { type Lockfile, lockfileName } from '../lock/lockfile.ts';
import { type Asked, type Looked, look, relock, requireInStep } from '../lock/relock.ts';
import { commonOptions, type Workspace, withWorkspace } from '../workspace.ts';
import { withBuilt } from '../workspace-images.ts';
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
      const looked = await look(askedOf(given, workspace), workspace);
      const { discovery, existing, wanted } = looked;
      if (given.check) {
        requireInStep(looked);
        return { lockfile: lockfileName, images: discovery.images.length, changes: [] };
      }
      const update = given.update ? movable(given.references, discovery, wanted) : [];
      const { lockfile, text } = await relock(looked, update, workspace, context);
      const path = join(workspace.path(given.context), lockfileName);
      if (text !== undefined) await saveFile(path, bytes(text));
      return {
        lockfile: lockfileName,
        images: Object.keys(lockfile.images).length,
        ...(wanted.length > 0 && { charts: wanted.length }),
        changes: changesBetween(existing, lockfile),
      };
    });
  },
  lines: ({ lockfile, images, charts, changes }) => [
    ...changes.map(({ reference, from, to }) => {
      if (from === undefined) return `+ ${reference} ${to}`;
      return to === undefined ? `- ${reference}` : `~ ${reference} ${from} -> ${to}`;
    }),
    `${lockfile} pins ${formatCount(images, 'image')}${charts ? ` and ${formatCount(charts, 'chart')}` : ''}${changes.length === 0 ? ', as before' : ''}`,
  ],
};

/** What it takes to have a context and its lockfile in step. */
export interface Step {
  /** Images that are built here and that nobody has said so of yet: their locations by name. */
  readonly built: Readonly<Record<string, string>>;
  /** Why the lockfile does not fit. */
  readonly drift?: string;
  /** The lockfile as it should be, where that is not what it is. */
  readonly text?: string | undefined;
}

/**
 * Looks once what a context and its lockfile are out of step in. Registries are asked only for what is
 * not pinned; nothing is written. Throws as the verb does, but not for drift.
 *
 * @param builtHere which of these references are images of the workspace: their locations by name
 */
export async function lockStep(
  given: z.infer<typeof options>,
  environment: Environment,
  context: Context,
  builtHere: (references: readonly string[]) => Readonly<Record<string, string>>,
): Promise<Step> {
  return withWorkspace(environment, given, context, given.context, async (workspace) => {
    const found = await look(askedOf({ ...given, check: false }, workspace), workspace);
    const { images, bases } = found.discovery;
    const built = builtHere([...images, ...bases].map(({ reference }) => reference));
    const discovery = withBuilt(found.discovery, { workspaceImages: built });
    const looked = { ...found, discovery };
    const drift = driftIn(looked);
    if (drift === undefined && Object.keys(built).length === 0) return { built };
    const { text } = await relock(looked, [], workspace, context);
    return { built, ...(drift !== undefined && { drift }), text };
  });
}

/** Why a lockfile does not fit; undefined where it does. */
function driftIn(looked: Looked): string | undefined {
  try {
    requireInStep(looked);
    return undefined;
  } catch (error) {
    if (error instanceof OciError && error.code === 'LOCK_DRIFT') return error.message;
    throw error;
  }
}

function askedOf(given: z.infer<typeof options>, { configuration }: Workspace): Asked {
  const { context: path, file, bare, platform, buildArg, check } = given;
  return {
    path,
    file,
    bare,
    platform,
    buildArguments: buildArgumentsOf(buildArg, configuration),
    command: lockCommand(given),
    ...(!check && { movableCharts: (wanted) => movableCharts(given, wanted) }),
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
