import {
  bytes,
  type Content,
  type Digest,
  digestSchema as digest,
  digestOf,
  jsonOf,
  OciError,
} from '@cluster-image/oci';
import { z } from 'zod';
import type { Segment } from './digest-pool.ts';
import { storedFile } from './file.ts';
import { endSize, type TarEntry, tarball, tarFrame } from './tar-writer.ts';

const path = z
  .string()
  .max(4096)
  .refine(isLayerPath, { error: 'not a relative path without . and .. and NUL' });
const target = z
  .string()
  .min(1)
  .max(4096)
  .refine((text) => !text.includes('\0'), { error: 'has a NUL' });
const mode = z.int().min(0).max(0o7777);
const owner = z.object({ uid: z.int().nonnegative(), gid: z.int().nonnegative() }).optional();

/** See docs/formats.md#layer-plan. */
export const layerPlanSchema = z.strictObject({
  formatVersion: z.literal(1),
  entries: z.array(
    z.discriminatedUnion('type', [
      z.strictObject({ type: z.literal('directory'), path, mode, owner }),
      z.strictObject({
        type: z.literal('file'),
        path,
        mode,
        owner,
        digest,
        size: z.int().nonnegative(),
      }),
      z.strictObject({ type: z.literal('text'), path, mode, text: z.string() }),
      z.strictObject({ type: z.literal('symlink'), path, target, owner }),
    ]),
  ),
});

/**
 * A layer as what it is made of: tar entries that name their bytes by digest. The layer itself is
 * never written; it is computed from the plan and the blobs, whole or any range of it.
 */
export type LayerPlan = Readonly<z.infer<typeof layerPlanSchema>>;
export type PlanEntry = LayerPlan['entries'][number];

/** Finds bytes by digest, wherever they are. */
export type BlobSource = (digest: Digest, size: number) => Promise<Content | undefined>;

/** The uncompressed tar that a plan stands for. Opening it throws NOT_FOUND for a blob that is nowhere. */
export function layer(plan: LayerPlan, blobs: BlobSource): Content {
  return tarball(plan.entries.map((entry) => tarEntry(entry, blobs)));
}

/** What a plan is known by, where what it came to is remembered. */
export function planDigest(plan: LayerPlan): Digest {
  return digestOf(Buffer.from(JSON.stringify(plan)));
}

/** Where in a layer the bytes of a file are; in bytes. */
export interface LayerFile {
  readonly digest: Digest;
  readonly offset: number;
  readonly size: number;
}

/** What a layer is known to be without its bytes: its plan's digest, its size in bytes, and its files in their order. */
export interface LayerShape {
  readonly plan: Digest;
  readonly size: number;
  readonly files: readonly LayerFile[];
}

export function layerShape(plan: LayerPlan): LayerShape {
  const files: LayerFile[] = [];
  const nowhere: BlobSource = async () => undefined;
  let at = 0;
  for (const entry of plan.entries) {
    const tar = tarEntry(entry, nowhere);
    const [head, padding] = tarFrame(tar);
    at += head.length;
    if (entry.type === 'file') files.push({ digest: entry.digest, offset: at, size: entry.size });
    at += (tar.type === 'file' ? tar.content.size : 0) + padding.length;
  }
  return { plan: planDigest(plan), size: at + endSize, files };
}

/**
 * The same layer as bytes and files one after another, for whoever can read files only; undefined
 * where a blob is no file.
 */
export async function layerSegments(
  plan: LayerPlan,
  blobs: BlobSource,
): Promise<readonly Segment[] | undefined> {
  const segments: Segment[] = [];
  let between: Uint8Array[] = [];
  const endBetween = (): void => {
    segments.push(Buffer.concat(between));
    between = [];
  };
  for (const entry of plan.entries) {
    const [head, padding] = tarFrame(tarEntry(entry, blobs));
    between.push(head);
    if (entry.type === 'text') between.push(Buffer.from(entry.text));
    if (entry.type === 'file') {
      const content = await blobs(entry.digest, entry.size);
      const stored = content?.size === entry.size ? storedFile(content) : undefined;
      if (!stored) return undefined;
      endBetween();
      segments.push({ path: stored.path, size: entry.size });
    }
    between.push(padding);
  }
  between.push(new Uint8Array(endSize));
  endBetween();
  return segments;
}

function tarEntry(entry: PlanEntry, blobs: BlobSource): TarEntry {
  switch (entry.type) {
    case 'file':
      return { ...entry, content: lazy(entry.digest, entry.size, blobs) };
    case 'text':
      return { ...entry, type: 'file', content: bytes(entry.text) };
    default:
      return entry;
  }
}

function lazy(digest: Digest, size: number, blobs: BlobSource): Content {
  return {
    size,
    async *open(range) {
      const found = await blobs(digest, size);
      if (!found || found.size !== size) {
        throw new OciError('NOT_FOUND', `blob ${digest} (${size} bytes) is not in the store`, {
          hint: 'Build the image again on this machine: a task cache brings no bytes into the store.',
        });
      }
      yield* found.open(range);
    },
  };
}

/** Reads a plan that was written by `JSON.stringify`. Throws INPUT_INVALID, naming where it came from. */
export function parseLayerPlan(text: string | Uint8Array, where: string): LayerPlan {
  const parsed = layerPlanSchema.safeParse(jsonOf(text));
  if (parsed.success) return parsed.data;
  throw new OciError('INPUT_INVALID', `${where}: ${z.prettifyError(parsed.error)}`, {
    cause: parsed.error,
    hint: 'Build the image again.',
  });
}

/** Whether a text is a relative path in its one spelling. */
export function isLayerPath(text: string): boolean {
  return (
    text !== '' &&
    !text.includes('\0') &&
    text.split('/').every((part) => part !== '' && part !== '.' && part !== '..')
  );
}
