import {
  type Content,
  type Context,
  type Descriptor,
  type Digest,
  digestContent,
  observed,
  type Repository,
  verified,
} from '@cluster-image/oci';
import { type BlobSource, layer, layerShape } from '@cluster-image/storage';
import { type CacheSources, cache } from './cache.ts';
import type { EarlierImage } from './earlier.ts';
import type { Lockfile } from './lock/lockfile.ts';
import { partsInMemory, partsRegistry } from './parts.ts';
import { knownLayers, silent, type Workshop, withEarlier } from './workshop.ts';

/** Takes the bytes of a layer to where the image is going, and tells their digest. */
export type Append = (content: Content) => Promise<Digest>;

/**
 * Keeps nothing on disk. Layers that no earlier image has go straight from where their parts are to
 * the target, and what they are called shows when they have gone by; manifests and configs are held
 * in memory.
 */
export async function streamingWorkshop(
  lockfile: Lockfile,
  earlier: readonly EarlierImage[],
  append: Append,
  given: CacheSources,
  context: Context,
): Promise<Workshop> {
  const sources = { ...given, upstream: withEarlier(earlier, given.upstream) };
  const parts = partsInMemory();
  const files = new Map<Digest, Content>();
  const elsewhere = new Map<Digest, () => Promise<Content | undefined>>();
  const target = {
    registry: partsRegistry(parts),
    wants({ digest, size }: Descriptor, { registry, repository }: Repository) {
      elsewhere.set(digest, () => registry.blob(repository, digest, size));
      return false;
    },
  };
  const small = await cache(lockfile, target, sources, silent(context));
  let streamed = 0;

  const blobs: BlobSource = async (digest, size) => {
    const near = (await parts.blobs(digest, size)) ?? files.get(digest);
    if (near) return near;
    const far = await elsewhere.get(digest)?.();
    const checked = far && verified(far, digest, `blob ${digest}`);
    return checked && observed(checked, (bytes) => (streamed += bytes));
  };

  const known = knownLayers(earlier);
  return {
    blobs,
    sources: blobs,
    async keep(content) {
      const digest = await digestContent(content);
      files.set(digest, verified(content, digest, 'file of the context'));
      return { digest, size: content.size };
    },
    describe: (plans) =>
      Promise.all(
        plans.map((plan) =>
          context.transfer(async () => {
            const shape = layerShape(plan);
            const digest = known.get(shape.plan) ?? (await append(layer(plan, blobs)));
            return { ...shape, digest };
          }),
        ),
      ),
    fetched: () => small.fetched + streamed,
  };
}
