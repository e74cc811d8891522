import {
  type Content,
  compareBytes,
  type Descriptor,
  type Digest,
  isDigest,
  type Manifest,
  manifestLimit,
  OciError,
  parseManifest,
  type RegistryReader,
  readAll,
  slice,
  verified,
} from '@cluster-image/oci';
import type { BlobSource } from '@cluster-image/storage';
import type { ClusterIndex } from './cluster-index.ts';

/** The images inside a cluster image, and their blobs by digest alone. */
export interface ClusterRegistry extends RegistryReader {
  readonly blobs: BlobSource;
}

/**
 * Reads a cluster image by its index: each manifest and blob is a range of a layer, so from a
 * registry that is far away no more is fetched than is asked for. A blob that is read in whole is
 * checked; its digest does not depend on what the index says.
 *
 * @param layers finds the layers of the image
 * @param what how errors name it
 */
export function clusterRegistry(
  index: ClusterIndex,
  layers: BlobSource,
  what: string,
): ClusterRegistry {
  async function content(digest: Digest): Promise<Content | undefined> {
    const place = index.blobs.get(digest);
    if (!place) return undefined;
    const { layer, offset, size } = place;
    const found = await layers(layer.digest, layer.size);
    if (!found) throw new OciError('NOT_FOUND', `${what}: layer ${layer.digest} is missing`);
    const part = slice(found, { start: offset, end: offset + size });
    return verified(part, digest, `blob of ${what}`);
  }

  async function manifest(repository: string, digest: Digest): Promise<Manifest | undefined> {
    if (!index.repositories.get(repository)?.manifests.has(digest)) return undefined;
    const found = await content(digest);
    if (!found) return undefined;
    return parseManifest(await readAll(found, manifestLimit), `${repository} in ${what}`, digest);
  }

  function describe(repository: string, digest: Digest): Descriptor | undefined {
    const mediaType = index.repositories.get(repository)?.manifests.get(digest);
    const place = index.blobs.get(digest);
    return mediaType !== undefined && place ? { mediaType, digest, size: place.size } : undefined;
  }

  return {
    manifest,
    async resolve(repository, reference) {
      const tags = index.repositories.get(repository)?.tags;
      const digest = isDigest(reference) ? reference : tags?.get(reference);
      return digest && describe(repository, digest);
    },
    blob: async (repository, digest) =>
      index.repositories.has(repository) ? content(digest) : undefined,
    blobs: content,
    async *repositories() {
      yield* [...index.repositories.keys()].sort(compareBytes);
    },
    async *tags(repository) {
      yield* [...(index.repositories.get(repository)?.tags.keys() ?? [])].sort(compareBytes);
    },
  };
}
