import {
  bytes,
  type Content,
  type Digest,
  manifestLimit,
  parseManifest,
  type Registry,
  type RegistryReader,
  readAll,
  readVerified,
} from '@cluster-image/oci';
import type { BlobSource, Store } from '@cluster-image/storage';

/** A place where manifests and blobs lie by their digests alone, and images have no names. */
export interface Parts {
  readonly blobs: BlobSource;
  put(digest: Digest, content: Content): Promise<void>;
}

export function storedParts({ blobs, registry }: Store): Parts {
  return { blobs, put: (digest, content) => registry.putContent(digest, content) };
}

/** Parts that are small, in memory; nothing else is to be put there. */
export function partsInMemory(): Parts {
  const all = new Map<Digest, Content>();
  return {
    blobs: async (digest) => all.get(digest),
    async put(digest, content) {
      all.set(digest, bytes(await readVerified(content, digest, content.size, 'blob')));
    },
  };
}

/** Parts as a registry in which everything is in every repository. */
export function partsReader(blobs: BlobSource): RegistryReader {
  return {
    resolve: async () => undefined,
    async manifest(repository, digest) {
      const content = await blobs(digest, manifestLimit);
      if (!content || content.size > manifestLimit) return undefined;
      return parseManifest(await readAll(content, manifestLimit), repository, digest);
    },
    blob: async (_, digest, size = 0) => blobs(digest, size),
    async *repositories() {},
    async *tags() {},
  };
}

/** The same, which keeps what is put there and forgets what it is called. */
export function partsRegistry({ blobs, put }: Parts): Registry {
  return {
    ...partsReader(blobs),
    putBlob: (_, digest, content) => put(digest, content),
    putManifest: (_, manifest) => put(manifest.digest, bytes(manifest.bytes)),
  };
}
