import { type Digest, matchesPlatform, OciError, parsePlatform } from '@cluster-image/oci';
import { z } from 'zod';
import { deliver, type LocatedImage, manifestOf, openImage } from '../images.ts';
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
import { commonOptions, withWorkspace } from '../workspace.ts';
import type { Verb } from './verb.ts';

const options = commonOptions.extend({
  from: z.string().describe('Location of the image'),
  to: z.string().optional().describe('Location to bring it to'),
  platform: z.string().optional().describe('Of an image for several platforms, only this one'),
});

type Options = z.infer<typeof options>;

export interface Transferred extends Moved {
  readonly from: string;
  readonly to: string;
  readonly digest: Digest;
}

/** push, pull, save, load and copy are one deed; they differ in what goes without saying. */
function transferVerb(
  name: string,
  summary: string,
  ends: (given: Options) => { from: Location; to: Target },
): Verb<typeof options, Transferred> {
  return {
    name,
    summary,
    positional: ['from', 'to'],
    options,
    async run(given, environment, context) {
      const { from, to } = ends(given);
      const counter = counting(context);
      return withWorkspace(environment, given, counter.context, '.', async (workspace) => {
        const image = await onPlatform(await openImage(from, workspace), given.platform);
        const { digest } = await deliver(image, to, workspace);
        const ends = { from: formatLocation(from), to: formatLocation(to) };
        return { ...ends, digest, ...counter.count() };
      });
    },
    lines: ({ to, digest, moved, present }) => [
      to,
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

function required(to: string | undefined, example: string): Target {
  if (to !== undefined) return parseTarget(to);
  throw new OciError('USAGE', 'the target is missing', { hint: `For instance ${example}.` });
}

/** A bare name, meant as one in a registry. */
function remoteLocation(text: string): Location {
  const location = parseLocation(text);
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
  (given) => {
    const from = parseLocation(given.from);
    if (given.to !== undefined) return { from, to: targetOf(remoteLocation(given.to)) };
    if (from.kind === 'store') return { from, to: targetOf({ ...from, kind: 'docker' }) };
    throw new OciError('USAGE', 'the target is missing', {
      hint: `For instance: cluster-image push ${given.from} docker://registry.example/team/cluster:1.0`,
    });
  },
);

export const pullVerb = transferVerb(
  'pull',
  'Pull an image from a registry into the store',
  (given) => {
    const from = remoteLocation(given.from);
    if (given.to !== undefined) return { from, to: parseTarget(given.to) };
    if (from.kind === 'docker') return { from, to: { ...from, kind: 'store' } };
    throw new OciError('USAGE', 'the name for the store is missing');
  },
);

export const saveVerb = transferVerb(
  'save',
  'Save an image as an archive or layout',
  ({ from, to }) => {
    const target = required(to, 'docker-archive:cluster.tar');
    if (isFile(target)) return { from: parseLocation(from), to: target };
    throw new OciError('USAGE', `${to} is neither an archive nor a layout`, {
      hint: `Write ${archives}.`,
    });
  },
);

export const loadVerb = transferVerb(
  'load',
  'Load an image from an archive or layout into the store',
  (given) => {
    const from = parseLocation(given.from);
    if (!isFile(from)) {
      throw new OciError('USAGE', `${given.from} is neither an archive nor a layout`, {
        hint: `Write ${archives}.`,
      });
    }
    // A tag alone says nothing of what the image is called.
    const name = 'name' in from && from.name && referenceIn(from.name) ? from.name : undefined;
    return { from, to: required(given.to ?? name, `cluster-image load ${given.from} NAME:TAG`) };
  },
);

export const copyVerb = transferVerb(
  'copy',
  'Copy an image from one location to another',
  ({ from, to }) => ({
    from: parseLocation(from),
    to: required(to, 'docker://registry.example/team/cluster:1.0'),
  }),
);
