import {
  formatPlatform,
  manifestLimit,
  OciError,
  type Platform,
  parseManifest,
  readAll,
  readConfig,
} from '@cluster-image/oci';
import type { BlobSource } from '@cluster-image/storage';
import { type ClusterIndex, openIndex } from '../cluster-index.ts';
import type { Stage } from '../kubefile/bases.ts';
import type { Lockfile } from '../lock/lockfile.ts';
import { baseFiles } from './base-files.ts';
import type { BaseImage } from './documents.ts';
import { type EarlierStage, type EvaluateOptions, evaluate, type Start } from './evaluate.ts';
import { sealerBase } from './sealer-image.ts';

/** Where the manifests and configs of bases are, and the layers of those that are copied onto. */
interface BaseSource {
  readonly blobs: BlobSource;
}

export interface FinishedStage extends EarlierStage {
  /** The image that is at the bottom of it. */
  readonly base: OpenedBase | undefined;
}

interface OpenedBase extends BaseImage {
  /** Of a cluster image, where everything inside it lies. */
  readonly index: ClusterIndex | undefined;
}

/** What a build file comes to: its last stage, after those before it. */
export async function runStages(
  stages: readonly Stage[],
  lockfile: Lockfile,
  source: BaseSource,
  options: EvaluateOptions,
): Promise<FinishedStage> {
  const done: FinishedStage[] = [];
  for (const stage of stages) {
    const { base, name } = stage;
    let start: Start = { config: {}, files: new Map() };
    let image: OpenedBase | undefined;
    if (base.kind === 'image') {
      image = await openBase(base.reference, lockfile, options.platform, source);
      const { manifest, config } = image;
      const sealer = sealerBase(manifest.annotations, base.reference);
      start = {
        config: config.config ?? {},
        files: new Map(),
        ...(!options.isLenient && {
          below: baseFiles(manifest.layers, source.blobs, base.reference),
        }),
        ...(sealer && { sealer }),
      };
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

/** A cluster image that has nothing inside. */
const nothingInside: ClusterIndex = {
  isComplete: true,
  layers: [],
  blobs: new Map(),
  repositories: new Map(),
};

/**
 * What a container engine has made of a build file, with the images that the engine was not given where
 * the build file copies them. What else the build file does is done, and is in that image.
 *
 * @param reference the image, among the bases of the lockfile
 * @param options their source has the images and nothing else
 */
export async function laidUpon(
  reference: string,
  stages: readonly Stage[],
  lockfile: Lockfile,
  source: BaseSource,
  options: EvaluateOptions,
): Promise<FinishedStage> {
  const { evaluated, name } = await runStages(stages, lockfile, source, {
    ...options,
    isLenient: true,
  });
  const { sealer } = evaluated;
  const files = new Map([...evaluated.files].filter(([path]) => isOfImages(path)));
  const base = await openBase(reference, lockfile, options.platform, source);
  const below = baseFiles(base.manifest.layers, source.blobs, reference);
  const isBare = (await below('registry/docker')) === undefined;
  return {
    name,
    evaluated: { files, config: base.config.config ?? {}, history: [], sealer },
    base: { ...base, index: isBare ? nothingInside : base.index },
  };
}

/** Whether a path is of the layout of `distribution`, wherever a build file has that copied to. */
function isOfImages(path: string): boolean {
  return /(?:^|\/)docker\/registry\/v2(?:\/|$)/.test(path);
}

async function openBase(
  reference: string,
  lockfile: Lockfile,
  platform: Platform,
  { blobs }: BaseSource,
): Promise<OpenedBase> {
  const digest = lockfile.bases[reference]?.manifests[formatPlatform(platform)]?.digest;
  const content = digest && (await blobs(digest, manifestLimit));
  const manifest =
    content && parseManifest(await readAll(content, manifestLimit), reference, digest);
  const config =
    manifest?.kind === 'image' && (await blobs(manifest.config.digest, manifest.config.size));
  if (!config || manifest?.kind !== 'image') {
    throw new OciError('NOT_FOUND', `the base image ${reference} is not in the store`, {
      hint: 'Run `cluster-image cache` on the context.',
    });
  }
  const read = await readConfig(config, manifest.config, reference);
  if ((read.rootfs.diff_ids ?? []).length !== manifest.layers.length) {
    throw new OciError(
      'MANIFEST_INVALID',
      `${reference}: its config and manifest differ in layers`,
    );
  }
  return { manifest, config: read, index: await openIndex(manifest, blobs, reference) };
}
