import {
  type Digest,
  digestAlgorithm,
  digestContent,
  digestHex,
  isDigest,
  throwIfAborted,
} from '@cluster-image/oci';
import { type DigestPool, digestPool } from './digest-pool.ts';
import type { Disk } from './disk.ts';
import {
  type BlobSource,
  type LayerFile,
  type LayerPlan,
  type LayerShape,
  layer,
  layerSegments,
  layerShape,
  planDigest,
} from './layer.ts';

/** Below this size in all, layers are hashed sooner than a thread is there to do it, in bytes. */
const worthThreads = 32 * 1024 * 1024;

/**
 * Tells the digests of layers. What a plan came to is remembered on the disk, by the digest of the
 * plan, so that a layer is read once however often it is built. See docs/formats.md#content-store.
 */
export interface LayerDigests {
  /** The layers of plans, in their order. Throws NOT_FOUND for a blob that is nowhere, and ABORTED. */
  describe(
    plans: readonly LayerPlan[],
    signal: AbortSignal,
    help?: DescribeHelp,
  ): Promise<readonly PlannedLayer[]>;
}

export interface DescribeHelp {
  /** The digests of layers by those of their plans, as far as others have told. */
  readonly known?: ReadonlyMap<Digest, Digest>;
  /** Sees to it that the blobs are there of layers that have to be read. */
  readonly prepare?: (plans: readonly LayerPlan[]) => Promise<void>;
}

export interface PlannedLayer extends LayerShape {
  readonly digest: Digest;
}

export function layerDigests(disk: Disk, blobs: BlobSource): LayerDigests {
  return {
    async describe(plans, signal, { known, prepare } = {}) {
      const all = await Promise.all(
        plans.map(async (plan) => ({ plan, layer: await look(plan, known) })),
      );
      const unknown = all.filter(({ layer }) => !layer.digest);
      if (unknown.length > 0) await prepare?.(unknown.map(({ plan }) => plan));
      const work = unknown.reduce((sum, { layer }) => sum + layer.size, 0);
      const pool = work < worthThreads ? undefined : digestPool();
      const stop = (): void => void pool?.close();
      signal.addEventListener('abort', stop, { once: true });
      try {
        return await Promise.all(
          all.map(async ({ plan, layer }) => {
            if (layer.digest) return { ...layer, digest: layer.digest };
            const hashed = { ...layer, digest: await hash(plan, pool, signal) };
            await disk.write(memoPath(layer.plan), formatMemo(hashed));
            return hashed;
          }),
        );
      } finally {
        signal.removeEventListener('abort', stop);
        await pool?.close();
      }
    },
  };

  /** A layer with its digest, if anybody knows that. */
  async function look(
    plan: LayerPlan,
    known: DescribeHelp['known'],
  ): Promise<LayerShape & { readonly digest?: Digest | undefined }> {
    const name = planDigest(plan);
    return (await recall(name)) ?? { ...layerShape(plan), digest: known?.get(name) };
  }

  async function hash(
    plan: LayerPlan,
    pool: DigestPool | undefined,
    signal: AbortSignal,
  ): Promise<Digest> {
    throwIfAborted(signal);
    const segments = pool && (await layerSegments(plan, blobs));
    // What a thread cannot read is read here, where the failure has a name.
    return (segments && (await pool?.digest(segments))) ?? digestContent(layer(plan, blobs));
  }

  /** What a plan came to; undefined where that is not known or was damaged. */
  async function recall(plan: Digest): Promise<PlannedLayer | undefined> {
    const text = await disk.text(memoPath(plan));
    return text === undefined ? undefined : parseMemo(text, plan);
  }

  function memoPath(plan: Digest): string {
    return disk.path('layers', digestAlgorithm(plan), digestHex(plan));
  }
}

/** See docs/formats.md#content-store. */
function formatMemo({ digest, size, files }: PlannedLayer): string {
  const lines = files.map((file) => `${file.digest} ${file.offset} ${file.size}`);
  return `${[`${digest} ${size} ${files.length}`, ...lines].join('\n')}\n`;
}

function parseMemo(text: string, plan: Digest): PlannedLayer | undefined {
  const [head, ...files] = text.trimEnd().split('\n').map(parseLine);
  const whole = files.filter((file) => file !== undefined);
  if (!head || files.length !== head.size || whole.length !== head.size) return undefined;
  return { digest: head.digest, size: head.offset, plan, files: whole };
}

/** A digest and two numbers. */
function parseLine(line: string): LayerFile | undefined {
  const [digest = '', offset = '', size = ''] = line.split(' ');
  if (!isDigest(digest) || !/^\d+$/.test(offset) || !/^\d+$/.test(size)) return undefined;
  return { digest, offset: Number(offset), size: Number(size) };
}
