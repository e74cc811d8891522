import {
  type Descriptor,
  formatPlatform,
  type ImageManifest,
  OciError,
  readConfig,
} from '@cluster-image/oci';
import { z } from 'zod';
import { formatCount } from '../counts.ts';
import { type DeltaReport, deltaIn, deltaLines, reportOn } from '../deltas.ts';
import { givenLocation } from '../given-location.ts';
import { type LocatedImage, manifestOf, openImage } from '../images.ts';
import { openCluster } from '../open-cluster.ts';
import { formatSize } from '../sizes.ts';
import { commonOptions, withWorkspace } from '../workspace.ts';
import { platformOption } from './context-options.ts';
import { sizeOf } from './outcome.ts';
import type { Verb } from './verb.ts';

const options = commonOptions.extend({
  location: z.string().describe('Location of the image'),
  images: z.boolean().default(false).describe('List the images inside a cluster image'),
  ...platformOption.shape,
});

interface InspectedImage {
  readonly platform: string;
  readonly digest: string;
  readonly size: number;
  readonly layers: readonly Descriptor[];
  readonly labels: Readonly<Record<string, string>>;
  readonly environment: readonly string[];
  readonly entrypoint: readonly string[];
  readonly command: readonly string[];
}

interface Inspected {
  readonly location: string;
  readonly digest: string;
  readonly mediaType: string;
  readonly platforms: readonly InspectedImage[];
  /** Of an image that was saved since another one. */
  readonly delta?: DeltaReport;
  readonly images?: readonly InnerImage[];
}

interface InnerImage {
  readonly repository: string;
  readonly tag: string;
  readonly digest: string;
}

export const inspectVerb: Verb<typeof options, Inspected> = {
  name: 'inspect',
  summary: 'Show what an image is made of',
  positional: ['location'],
  options,
  run: (given, environment, context) =>
    withWorkspace(environment, given, context, '.', async (workspace) => {
      const image = await openImage(await givenLocation(given.location, workspace), workspace);
      const root = await manifestOf(image);
      const platforms: InspectedImage[] = [];
      if (root.kind === 'image') platforms.push(await inspectImage(image, root, given.location));
      else {
        for (const child of root.manifests) {
          const manifest = await image.registry.manifest(image.repository, child.digest);
          if (manifest?.kind === 'image') {
            platforms.push(await inspectImage(image, manifest, given.location));
          }
        }
      }
      const { digest, mediaType } = root;
      const delta = await deltaIn(image);
      const inspected = {
        location: given.location,
        digest,
        mediaType,
        platforms,
        ...(delta && { delta: await reportOn(delta, workspace.store) }),
      };
      if (!given.images) return inspected;
      const registry = await openCluster(image, given.platform, given.location, workspace);
      const images: InnerImage[] = [];
      for await (const repository of registry.repositories()) {
        for await (const tag of registry.tags(repository)) {
          const found = await registry.resolve(repository, tag);
          if (found) images.push({ repository, tag, digest: found.digest });
        }
      }
      return { ...inspected, images };
    }),
  lines: ({ location, digest, platforms, images, delta }) => [
    location,
    `  digest  ${digest}`,
    ...(delta ? deltaLines(delta) : []),
    ...platforms.flatMap(({ platform, size, layers, labels, environment, entrypoint, command }) => [
      `  ${platform}  ${formatSize(size)} in ${formatCount(layers.length, 'layer')}`,
      ...Object.entries(labels).map(([name, value]) => `    label ${name}=${value}`),
      ...environment.map((entry) => `    env ${entry}`),
      ...(entrypoint.length > 0 ? [`    entrypoint ${JSON.stringify(entrypoint)}`] : []),
      ...(command.length > 0 ? [`    cmd ${JSON.stringify(command)}`] : []),
    ]),
    ...(images ?? []).map(({ repository, tag, digest }) => `  ${repository}:${tag}  ${digest}`),
  ],
};

async function inspectImage(
  { registry, repository }: LocatedImage,
  manifest: ImageManifest,
  what: string,
): Promise<InspectedImage> {
  const { config: descriptor, layers, digest } = manifest;
  const content = await registry.blob(repository, descriptor.digest, descriptor.size);
  if (!content) throw new OciError('NOT_FOUND', `${what}: its config is missing`);
  const { config, ...platform } = await readConfig(content, descriptor, what);
  return {
    platform: formatPlatform(platform),
    digest,
    size: sizeOf([manifest]).size,
    layers,
    labels: config?.Labels ?? {},
    environment: config?.Env ?? [],
    entrypoint: config?.Entrypoint ?? [],
    command: config?.Cmd ?? [],
  };
}
