import {
  type Context,
  type Digest,
  digestContent,
  overlay,
  type RegistryReader,
} from '@cluster-image/oci';
import type { BlobSource, LayerPlan, Store } from '@cluster-image/storage';
import type { Depot } from './assemble/assemble.ts';
import { type CacheSources, cache } from './cache.ts';
import type { EarlierImage } from './earlier.ts';
import type { Lockfile } from './lock/lockfile.ts';
import { partsRegistry, storedParts } from './parts.ts';

/** Where an image is assembled, and what it is delivered from. */
export interface Workshop extends Depot {
  /** What layers are made of; more than `blobs` where some of it is still elsewhere. */
  readonly sources: BlobSource;
  /** What had to be fetched so far, in bytes. */
  fetched(): number;
}

/** Has every image whole in the store before anything is assembled. */
export async function wholeWorkshop(
  lockfile: Lockfile,
  store: Store,
  sources: CacheSources,
  context: Context,
): Promise<Workshop> {
  const { fetched } = await cache(lockfile, store, sources, context);
  const depot = storeDepot(store, context.signal);
  return { ...depot, sources: store.blobs, fetched: () => fetched };
}

/** What is in a store, to be assembled. */
export function storeDepot(store: Store, signal: AbortSignal): Depot {
  return {
    blobs: store.blobs,
    // Files of the context too, so that what is built can be delivered when the context has changed.
    async keep(content) {
      const digest = await digestContent(content);
      await store.registry.putContent(digest, content);
      return { digest, size: content.size };
    },
    describe: (plans) => store.layers.describe(plans, signal),
  };
}

/**
 * Fetches no more than it takes: manifests and configs, then the blobs of layers that neither the
 * store nor an earlier image knows. What a target turns out to lack is fetched when it is asked for.
 */
export async function thriftyWorkshop(
  lockfile: Lockfile,
  earlier: readonly EarlierImage[],
  store: Store,
  given: CacheSources,
  context: Context,
): Promise<Workshop> {
  const registry = partsRegistry(storedParts(store));
  const sources = { ...given, upstream: withEarlier(earlier, given.upstream) };
  let fetched = 0;

  async function bring(wanted: ReadonlySet<Digest>, told: Context): Promise<void> {
    const wants = ({ digest }: { readonly digest: Digest }): boolean => wanted.has(digest);
    fetched += (await cache(lockfile, { registry, wants }, sources, told)).fetched;
  }

  await bring(new Set(), silent(context));
  return {
    ...storeDepot(store, context.signal),
    async sources(digest, size) {
      const found = await store.blobs(digest, size);
      if (found) return found;
      await bring(new Set([digest]), context);
      return store.blobs(digest, size);
    },
    describe: (plans) =>
      store.layers.describe(plans, context.signal, {
        known: knownLayers(earlier),
        prepare: (unknown) => bring(digestsIn(unknown), context),
      }),
    fetched: () => fetched,
  };
}

/** The layers that earlier images have, by the digests of their plans. */
export function knownLayers(earlier: readonly EarlierImage[]): ReadonlyMap<Digest, Digest> {
  return new Map(
    earlier.flatMap(({ layers }) => layers.map(({ plan, digest }) => [plan, digest] as const)),
  );
}

/** Parts of what is wanted may be in earlier images; those are nearer than where they come from. */
export function withEarlier(
  earlier: readonly EarlierImage[],
  upstream: RegistryReader,
): RegistryReader {
  return overlay(...earlier.map(({ registry }) => registry), upstream);
}

/** The same context, for work that is not worth a line an image. */
export function silent(context: Context): Context {
  return {
    ...context,
    report(event) {
      if (event.type !== 'image' && event.type !== 'stage') context.report(event);
    },
  };
}

function digestsIn(plans: readonly LayerPlan[]): ReadonlySet<Digest> {
  return new Set(
    plans.flatMap(({ entries }) =>
      entries.flatMap((entry) => (entry.type === 'file' ? [entry.digest] : [])),
    ),
  );
}
