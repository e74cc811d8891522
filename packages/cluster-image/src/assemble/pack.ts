import { compareBytes, type Digest, digestHex, OciError } from '@cluster-image/oci';
import type { LayerPlan, PlanEntry } from '@cluster-image/storage';
import { directoryEntry, parentsOf } from './source.ts';

/** Blobs from this size on are worth a layer of their own, in bytes. */
const largeBlob = 1024 * 1024;

/** How many layers share the blobs that have none of their own. */
const shelves = 8;

/** The layers beside those of blobs: the registry's links and manifests, and the context's files. */
const others = 2;

export interface PackOptions {
  /** The most layers the image may have, those of its base included. */
  readonly maxLayers: number;
  /** The layers its base has. */
  readonly baseLayers: number;
  /** Which files are blobs of images; the rest are manifests, links and files of the context. */
  readonly isBlob: (digest: Digest) => boolean;
  /** Which of the rest belong to the registry directory. */
  readonly isInRegistry: (path: string) => boolean;
}

/**
 * Distributes the files of an image over layers, so that changing one image changes few of them:
 * each large blob is a layer; the others lie on a fixed number of shelves, each always on the same;
 * then come the registry's links and manifests, and last the files of the context. Which layer a
 * blob is in does not depend on the other blobs, unless there are more large ones than layers, when
 * the largest have their own.
 *
 * Throws UNSUPPORTED where the base leaves too few layers.
 */
export function pack(
  files: ReadonlyMap<string, PlanEntry>,
  options: PackOptions,
): readonly LayerPlan[] {
  const { maxLayers, baseLayers, isBlob, isInRegistry } = options;
  const blobs = new Map<Digest, PlanEntry & { type: 'file' }>();
  const links: PlanEntry[] = [];
  const context: PlanEntry[] = [];
  for (const entry of files.values()) {
    if (entry.type === 'file' && isBlob(entry.digest) && !blobs.has(entry.digest)) {
      blobs.set(entry.digest, entry);
    } else if (isInRegistry(entry.path)) links.push(entry);
    else context.push(entry);
  }
  const room = maxLayers - baseLayers - others;
  const own = ownLayers([...blobs.values()], room);
  const shelved = shelve([...blobs.values()].filter((blob) => !own.includes(blob)));
  const layers = [...own.map((blob) => [blob]), ...shelved, links, context].filter(
    (entries) => entries.length > 0,
  );
  // Whether there is room may not depend on which shelves happen to stay empty.
  if ((blobs.size > 0 && room < shelves) || baseLayers + layers.length > maxLayers) {
    throw new OciError(
      'UNSUPPORTED',
      `the base image has ${baseLayers} layers, which leaves too few of ${maxLayers}`,
      { hint: 'Raise --max-layers (dockerd loads up to 125), or use a base with fewer layers.' },
    );
  }
  return layers.map((entries) => planOf(entries, files));
}

type Blob = PlanEntry & { readonly type: 'file' };

function ownLayers(blobs: readonly Blob[], room: number): readonly Blob[] {
  const large = blobs.filter(({ size }) => size >= largeBlob);
  // Without small blobs, and with room for all large ones, no shelf is needed.
  const most = large.length === blobs.length && large.length <= room ? room : room - shelves;
  return large
    .sort((a, b) => b.size - a.size || compareBytes(a.digest, b.digest))
    .slice(0, Math.max(0, most))
    .sort((a, b) => compareBytes(a.digest, b.digest));
}

function shelve(blobs: readonly Blob[]): readonly (readonly Blob[])[] {
  const on: Blob[][] = Array.from({ length: shelves }, () => []);
  for (const blob of blobs) {
    on[Number.parseInt(digestHex(blob.digest).slice(0, 4), 16) % shelves]?.push(blob);
  }
  return on;
}

/** Every layer brings the directories its files are in, so that it unpacks the same wherever it is first. */
function planOf(entries: readonly PlanEntry[], files: ReadonlyMap<string, PlanEntry>): LayerPlan {
  const all = new Map<string, PlanEntry>();
  for (const entry of entries) {
    for (const parent of parentsOf(entry.path)) {
      const known = files.get(parent);
      all.set(parent, known?.type === 'directory' ? known : directoryEntry(parent));
    }
  }
  for (const entry of entries) all.set(entry.path, entry);
  const sorted = [...all.values()].sort((a, b) => compareBytes(a.path, b.path));
  return { formatVersion: 1, entries: sorted };
}
