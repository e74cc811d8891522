import {
  type Content,
  type Context,
  type Descriptor,
  type Digest,
  digestContent,
  formatPlatform,
  type ImageManifest,
  type Manifest,
  nameOf,
  OciError,
  type Platform,
  parseReference,
  readConfig,
} from '@cluster-image/oci';
import type { LayerPlan, PlanEntry, Store, VirtualImage } from '@cluster-image/storage';
import { type Stage, stagesOf } from '../kubefile/bases.ts';
import type { Kubefile } from '../kubefile/kubefile.ts';
import type { Lockfile } from '../lock/lockfile.ts';
import { baseFiles } from './base-files.ts';
import { type BaseImage, configOf, imageIndex, imageManifest } from './documents.ts';
import { type EarlierStage, type EvaluateOptions, evaluate, type Start } from './evaluate.ts';
import { pack } from './pack.ts';
import { placementsOf } from './placement.ts';
import { registrySource } from './registry-source.ts';
import { over, type Source } from './source.ts';

/** The directory of images in a cluster image, as sealos and sealer have it. */
export const registryDirectory = 'registry';

export interface AssembleInput {
  readonly name: string;
  readonly kubefile: Kubefile;
  /** The files of the context. */
  readonly source: Source;
  readonly lockfile: Lockfile;
  readonly platforms: readonly Platform[];
  readonly buildArguments: Readonly<Record<string, string>>;
  readonly maxLayers: number;
}

/**
 * Makes a cluster image of a context whose images are in the store. No blob is copied: layers are
 * plans, and the only bytes that are read are those that have to be hashed. The same input gives the
 * same digest on every machine.
 */
export async function assemble(
  input: AssembleInput,
  store: Store,
  context: Context,
): Promise<VirtualImage> {
  const images = await Promise.all(
    input.platforms.map((platform) => assemblePlatform(input, platform, store, context)),
  );
  const [only] = images;
  if (!only) throw new OciError('USAGE', 'there is no platform to build for');
  const manifests = new Map<Digest, Manifest>(images.map(({ root }) => [root.digest, root]));
  const root =
    images.length === 1
      ? only.root
      : imageIndex(
          images.map(({ root }) => root),
          input.platforms,
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
  store: Store,
  context: Context,
): Promise<PlatformImage> {
  const { kubefile, lockfile, buildArguments, maxLayers } = input;
  const placements = await placementsOf(lockfile, platform, store);
  const registry = registrySource(placements, registryDirectory);
  const stages = stagesOf(kubefile, buildArguments);
  const { evaluated, base } = await runStages(stages, lockfile, platform, store, {
    kubefile,
    platform,
    buildArguments,
    source: over(registry, input.source),
    keep: (content) => keep(store, content),
  });
  const files = withRegistry(evaluated.files, registry);
  const blobs = new Set(placements.flatMap(({ blobs }) => blobs.map(({ digest }) => digest)));
  const plans = pack(files, {
    maxLayers,
    baseLayers: base?.manifest.layers.length ?? 0,
    isBlob: (digest) => blobs.has(digest),
    isInRegistry: (path) => path === registryDirectory || path.startsWith(`${registryDirectory}/`),
  });
  context.report({ type: 'stage', name: 'layers', total: plans.length });
  const layers = await store.layers.describe(plans, context.signal);
  const config = configOf(platform, evaluated, layers, base);
  const root = imageManifest(config, [...(base?.manifest.layers ?? []), ...layers]);
  return {
    root,
    config,
    plans: new Map(plans.map((plan, at) => [digestAt(layers, at), plan])),
  };
}

function digestAt(layers: readonly Descriptor[], at: number): Digest {
  const descriptor = layers[at];
  if (!descriptor) throw new OciError('MANIFEST_INVALID', `no layer ${at}`);
  return descriptor.digest;
}

async function runStages(
  stages: readonly Stage[],
  lockfile: Lockfile,
  platform: Platform,
  store: Store,
  options: EvaluateOptions,
): Promise<FinishedStage> {
  const done: FinishedStage[] = [];
  for (const stage of stages) {
    const { base, name } = stage;
    let start: Start = { config: {}, files: new Map() };
    let image: BaseImage | undefined;
    if (base.kind === 'image') {
      image = await openBase(base.reference, lockfile, platform, store);
      const { manifest, config } = image;
      const below = baseFiles(manifest.layers, store.blobs, base.reference);
      start = { config: config.config ?? {}, files: new Map(), below };
    } else if (base.kind === 'stage') {
      const earlier = done[base.index];
      if (earlier) start = earlier.evaluated;
      image = earlier?.base;
    }
    done.push({ name, evaluated: await evaluate(stage, start, done, options), base: image });
  }
  const last = done.at(-1);
  if (!last) throw new OciError('INPUT_INVALID', 'the build file has no stage');
  return last;
}

interface FinishedStage extends EarlierStage {
  /** The image that is at the bottom of it. */
  readonly base: BaseImage | undefined;
}

async function openBase(
  reference: string,
  lockfile: Lockfile,
  platform: Platform,
  store: Store,
): Promise<BaseImage> {
  const digest = lockfile.bases[reference]?.manifests[formatPlatform(platform)]?.digest;
  const repository = nameOf(parseReference(reference));
  const manifest = digest && (await store.registry.manifest(repository, digest));
  const config =
    manifest?.kind === 'image' && (await store.blobs(manifest.config.digest, manifest.config.size));
  if (!config || manifest?.kind !== 'image') {
    throw new OciError('NOT_FOUND', `the base image ${reference} is not in the store`, {
      hint: 'Run `cluster-image cache` on the context.',
    });
  }
  const read = await readConfig(config, manifest.config, reference);
  if ((read.rootfs.diff_ids ?? []).length === manifest.layers.length) {
    return { manifest, config: read };
  }
  throw new OciError('MANIFEST_INVALID', `${reference}: its config and manifest differ in layers`);
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

/** Files of the context go into the store, so that what is built can be delivered when the context has changed. */
async function keep(store: Store, content: Content): Promise<{ digest: Digest; size: number }> {
  const digest = await digestContent(content);
  await store.registry.putContent(digest, content);
  return { digest, size: content.size };
}
