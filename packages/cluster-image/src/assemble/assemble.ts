import {
  type Content,
  type Context,
  type Descriptor,
  type Digest,
  describe,
  type ImageManifest,
  type Manifest,
  mediaTypes,
  OciError,
  type Platform,
} from '@cluster-image/oci';
import type {
  BlobSource,
  LayerPlan,
  PlanEntry,
  PlannedLayer,
  VirtualImage,
} from '@cluster-image/storage';
import { clusterIndex, indexAnnotation, indexEntries, indexVersion } from '../cluster-index.ts';
import { stagesOf } from '../kubefile/bases.ts';
import type { Kubefile } from '../kubefile/kubefile.ts';
import type { Lockfile } from '../lock/lockfile.ts';
import { configOf, imageIndex, imageManifest } from './documents.ts';
import type { NameOptions } from './names.ts';
import { type PackOptions, pack } from './pack.ts';
import { type Placement, placementsOf } from './placement.ts';
import { registrySource } from './registry-source.ts';
import { laidUpon, runStages } from './run-stages.ts';
import {
  type SealerImageType,
  type SealerPart,
  sealerAnnotations,
  sealerImageTypes,
} from './sealer-image.ts';
import { over, type Source } from './source.ts';

/** The directory of images in a cluster image, as sealos and sealer have it. */
export const registryDirectory = 'registry';

export interface AssembleInput extends NameOptions {
  readonly name: string;
  readonly kubefile: Kubefile;
  /** The files of the context. */
  readonly source: Source;
  /** Whether it is an image like any other, with no registry in it. */
  readonly isBare?: boolean | undefined;
  readonly lockfile: Lockfile;
  /** The base that a container engine has made of the build file already, which then only gets its images. */
  readonly made?: string | undefined;
  readonly platforms: readonly Platform[];
  readonly buildArguments: Readonly<Record<string, string>>;
  readonly maxLayers: number;
  /** What kind of image sealer takes it for; else one for sealer only where the build file has anything of sealer's. */
  readonly type?: SealerImageType | undefined;
  /** The applications that images are for, by reference; `undefined` among them is for none. */
  readonly applications?: ReadonlyMap<string, readonly (string | undefined)[]>;
}

/** Where an image is assembled. */
export interface Depot {
  /** Manifests and configs of what is pinned, and what else is asked for. */
  readonly blobs: BlobSource;
  /** Keeps the bytes of a file for as long as the image may be delivered. */
  keep(content: Content): Promise<{ readonly digest: Digest; readonly size: number }>;
  /** Tells what layers some plans come to. */
  describe(plans: readonly LayerPlan[]): Promise<readonly PlannedLayer[]>;
}

/**
 * Makes a cluster image of a context whose images are in the store. No blob is copied: layers are
 * plans, and the only bytes that are read are those that have to be hashed. The same input gives the
 * same digest on every machine.
 */
export async function assemble(
  input: AssembleInput,
  depot: Depot,
  context: Context,
): Promise<VirtualImage> {
  const images: PlatformImage[] = [];
  // One after another: they share most of their layers, and what one brings in the next finds there.
  for (const platform of input.platforms) {
    images.push(await assemblePlatform(input, platform, depot, context));
  }
  const [only] = images;
  if (!only) throw new OciError('USAGE', 'there is no platform to build for');
  const manifests = new Map<Digest, Manifest>(images.map(({ root }) => [root.digest, root]));
  const root =
    images.length === 1
      ? only.root
      : imageIndex(
          images.map(({ root }, at) => ({ ...describe(root), platform: input.platforms[at] })),
        );
  manifests.set(root.digest, root);
  return {
    name: input.name,
    root,
    manifests,
    configs: new Map(images.map(({ root, config }) => [root.config.digest, config])),
    plans: new Map(images.flatMap(({ plans }) => [...plans])),
  };
}

interface PlatformImage {
  readonly root: ImageManifest;
  readonly config: Uint8Array;
  readonly plans: ReadonlyMap<Digest, LayerPlan>;
}

async function assemblePlatform(
  input: AssembleInput,
  platform: Platform,
  depot: Depot,
  context: Context,
): Promise<PlatformImage> {
  const { kubefile, lockfile, buildArguments, maxLayers } = input;
  const placements = await placementsOf(lockfile, platform, depot, input);
  const registry: ReadonlyMap<string, PlanEntry> = input.isBare
    ? new Map()
    : registrySource(placements, registryDirectory);
  const stages = stagesOf(kubefile, buildArguments);
  const keep = (content: Content) => depot.keep(content);
  const options = { kubefile, platform, buildArguments, keep };
  const source = over(registry, input.source);
  const { evaluated, base } =
    input.made === undefined
      ? await runStages(stages, lockfile, depot, { ...options, source })
      : await laidUpon(input.made, stages, lockfile, depot, { ...options, source: registry });
  const files = withRegistry(evaluated.files, registry);
  const plans = pack(files, {
    maxLayers,
    baseLayers: base?.manifest.layers.length ?? 0,
    ...ownersOf(placements),
  });
  context.report({ type: 'stage', name: 'layers', total: plans.length });
  const layers = await depot.describe(plans);
  const index = clusterIndex(placements, layers, base);
  const indexPlan: LayerPlan = { formatVersion: 1, entries: [...indexEntries(index)] };
  const [indexLayer] = index.blobs.size > 0 ? await depot.describe([indexPlan]) : [];
  const descriptors = layers.map(({ digest, size }) => layerDescriptor({ digest, size }));
  if (indexLayer) {
    const { digest, size } = indexLayer;
    const annotations = { [indexAnnotation]: String(indexVersion) };
    descriptors.push({ ...layerDescriptor({ digest, size }), annotations });
  }
  const config = configOf(platform, evaluated, descriptors, base);
  const annotations = annotationsOf(evaluated.sealer, input, platform);
  const root = imageManifest(
    config,
    [...(base?.manifest.layers ?? []), ...descriptors],
    annotations,
  );
  const planned = indexLayer ? [...plans, indexPlan] : plans;
  return {
    root,
    config,
    plans: new Map(planned.map((plan, at) => [digestAt(descriptors, at), plan])),
  };
}

/** What sealer is to know of an image, if it is to know it. */
function annotationsOf(
  sealer: SealerPart,
  { type, lockfile, applications }: AssembleInput,
  platform: Platform,
): Readonly<Record<string, string>> | undefined {
  if (!sealer.isMeant && type === undefined) return undefined;
  const images = Object.keys(lockfile.images).flatMap((image) =>
    (applications?.get(image) ?? [undefined]).map((application) => ({ image, application })),
  );
  return sealerAnnotations(sealer, type ?? sealerImageTypes[0], images, platform);
}

function layerDescriptor(layer: Pick<Descriptor, 'digest' | 'size'>): Descriptor {
  return { mediaType: mediaTypes.ociLayer, ...layer };
}

/** Which repository each part of the placed images is stored for: the first that has it. */
function ownersOf(placements: readonly Placement[]): Pick<PackOptions, 'blobOf' | 'metadataOf'> {
  const blobs = new Map<Digest, string>();
  const metadata = new Map<Digest, string>();
  for (const { repository, manifests, blobs: parts } of placements) {
    for (const manifest of manifests) {
      setOnce(metadata, manifest.digest, repository);
      if (manifest.kind === 'image') setOnce(metadata, manifest.config.digest, repository);
    }
    for (const { digest } of parts) if (!metadata.has(digest)) setOnce(blobs, digest, repository);
  }
  return {
    blobOf: (digest) => blobs.get(digest),
    metadataOf: (entry) =>
      (entry.type === 'file' ? metadata.get(entry.digest) : undefined) ?? repositoryIn(entry.path),
  };
}

function setOnce<K, V>(map: Map<K, V>, key: K, value: V): void {
  if (!map.has(key)) map.set(key, value);
}

/** The repository whose directory in a registry directory, wherever that was copied to, a path is in. */
function repositoryIn(path: string): string | undefined {
  return /(?:^|\/)docker\/registry\/v2\/repositories\/(.+?)\/_(?:layers|manifests)(?:\/|$)/.exec(
    path,
  )?.[1];
}

function digestAt(layers: readonly Descriptor[], at: number): Digest {
  const descriptor = layers[at];
  if (!descriptor) throw new OciError('MANIFEST_INVALID', `no layer ${at}`);
  return descriptor.digest;
}

/**
 * A build file that never copies `registry/` gets it at the root, as sealer has it. One that copies it
 * somewhere else means that, and has it once.
 */
function withRegistry(
  files: ReadonlyMap<string, PlanEntry>,
  registry: ReadonlyMap<string, PlanEntry>,
): ReadonlyMap<string, PlanEntry> {
  const [last = registryDirectory] = [...registry.keys()].slice(-1);
  if (last === registryDirectory) return files;
  const path = last.slice(registryDirectory.length);
  const isCopied = [...files.keys()].some((known) => `/${known}`.endsWith(path));
  return isCopied ? files : new Map([...files, ...registry]);
}
