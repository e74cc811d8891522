import {
  type Descriptor,
  type Digest,
  digestContent,
  digestHex,
  digestOf,
  isDigest,
  mediaTypes,
  throwIfAborted,
} from '@cluster-image/oci';
import { type DigestPool, digestPool } from './digest-pool.ts';
import type { Disk } from './disk.ts';
import { type BlobSource, type LayerPlan, layer, layerSegments } from './layer.ts';

/** Below this size in all, layers are hashed sooner than a thread is there to do it, in bytes. */
const worthThreads = 32 * 1024 * 1024;

/**
 * Tells the digests of layers. What a plan came to is remembered on the disk, by the digest of the
 * plan, so that a layer is read once however often it is built. See docs/formats.md#content-store.
 */
export interface LayerDigests {
  /** The layers of plans, in their order. Throws NOT_FOUND for a blob that is nowhere, and ABORTED. */
  describe(plans: readonly LayerPlan[], signal: AbortSignal): Promise<readonly Descriptor[]>;
}

export function layerDigests(disk: Disk, blobs: BlobSource): LayerDigests {
  return {
    async describe(plans, signal) {
      const known = await Promise.all(plans.map(recall));
      const sizes = plans.map((plan) => layer(plan, blobs).size);
      const work = sizes.filter((_, at) => !known[at]).reduce((sum, size) => sum + size, 0);
      const pool = work < worthThreads ? undefined : digestPool();
      const stop = (): void => void pool?.close();
      signal.addEventListener('abort', stop, { once: true });
      try {
        const digests = await Promise.all(
          plans.map(async (plan, at) => known[at] ?? hash(plan, pool, signal)),
        );
        return digests.map((digest, at) => ({
          mediaType: mediaTypes.ociLayer,
          digest,
          size: sizes[at] ?? 0,
        }));
      } finally {
        signal.removeEventListener('abort', stop);
        await pool?.close();
      }
    },
  };

  async function hash(
    plan: LayerPlan,
    pool: DigestPool | undefined,
    signal: AbortSignal,
  ): Promise<Digest> {
    throwIfAborted(signal);
    const segments = pool && (await layerSegments(plan, blobs));
    // What a thread cannot read is read here, where the failure has a name.
    const digest =
      (segments && (await pool?.digest(segments))) ?? (await digestContent(layer(plan, blobs)));
    await disk.write(memoPath(plan), digest);
    return digest;
  }

  /** What a plan came to; undefined where that is not known or was damaged. */
  async function recall(plan: LayerPlan): Promise<Digest | undefined> {
    const text = await disk.text(memoPath(plan));
    return text !== undefined && isDigest(text) ? text : undefined;
  }

  function memoPath(plan: LayerPlan): string {
    return disk.path('layers', 'sha256', digestHex(digestOf(Buffer.from(JSON.stringify(plan)))));
  }
}
