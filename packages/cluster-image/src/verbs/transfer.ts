import { type Context, type Digest, OciError } from '@cluster-image/oci';
import { type Earlier, earlierImage, layersOf, manifestsOf } from '@cluster-image/storage';
import { z } from 'zod';
import { completed, layersInStore } from '../deltas.ts';
import { isInEngine } from '../engines/engines.ts';
import type { Environment } from '../environment.ts';
import { givenLocation } from '../given-location.ts';
import {
  deliver,
  type LocatedImage,
  manifestOf,
  onPlatform,
  openImage,
  repositoryAt,
} from '../images.ts';
import {
  formatLocation,
  type Location,
  parseLocation,
  parseTarget,
  referenceIn,
  type Target,
  targetOf,
} from '../location.ts';
import { counting, type Moved } from '../progress.ts';
import { formatSize } from '../sizes.ts';
import { commonOptions, type Workspace, withWorkspace } from '../workspace.ts';
import type { Verb } from './verb.ts';

const options = commonOptions.extend({
  from: z.string().describe('Location of the image'),
  to: z.string().optional().describe('Location to bring it to'),
  platform: z.string().optional().describe('Of an image for several platforms, only this one'),
});

const saveOptions = options.extend({
  since: z
    .string()
    .optional()
    .describe('Location of an earlier image, whose layers are left out because they are there'),
});

type Options = z.infer<typeof options> & { readonly since?: string | undefined };

export interface Transferred extends Moved {
  readonly from: string;
  readonly to: string;
  readonly digest: Digest;
  /** What is left out because the earlier image has it, in bytes. */
  readonly leftOut?: number;
}

interface Ends {
  readonly from: Location;
  /** Undefined where it is what the image is called. */
  readonly to: Target | undefined;
}

/**
 * push, pull, save, load and copy are one deed; they differ in what goes without saying.
 *
 * @param ends tells them from what was given, and from where that begins
 */
function transferVerb<Given extends typeof options>(
  name: string,
  summary: string,
  given: Given,
  ends: (given: Options, from: Location) => Ends,
): Verb<Given, Transferred> {
  return {
    name,
    summary,
    positional: ['from', 'to'],
    options: given,
    run: (given, environment, context) => transfer(given, ends, environment, context),
    lines: ({ to, digest, moved, present, leftOut }) => [
      to,
      `  digest  ${digest}`,
      `  moved   ${formatSize(moved)}${present > 0 ? `, ${formatSize(present)} were there` : ''}`,
      ...(leftOut === undefined ? [] : [`  without ${formatSize(leftOut)} that are there already`]),
    ],
  };
}

async function transfer(
  given: Options,
  endsOf: (given: Options, from: Location) => Ends,
  environment: Environment,
  context: Context,
): Promise<Transferred> {
  const counter = counting(context);
  return withWorkspace(environment, given, counter.context, '.', async (workspace) => {
    const { from, to } = endsOf(given, await givenLocation(given.from, workspace));
    const opened = await onPlatform(await openImage(from, workspace), given.platform);
    const target = to ?? named(opened, given.from);
    const since = given.since === undefined ? undefined : await openSince(given, workspace);
    const image = await completedFor(target, opened, formatLocation(from), since, workspace);
    const { digest } = await deliver(image, target, workspace, since);
    const ends = { from: formatLocation(from), to: formatLocation(target) };
    const leftOut = since && (await sizeLeftOut(image, digest, since));
    return { ...ends, digest, ...counter.count(), ...(leftOut !== undefined && { leftOut }) };
  });
}

/** The name of an image for the store. Throws USAGE where it has none. */
function named({ name = '' }: LocatedImage, from: string): Target {
  const reference = referenceIn(name);
  return reference ? { kind: 'store', reference } : required(undefined, `load ${from} NAME:TAG`);
}

async function openSince(
  { since = '', platform }: Options,
  workspace: Workspace,
): Promise<Earlier> {
  const image = await openImage(await givenLocation(since, workspace), workspace);
  const { registry, repository, name, reference } = await onPlatform(image, platform);
  const { digest } = await manifestOf({ registry, repository, reference });
  return earlierImage(registry, repository, { digest, name });
}

/** A delta with all that a target needs of it. */
function completedFor(
  target: Target,
  image: LocatedImage,
  what: string,
  since: Earlier | undefined,
  workspace: Workspace,
): Promise<LocatedImage> {
  const leftOut = layersOf(since?.manifests ?? []);
  const there = repositoryAt(target, workspace);
  return completed(image, [layersInStore(workspace.store)], what, async ({ digest }) => {
    if (leftOut.has(digest)) return false;
    return (await there?.registry.blob(there.repository, digest)) === undefined;
  });
}

async function sizeLeftOut(
  { registry, repository }: LocatedImage,
  digest: Digest,
  since: Earlier,
): Promise<number> {
  const there = layersOf(since.manifests);
  const layers = layersOf(await manifestsOf(registry, repository, digest));
  const leftOut = [...layers.values()].filter((layer) => there.has(layer.digest));
  return leftOut.reduce((sum, { size }) => sum + size, 0);
}

function required(to: string | undefined, example: string): Target {
  if (to !== undefined) return parseTarget(to);
  throw new OciError('USAGE', 'the target is missing', {
    hint: `For instance: cluster-image ${example}`,
  });
}

/** A bare name, meant as one in a registry. */
function remote(location: Location): Location {
  return location.kind === 'store' ? { kind: 'docker', reference: location.reference } : location;
}

/** Whether a location is an archive or a layout. */
function isFile({ kind }: Location): boolean {
  return kind === 'oci' || kind === 'oci-archive' || kind === 'docker-archive';
}

const archives = 'docker-archive:FILE, oci-archive:FILE or oci:DIR';

export const pushVerb = transferVerb(
  'push',
  'Push an image to a registry, what it lacks of it',
  options,
  (given, from) => {
    if (given.to !== undefined) return { from, to: targetOf(remote(parseLocation(given.to))) };
    if (from.kind === 'store' || (isInEngine(from) && 'reference' in from)) {
      return { from, to: targetOf({ kind: 'docker', reference: from.reference }) };
    }
    throw new OciError('USAGE', 'the target is missing', {
      hint: `For instance: cluster-image push ${given.from} docker://registry.example/team/cluster:1.0`,
    });
  },
);

export const pullVerb = transferVerb(
  'pull',
  'Pull an image from a registry into the store',
  options,
  (given, location) => {
    const from = remote(location);
    if (given.to !== undefined) return { from, to: parseTarget(given.to) };
    if (from.kind === 'docker') return { from, to: { ...from, kind: 'store' } };
    throw new OciError('USAGE', 'the name for the store is missing');
  },
);

export const saveVerb = transferVerb(
  'save',
  'Save an image as an archive or layout, whole or since an earlier one',
  saveOptions,
  ({ from: text, to }, from) => {
    const target = required(to, `save ${text} docker-archive:cluster.tar`);
    if (isFile(target)) return { from, to: target };
    throw new OciError('USAGE', `${to} is neither an archive nor a layout`, {
      hint: `Write ${archives}.`,
    });
  },
);

export const loadVerb = transferVerb(
  'load',
  'Load an image from an archive, a layout or a container engine into the store',
  options,
  (given, from) => {
    if (!isFile(from) && !isInEngine(from)) {
      throw new OciError('USAGE', `${given.from} is neither an archive nor a layout`, {
        hint: `Write ${archives}, docker-daemon:NAME or containers-storage:NAME.`,
      });
    }
    // A tag alone says nothing of what the image is called.
    const name = 'name' in from && from.name && referenceIn(from.name) ? from.name : undefined;
    const to = given.to ?? name;
    return { from, to: to === undefined ? undefined : parseTarget(to) };
  },
);

export const copyVerb = transferVerb(
  'copy',
  'Copy an image from one location to another',
  options,
  ({ from: text, to }, from) => ({
    from,
    to: required(to, `copy ${text} docker://registry.example/team/cluster:1.0`),
  }),
);
