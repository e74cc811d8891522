import {
  type Descriptor,
  type Digest,
  describe,
  formatPlatform,
  formatReference,
  type ImageManifest,
  type Manifest,
  OciError,
  type Platform,
  parseConfig,
  parsePlatform,
} from '@cluster-image/oci';
import type { LayerPlan, VirtualImage } from '@cluster-image/storage';
import { z } from 'zod';
import { imageIndex } from '../assemble/documents.ts';
import { givenLocation } from '../given-location.ts';
import { parseTarget } from '../location.ts';
import { virtualAt } from '../virtual-at.ts';
import { commonOptions, withWorkspace } from '../workspace.ts';
import {
  handOver,
  imageName,
  type Outcome,
  outcomeLines,
  outcomeOptions,
  outcomeShort,
} from './outcome.ts';
import type { Verb } from './verb.ts';

const options = commonOptions.extend({
  images: z.array(z.string()).min(1).describe('Locations of the images, each for other platforms'),
  ...outcomeOptions.shape,
});

export interface Indexed extends Outcome {
  /** In the order of the index. */
  readonly platforms: readonly string[];
}

/**
 * Joins images of single platforms, which may have been built apart, into what a build for all of them
 * would have made.
 */
export const indexVerb: Verb<typeof options, Indexed> = {
  name: 'index',
  summary: 'Join images of several platforms into one',
  positional: ['images'],
  options,
  short: outcomeShort,
  run: (given, environment, context) =>
    withWorkspace(environment, given, context, '.', async (workspace) => {
      const { store } = workspace;
      const targets = given.output.map(parseTarget);
      const reference = imageName(given.tag, targets);
      const parts: Part[] = [];
      for (const what of given.images) {
        const location = await givenLocation(what, workspace);
        parts.push({ what, image: await virtualAt(location, reference, workspace) });
      }
      const children = parts.flatMap(childrenOf);
      requireOneEach(children);
      const image = joined(formatReference(reference), parts, children);
      await store.putImage(reference, image);
      const made = { image, sources: store.blobs, reference, targets, isStored: true };
      const outcome = await handOver(made, given, workspace);
      return { ...outcome, platforms: children.map(({ platform }) => formatPlatform(platform)) };
    }),
  lines: (indexed) => outcomeLines('joined', indexed, `for ${indexed.platforms.join(', ')}`),
};

/** An image that is joined with others. */
interface Part {
  /** Its location, as it was given. */
  readonly what: string;
  readonly image: VirtualImage;
}

/** What an index lists: an image for one platform. */
interface Child {
  readonly what: string;
  readonly descriptor: Descriptor;
  readonly platform: Platform;
}

/** An index gives what it lists. */
function childrenOf({ what, image }: Part): readonly Child[] {
  const { root, manifests } = image;
  if (root.kind === 'image') return [childOf(root, what, image)];
  return root.manifests.map((descriptor) => {
    const manifest = manifests.get(descriptor.digest);
    const { platform } = descriptor;
    if (!platform && manifest?.kind === 'image') return childOf(manifest, what, image);
    return { what, descriptor, platform: platform ?? nowhere };
  });
}

/** Of what runs on no platform, as buildkit has it for attestations. */
const nowhere: Platform = { os: 'unknown', architecture: 'unknown' };

function childOf(manifest: ImageManifest, what: string, { configs }: VirtualImage): Child {
  const { digest } = manifest.config;
  const bytes = configs.get(digest);
  if (!bytes) throw new OciError('NOT_FOUND', `${what}: its config ${digest} is missing`);
  const config = parseConfig(bytes, digest, what);
  const version = config['os.version'];
  const platform = {
    ...parsePlatform(formatPlatform(config)),
    ...(version !== undefined && { 'os.version': version }),
  };
  return { what, descriptor: { ...describe(manifest), platform }, platform };
}

/** Throws CONFLICT where two images are for the same platform, of which one would hide the other. */
function requireOneEach(children: readonly Child[]): void {
  const known = new Map<string, string>();
  for (const { what, platform } of children) {
    const { os, 'os.version': version = '' } = platform;
    if (os === nowhere.os) continue;
    const key = `${formatPlatform(platform)} ${version}`;
    const other = known.get(key);
    if (other !== undefined) {
      throw new OciError('CONFLICT', `${other} and ${what} are both for ${key.trim()}`, {
        hint: 'Name one image for each platform.',
      });
    }
    known.set(key, what);
  }
}

function joined(name: string, parts: readonly Part[], children: readonly Child[]): VirtualImage {
  const manifests = new Map<Digest, Manifest>();
  const configs = new Map<Digest, Uint8Array>();
  const plans = new Map<Digest, LayerPlan>();
  for (const { image } of parts) {
    for (const [digest, manifest] of image.manifests) {
      if (manifest !== image.root || manifest.kind === 'image') manifests.set(digest, manifest);
    }
    for (const [digest, config] of image.configs) configs.set(digest, config);
    for (const [digest, plan] of image.plans) plans.set(digest, plan);
  }
  const root = imageIndex(children.map(({ descriptor }) => descriptor));
  manifests.set(root.digest, root);
  return { name, root, manifests, configs, plans };
}
