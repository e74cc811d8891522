import {
  type Context,
  copy,
  type Descriptor,
  type Digest,
  isDamage,
  nameOf,
  overlay,
  parseReference,
  type Registry,
  type RegistryReader,
  type Repository,
  select,
} from '@cluster-image/oci';
import { heldManifest, soleRepository } from '@cluster-image/storage';
import PQueue from 'p-queue';
import { type ArchiveSources, openArchive, releaseArchive } from './archives.ts';
import { everyOne } from './failures.ts';
import { gone } from './lock/lock.ts';
import { isWhole, keptOf, type LockedImage, type Lockfile } from './lock/lockfile.ts';
import { counting, forImage } from './progress.ts';

/** How many images are worked on at a time; how many transfers run at once is the context's business. */
const imagesAtOnce = 16;

export interface CacheSources extends ArchiveSources {
  /** Repositories are named host/path. */
  readonly upstream: RegistryReader;
}

export interface CacheTarget {
  /** Where the images go; what it has is not fetched. */
  readonly registry: Registry;
  /** Which layers are wanted, of those that a source has; all by default. */
  readonly wants?: (layer: Descriptor, source: Repository) => boolean;
  /** Whether all children of every index are wanted, whatever is pinned. */
  readonly whole?: boolean;
}

export interface Cached {
  /** How many images the store has now. */
  readonly images: number;
  /** What had to be fetched for that, in bytes. */
  readonly fetched: number;
}

/**
 * Brings every pinned image into a store, as its upstream has it: the index with its own digest,
 * and of its children those that are pinned (all of them where the reference itself is a digest, so
 * that whoever asks by it finds the index whole, and where it is for no platform). What is there already costs no request.
 *
 * Where some fail, the others are finished; then throws their failure, or SOME_FAILED.
 */
export async function cache(
  lockfile: Lockfile,
  target: CacheTarget,
  sources: CacheSources,
  context: Context,
): Promise<Cached> {
  const all = [...Object.entries(lockfile.images), ...Object.entries(lockfile.bases)];
  const queue = new PQueue({ concurrency: imagesAtOnce });
  context.report({ type: 'stage', name: 'cache', total: all.length });
  const counter = counting(context);
  await everyOne(
    all,
    ([reference]) => reference,
    ([reference, image]) =>
      queue.add(() =>
        forImage(reference, counter.context, (counted) =>
          cacheImage(reference, image, target, sources, counted),
        ),
      ),
  );
  return { images: all.length, fetched: counter.count().moved };
}

async function cacheImage(
  reference: string,
  image: LockedImage,
  { registry: target, wants, whole = false }: CacheTarget,
  sources: CacheSources,
  context: Context,
): Promise<void> {
  const { tag, digest: _, ...named } = parseReference(reference);
  const repository = nameOf(named);
  const isAll = whole || isWhole(reference, image);
  const kept = keptOf(image);
  const isWanted = ({ digest }: Descriptor): boolean => isAll || kept.has(digest);
  if (await isCached({ registry: target, repository }, image.digest, tag, isWanted)) return;
  const source = image.archive ? archiveAs(repository, image.archive, sources) : sources.upstream;
  try {
    await copy(
      { registry: requiring(image, overlay(target, source)), repository },
      image.digest,
      { registry: target, repository },
      {
        ...(wants && { layers: (layer) => wants(layer, { registry: source, repository }) }),
        ...(tag !== undefined && { tag }),
        children: isWanted,
        recheck: true,
      },
      context,
    );
  } finally {
    // What was not wanted now may be later.
    if (image.archive && !wants) await releaseArchive(image.archive, sources);
  }
}

/**
 * Whether a target has an image with all of its parts, as far as that can be told at a glance. What it
 * cannot tell it says no to: copying looks closer.
 */
async function isCached(
  { registry, repository }: Repository,
  digest: Digest,
  tag: string | undefined,
  isWanted: (child: Descriptor) => boolean,
): Promise<boolean> {
  try {
    const root = await heldManifest(registry, repository, digest, tag);
    if (!root) return false;
    for (const child of root.kind === 'index' ? root.manifests.filter(isWanted) : []) {
      const manifest = await heldManifest(registry, repository, child.digest);
      if (manifest?.kind !== 'image' || manifest.size !== child.size) return false;
    }
    return true;
  } catch (error) {
    if (isDamage(error)) return false;
    throw error;
  }
}

/** The same registry, which has what is pinned or says so. */
function requiring({ digest, archive }: LockedImage, registry: RegistryReader): RegistryReader {
  return {
    ...registry,
    async manifest(repository, wanted) {
      const found = await registry.manifest(repository, wanted);
      if (!found && wanted === digest) throw gone(digest, archive);
      return found;
    },
  };
}

/** The one image of an archive under the name it is pinned by. It is opened where the store lacks a part of it. */
function archiveAs(name: string, location: string, sources: CacheSources): RegistryReader {
  let opened: Promise<RegistryReader> | undefined;
  const open = (): Promise<RegistryReader> => {
    opened ??= openArchive(location, sources);
    return opened;
  };
  const lazy: RegistryReader = {
    resolve: async (repository, reference) => (await open()).resolve(repository, reference),
    manifest: async (repository, digest) => (await open()).manifest(repository, digest),
    blob: async (repository, digest, size) => (await open()).blob(repository, digest, size),
    async *repositories() {
      yield* (await open()).repositories();
    },
    async *tags(repository) {
      yield* (await open()).tags(repository);
    },
  };
  return select(lazy, {
    inner: (outer) => (outer === name ? soleRepository : undefined),
    outer: () => name,
  });
}
