import {
  bytes,
  type Descriptor,
  type Digest,
  digestSchema as digest,
  fileOf,
  type ImageManifest,
  isRepository,
  isTag,
  jsonOf,
  manifestMediaTypes,
  OciError,
  readAll,
  readVerified,
  type Tree,
} from '@cluster-image/oci';
import {
  type BlobSource,
  type PlanEntry,
  type PlannedLayer,
  tarTree,
} from '@cluster-image/storage';
import { z } from 'zod';
import { directoryEntry, parentsOf } from './assemble/source.ts';

/** Where the index lies in the files of a cluster image. */
export const indexPath = '.cluster-image/index.json';

/** Marks the layer that holds the index and nothing else. Its value is the version of the format. */
export const indexAnnotation = 'io.cluster-image.index';

/** A reader leaves alone what has another. */
export const indexVersion = 1;

/** More than the index of any real image takes, in bytes. */
export const indexLimit = 64 * 1024 * 1024;

/**
 * Where everything inside a cluster image lies: the images by name, and the bytes of each manifest
 * and blob as a part of one of its layers. With it an image that is far away is read in pieces, and
 * the next one of its kind knows which layers it may take over.
 */
export interface ClusterIndex {
  /** Whether nothing is in the image that is not in here. */
  readonly isComplete: boolean;
  readonly layers: readonly IndexedLayer[];
  readonly blobs: ReadonlyMap<Digest, Place>;
  readonly repositories: ReadonlyMap<string, IndexedRepository>;
}

export interface IndexedLayer {
  readonly digest: Digest;
  /** In bytes. */
  readonly size: number;
  /** The digest of the plan that it was computed from. */
  readonly plan: Digest;
}

/** A part of a layer; in bytes. */
export interface Place {
  readonly layer: IndexedLayer;
  readonly offset: number;
  readonly size: number;
}

export interface IndexedRepository {
  readonly tags: ReadonlyMap<string, Digest>;
  /** The media type of each manifest and index. */
  readonly manifests: ReadonlyMap<Digest, string>;
}

/** An image inside, as far as the index is concerned. */
export interface IndexedImage {
  readonly repository: string;
  readonly tag: string;
  readonly root: { readonly digest: Digest };
  readonly manifests: readonly { readonly digest: Digest; readonly mediaType: string }[];
  readonly blobs: readonly { readonly digest: Digest }[];
}

/** What an image is laid upon. */
export interface IndexedBase {
  readonly index: ClusterIndex | undefined;
}

/**
 * The index of an image from what was placed in it, and the layers that were computed of it. What a
 * base has inside is there too; of two images with one name the upper one counts.
 */
export function clusterIndex(
  images: readonly IndexedImage[],
  layers: readonly PlannedLayer[],
  base: IndexedBase | undefined,
): ClusterIndex {
  const below = base?.index;
  const inside = new Set(
    images.flatMap(({ manifests, blobs }) => [...manifests, ...blobs].map(({ digest }) => digest)),
  );
  const blobs = new Map(below?.blobs);
  for (const layer of layers) {
    for (const { digest, offset, size } of layer.files) {
      if (inside.has(digest) && !blobs.has(digest)) blobs.set(digest, { layer, offset, size });
    }
  }
  const repositories = new Map(below?.repositories);
  for (const { repository, tag, root, manifests } of images) {
    const known = repositories.get(repository);
    repositories.set(repository, {
      tags: new Map([...(known?.tags ?? []), [tag, root.digest]]),
      manifests: new Map([
        ...(known?.manifests ?? []),
        ...manifests.map(({ digest, mediaType }) => [digest, mediaType] as const),
      ]),
    });
  }
  return {
    isComplete: base === undefined || below?.isComplete === true,
    layers: [...(below?.layers ?? []), ...layers],
    blobs,
    repositories,
  };
}

const count = z.int().nonnegative();

/** See docs/formats.md#index-layer. Lists rather than objects: a tag may be `__proto__`. */
const indexSchema = z.strictObject({
  formatVersion: z.literal(indexVersion),
  complete: z.boolean(),
  layers: z.array(z.strictObject({ digest, size: count, plan: digest })),
  blobs: z.array(z.tuple([digest, count, count, count])),
  repositories: z.array(
    z.strictObject({
      name: z.string().refine(isRepository, { error: 'not a repository name' }),
      tags: z.array(z.tuple([z.string().refine(isTag, { error: 'not a tag' }), digest])),
      manifests: z.array(z.tuple([digest, z.enum([...manifestMediaTypes])])),
    }),
  ),
});

/** The index as the one file of its layer. */
export function indexEntries(index: ClusterIndex): readonly PlanEntry[] {
  const numbers = new Map(index.layers.map(({ digest }, at) => [digest, at]));
  const document: z.input<typeof indexSchema> = {
    formatVersion: indexVersion,
    complete: index.isComplete,
    layers: index.layers.map(({ digest, size, plan }) => ({ digest, size, plan })),
    blobs: [...index.blobs].map(([digest, { layer, offset, size }]) => [
      digest,
      numbers.get(layer.digest) ?? 0,
      offset,
      size,
    ]),
    repositories: [...index.repositories].map(([name, { tags, manifests }]) => ({
      name,
      tags: [...tags],
      manifests: [...manifests],
    })),
  };
  const text = JSON.stringify(document);
  return [
    ...parentsOf(indexPath).map(directoryEntry),
    { type: 'text', path: indexPath, mode: 0o644, text },
  ];
}

/**
 * The index of an image that has one; undefined for every other. Throws INPUT_INVALID for an index
 * that does not fit the image, and DIGEST_MISMATCH.
 */
export async function openIndex(
  { layers }: ImageManifest,
  blobs: BlobSource,
  what: string,
): Promise<ClusterIndex | undefined> {
  const isIndex = ({ annotations, size }: Descriptor): boolean =>
    annotations?.[indexAnnotation] === String(indexVersion) && size <= indexLimit;
  const layer = layers.findLast(isIndex);
  const content = layer && (await blobs(layer.digest, layer.size));
  if (!content) return undefined;
  const name = `index layer of ${what}`;
  const all = await readVerified(content, layer.digest, indexLimit, name);
  const index = await readIndex(await tarTree(bytes(all), name), layers, what);
  // Whoever put layers on top of it did not say what is in them.
  return index && { ...index, isComplete: index.isComplete && layer === layers.at(-1) };
}

/**
 * Reads the index from the files of its layer; undefined where the format is one that is not known
 * here. Throws INPUT_INVALID for an index that does not fit the image.
 *
 * @param layers those of the image
 * @param what how errors name the image
 */
async function readIndex(
  files: Tree,
  layers: readonly Descriptor[],
  what: string,
): Promise<ClusterIndex | undefined> {
  const invalid = (why: string): OciError =>
    new OciError('INPUT_INVALID', `index of ${what}: ${why}`, {
      hint: 'The image was changed after it was built; build it again.',
    });
  const content = await fileOf(files, indexPath);
  if (!content) throw invalid(`${indexPath} is missing`);
  const document = jsonOf(await readAll(content, indexLimit));
  const version = z.looseObject({ formatVersion: z.number() }).safeParse(document);
  if (version.success && version.data.formatVersion !== indexVersion) return undefined;
  const parsed = indexSchema.safeParse(document);
  if (!parsed.success) throw invalid(z.prettifyError(parsed.error));
  const sizes = new Map(layers.map(({ digest, size }) => [digest, size]));
  for (const { digest, size } of parsed.data.layers) {
    if (sizes.get(digest) !== size) throw invalid(`the image has no layer ${digest} of that size`);
  }
  const blobs = new Map<Digest, Place>();
  for (const [digest, number, offset, size] of parsed.data.blobs) {
    const layer = parsed.data.layers[number];
    if (!layer || offset + size > layer.size) throw invalid(`${digest} lies outside of the layers`);
    blobs.set(digest, { layer, offset, size });
  }
  const repositories = new Map<string, IndexedRepository>();
  for (const { name, tags, manifests } of parsed.data.repositories) {
    const missing = [...tags.map(([, digest]) => digest), ...manifests.map(([digest]) => digest)];
    const lost = missing.find((digest) => !blobs.has(digest));
    if (lost) throw invalid(`${lost} of ${name} lies nowhere`);
    repositories.set(name, { tags: new Map(tags), manifests: new Map(manifests) });
  }
  return { isComplete: parsed.data.complete, layers: parsed.data.layers, blobs, repositories };
}
