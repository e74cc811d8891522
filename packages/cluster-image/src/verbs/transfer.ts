import {
  type Digest,
  formatReference,
  matchesPlatform,
  OciError,
  parsePlatform,
} from '@cluster-image/oci';
import { z } from 'zod';
import { deliver, type LocatedImage, manifestOf, openImage } from '../images.ts';
import { formatLocation, type Location, parseLocation } from '../location.ts';
import { counting, type Moved } from '../progress.ts';
import { formatSize } from '../sizes.ts';
import { commonOptions, withWorkspace } from '../workspace.ts';
import type { Verb } from './verb.ts';

const options = commonOptions.extend({
  source: z.string().describe('Location of the image'),
  target: z.string().optional().describe('Location to bring it to'),
  platform: z.string().optional().describe('Of an image for several platforms, only this one'),
});

type Options = z.infer<typeof options>;

export interface Transferred extends Moved {
  readonly source: string;
  readonly target: string;
  readonly digest: Digest;
}

/** push, pull, save, load and copy are one deed; they differ in what goes without saying. */
function transferVerb(
  name: string,
  summary: string,
  ends: (given: Options) => { source: Location; target: Location },
): Verb<typeof options, Transferred> {
  return {
    name,
    summary,
    positional: ['source', 'target'],
    options,
    run(given, environment, context) {
      const { source, target } = ends(given);
      const counter = counting(context);
      return withWorkspace(environment, given, counter.context, '.', async (workspace) => {
        const image = await onPlatform(await openImage(source, workspace), given.platform);
        const { digest } = await deliver(image, target, nameFor(source, target), workspace);
        const [from, to] = [formatLocation(source), formatLocation(target)];
        return { source: from, target: to, digest, ...counter.count() };
      });
    },
    lines: ({ target, digest, moved, present }) => [
      `${target}`,
      `  digest  ${digest}`,
      `  moved   ${formatSize(moved)}${present > 0 ? `, ${formatSize(present)} were there` : ''}`,
    ],
  };
}

async function onPlatform(image: LocatedImage, text: string | undefined): Promise<LocatedImage> {
  if (text === undefined) return image;
  const manifest = await manifestOf(image);
  if (manifest.kind === 'image') return image;
  const platform = parsePlatform(text);
  const child = manifest.manifests.find((entry) => matchesPlatform(platform, entry.platform));
  if (child) return { ...image, reference: child.digest };
  throw new OciError('NOT_FOUND', `the image is not there for ${text}`);
}

/** What the image is called at its target where that does not say: what it is called at its source. */
function nameFor(source: Location, target: Location): string {
  if (source.kind === 'store' || source.kind === 'docker') return formatReference(source.reference);
  if (target.kind === 'store' || target.kind === 'docker') return formatReference(target.reference);
  return 'name' in source && source.name !== undefined ? source.name : 'latest';
}

function required(target: string | undefined, example: string): Location {
  if (target !== undefined) return parseLocation(target);
  throw new OciError('USAGE', 'the target is missing', { hint: `For instance ${example}.` });
}

/** A bare name, meant as one in a registry. */
function remoteLocation(text: string): Location {
  const location = parseLocation(text);
  return location.kind === 'store' ? { kind: 'docker', reference: location.reference } : location;
}

export const pushVerb = transferVerb(
  'push',
  'Push an image to a registry, what it lacks of it',
  ({ source, target }) => {
    const from = parseLocation(source);
    if (target !== undefined) return { source: from, target: remoteLocation(target) };
    if (from.kind === 'store') return { source: from, target: { ...from, kind: 'docker' } };
    throw new OciError('USAGE', 'the target is missing', {
      hint: `For instance: cluster-image push ${source} docker://registry.example/team/cluster:1.0`,
    });
  },
);

export const pullVerb = transferVerb(
  'pull',
  'Pull an image from a registry into the store',
  ({ source, target }) => {
    const from = remoteLocation(source);
    if (target !== undefined) return { source: from, target: parseLocation(target) };
    if (from.kind === 'docker') return { source: from, target: { ...from, kind: 'store' } };
    throw new OciError('USAGE', 'the name for the store is missing');
  },
);

export const saveVerb = transferVerb(
  'save',
  'Save an image as an archive or layout',
  ({ source, target }) => ({
    source: parseLocation(source),
    target: required(target, 'docker-archive:cluster.tar'),
  }),
);

export const loadVerb = transferVerb(
  'load',
  'Load an image from an archive or layout into the store',
  ({ source, target }) => {
    const from = parseLocation(source);
    if (target !== undefined) return { source: from, target: parseLocation(target) };
    const name = 'name' in from ? from.name : undefined;
    return { source: from, target: required(name, `cluster-image load ${source} NAME:TAG`) };
  },
);

export const copyVerb = transferVerb(
  'copy',
  'Copy an image from one location to another',
  ({ source, target }) => ({
    source: parseLocation(source),
    target: required(target, 'docker://registry.example/team/cluster:1.0'),
  }),
);
