import {
  type Content,
  type Descriptor,
  type Digest,
  isDigest,
  OciError,
  type RegistryReader,
  type Repository,
} from '@cluster-image/oci';
import {
  type BlobSource,
  builtLayers,
  type Delta,
  deltaOf,
  type Since,
  type Store,
} from '@cluster-image/storage';
import { formatCount } from './counts.ts';
import type { LocatedImage } from './images.ts';
import { formatSize } from './sizes.ts';

/** What an image lacks that was saved since another one; undefined for one that was not. */
export async function deltaIn(image: LocatedImage): Promise<Delta | undefined> {
  const { registry, reference, since } = image;
  return since && isDigest(reference) ? deltaOf(registry, reference, since) : undefined;
}

/** Takes layers from an image, those that it has. */
export function layersIn({ registry, repository }: Repository): BlobSource {
  return (digest) => registry.blob(repository, digest);
}

/** Takes layers from the store, whatever image they belong to. */
export function layersInStore(store: Store): BlobSource {
  const built = builtLayers(store);
  return async (digest, size) => (await found(store.blobs, digest, size)) ?? built(digest, size);
}

/**
 * An image that was saved since another one, with what it lacks taken from the first source that has
 * it; every other image as it is. Throws NOT_FOUND, before anything is done with the image, with a
 * list of what is missing everywhere.
 *
 * @param what how errors name it
 * @param isNeeded whether a layer that is missing everywhere is needed; all are by default
 */
export async function completed(
  image: LocatedImage,
  sources: readonly BlobSource[],
  what: string,
  isNeeded: (layer: Descriptor) => Promise<boolean> = async () => true,
): Promise<LocatedImage> {
  const delta = await deltaIn(image);
  if (!delta) return image;
  const parts = new Map<Digest, Content>();
  const missing: Descriptor[] = [];
  for (const layer of [...delta.leftOut, ...delta.lost]) {
    const content = await firstOf(sources, layer);
    if (!content && (await isNeeded(layer))) missing.push(layer);
    parts.set(layer.digest, content ?? nowhere(layer, what));
  }
  if (missing.length > 0) throw incomplete(what, delta.since, missing);
  return { ...image, registry: withParts(image.registry, parts) };
}

function withParts(registry: RegistryReader, parts: ReadonlyMap<Digest, Content>): RegistryReader {
  return {
    ...registry,
    blob: async (repository, digest, size) =>
      parts.get(digest) ?? registry.blob(repository, digest, size),
  };
}

async function firstOf(
  sources: readonly BlobSource[],
  { digest, size }: Descriptor,
): Promise<Content | undefined> {
  for (const source of sources) {
    const content = await found(source, digest, size);
    if (content) return content;
  }
  return undefined;
}

async function found(
  source: BlobSource,
  digest: Digest,
  size: number,
): Promise<Content | undefined> {
  const content = await source(digest, size);
  return content?.size === size ? content : undefined;
}

/** A layer that is there only by name, for who has it already. */
function nowhere({ digest, size }: Descriptor, what: string): Content {
  return {
    size,
    // biome-ignore lint/correctness/useYield: it has nothing to give
    async *open() {
      throw new OciError('NOT_FOUND', `${what} has no layer ${digest}`);
    },
  };
}

function incomplete(what: string, since: Since, missing: readonly Descriptor[]): OciError {
  const total = missing.reduce((sum, { size }) => sum + size, 0);
  const lines = missing.map(({ digest, size }) => `  ${digest}  ${formatSize(size)}`);
  return new OciError(
    'NOT_FOUND',
    `${what} is a delta, and ${formatCount(missing.length, 'layer')} (${formatSize(total)}) ${missing.length === 1 ? 'is' : 'are'} missing:\n${lines.join('\n')}`,
    { hint: `Load ${sinceText(since)} first, which it was saved since.` },
  );
}

/** The image that a delta was saved since, by name and digest. */
export function sinceText({ digest, name }: Since): string {
  return name === undefined ? digest : `${name} (${digest})`;
}

/** A layer that a delta lacks, and whether the store has it. */
export interface LackedLayer {
  readonly digest: Digest;
  /** In bytes. */
  readonly size: number;
  readonly isInStore: boolean;
}

/** What is to be told of a delta. */
export interface DeltaReport {
  readonly since: Since;
  /** What the image that it was saved since has to give. */
  readonly leftOut: readonly LackedLayer[];
}

export async function reportOn({ since, leftOut }: Delta, store: Store): Promise<DeltaReport> {
  const source = layersInStore(store);
  const layers: LackedLayer[] = [];
  for (const { digest, size } of leftOut) {
    layers.push({ digest, size, isInStore: (await found(source, digest, size)) !== undefined });
  }
  return { since, leftOut: layers };
}

export function deltaLines({ since, leftOut }: DeltaReport): readonly string[] {
  const total = formatSize(leftOut.reduce((sum, { size }) => sum + size, 0));
  return [
    `  a delta, saved since ${sinceText(since)}`,
    `  without ${formatCount(leftOut.length, 'layer')} (${total}) that ${leftOut.length === 1 ? 'is' : 'are'} there`,
    ...leftOut.map(
      ({ digest, size, isInStore }) =>
        `    ${digest}  ${formatSize(size)}, ${isInStore ? 'in the store' : 'missing in the store'}`,
    ),
  ];
}
