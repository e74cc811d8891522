import { compareBytes, type Digest, digestHex, digestOf, OciError } from '@cluster-image/oci';
import type { LayerPlan, PlanEntry } from '@cluster-image/storage';
import { formatCount } from '../counts.ts';
import { directoryEntry, parentsOf } from './source.ts';

/** Blobs from this size on are worth a layer of their own, in bytes. */
const largeBlob = 1024 * 1024;

/** How many layers share the blobs that have none of their own, and how many the metadata; fewer where room is scarce. */
const mostShelves = 8;

/** The layers beside those of images: the context's files, and the index of the whole. */
const others = 2;

export interface PackOptions {
  /** The most layers the image may have, those of its base included. */
  readonly maxLayers: number;
  /** The layers its base has. */
  readonly baseLayers: number;
  /** The repository that a layer of an image is stored for; undefined for every other file. */
  readonly blobOf: (digest: Digest) => string | undefined;
  /** The repository that a manifest, config or link belongs to; undefined for files of the context. */
  readonly metadataOf: (entry: PlanEntry) => string | undefined;
}

/**
 * Distributes the files of an image over layers, so that changing one image changes few of them.
 * Each large blob is a layer. What else belongs to a repository lies on two shelves, each always on
 * the same: one of small blobs, one of manifests, configs and links. The files of the context come
 * last. So an image that changes takes along its large blobs and two layers, or one where no small
 * blob changed.
 *
 * Where there are more large blobs than layers, half of these are for the largest, and the others
 * lie on shelves as well.
 *
 * Throws UNSUPPORTED where the base leaves too few layers.
 */
export function pack(
  files: ReadonlyMap<string, PlanEntry>,
  options: PackOptions,
): readonly LayerPlan[] {
  const { blobs, metadata, context } = sorted(files, options);
  const room = options.maxLayers - options.baseLayers - others;
  const hasImages = blobs.length + metadata.length > 0;
  if (room < (hasImages ? 2 : 0)) {
    throw new OciError(
      'UNSUPPORTED',
      `the base image has ${formatCount(options.baseLayers, 'layer')}, which leaves too few of ${options.maxLayers}`,
      { hint: 'Raise --max-layers (dockerd loads up to 125), or use a base with fewer layers.' },
    );
  }
  const shelves = Math.min(mostShelves, Math.max(1, Math.floor(room / 4)));
  const own = ownLayers(blobs, room - shelves, shelves);
  const small = blobs.filter((placed) => !own.chosen.has(placed.entry.digest));
  return [
    ...[...own.chosen.values()].map((entry) => [entry]),
    ...shelved(small, own.shelves),
    ...shelved(metadata, shelves),
    context,
  ]
    .filter((entries) => entries.length > 0)
    .map((entries) => planOf(entries, files));
}

type File = PlanEntry & { readonly type: 'file' };

/** A file, and the repository it is stored for. */
interface Placed<Entry extends PlanEntry> {
  readonly entry: Entry;
  readonly repository: string;
}

interface Sorted {
  readonly blobs: readonly Placed<File>[];
  readonly metadata: readonly Placed<PlanEntry>[];
  readonly context: readonly PlanEntry[];
}

function sorted(
  files: ReadonlyMap<string, PlanEntry>,
  { blobOf, metadataOf }: PackOptions,
): Sorted {
  const blobs = new Map<Digest, Placed<File>>();
  const metadata: Placed<PlanEntry>[] = [];
  const rest: PlanEntry[] = [];
  const above = new Set<string>();
  for (const entry of files.values()) {
    const owner = entry.type === 'file' ? blobOf(entry.digest) : undefined;
    if (entry.type === 'file' && owner !== undefined && !blobs.has(entry.digest)) {
      blobs.set(entry.digest, { entry, repository: owner });
    } else {
      const repository = metadataOf(entry);
      if (repository === undefined) {
        rest.push(entry);
        continue;
      }
      metadata.push({ entry, repository });
    }
    for (const parent of parentsOf(entry.path)) above.add(parent);
  }
  // Directories come along with what is in them; only those of the context are there for themselves.
  const context = rest.filter(({ type, path }) => type !== 'directory' || !above.has(path));
  return { blobs: [...blobs.values()], metadata, context };
}

/** The blobs that are a layer each, in the order of their digests, and how many shelves the others have. */
function ownLayers(
  blobs: readonly Placed<File>[],
  room: number,
  least: number,
): { readonly chosen: ReadonlyMap<Digest, File>; readonly shelves: number } {
  const large = blobs.map(({ entry }) => entry).filter(({ size }) => size >= largeBlob);
  const shelves = large.length <= room - least ? least : Math.max(least, Math.floor(room / 2));
  const chosen = large
    .sort((a, b) => b.size - a.size || compareBytes(a.digest, b.digest))
    .slice(0, Math.max(0, room - shelves))
    .sort((a, b) => compareBytes(a.digest, b.digest));
  return { chosen: new Map(chosen.map((entry) => [entry.digest, entry])), shelves };
}

function shelved(
  placed: readonly Placed<PlanEntry>[],
  count: number,
): readonly (readonly PlanEntry[])[] {
  const on: PlanEntry[][] = Array.from({ length: count }, () => []);
  const numbers = new Map<string, number>();
  for (const { entry, repository } of placed) {
    const number = numbers.get(repository) ?? shelfOf(repository, count);
    numbers.set(repository, number);
    on[number]?.push(entry);
  }
  return on;
}

/** A shelf that depends on the name alone. */
function shelfOf(repository: string, count: number): number {
  return Number.parseInt(digestHex(digestOf(Buffer.from(repository))).slice(0, 8), 16) % count;
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
