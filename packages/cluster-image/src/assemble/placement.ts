import {
  blobsOf,
  type Descriptor,
  type Digest,
  describe,
  isDigest,
  isForeign,
  type Manifest,
  manifestLimit,
  OciError,
  type Platform,
  parseManifest,
  type RegistryReader,
  readAll,
} from '@cluster-image/oci';
import type { BlobSource } from '@cluster-image/storage';
import type { Lockfile } from '../lock/lockfile.ts';
import { type NameOptions, placedNames } from './names.ts';

/** An image in the `registry/` of a cluster image: what it is called there, and everything it consists of. */
export interface Placement {
  /** As locked. */
  readonly reference: string;
  readonly repository: string;
  readonly tag: string;
  /** What the tag names. */
  readonly root: Manifest;
  /** Root and children, children first. */
  readonly manifests: readonly Manifest[];
  readonly blobs: readonly Descriptor[];
}

/** Where the manifests of pinned images are found. */
interface Stored {
  readonly blobs: BlobSource;
}

/**
 * Where each pinned image goes in the registry of a cluster image for one platform, by the names that
 * `placedNames` gives. What is named by digest is there with all children of an index, since a pod may
 * ask for the index by that digest and sealos copies whole indexes only.
 *
 * Throws as `placedNames` does, and NOT_FOUND where the store lacks a manifest.
 */
export async function placementsOf(
  lockfile: Lockfile,
  platform: Platform,
  store: Stored,
  options?: NameOptions,
): Promise<readonly Placement[]> {
  const names = placedNames(lockfile, platform, options);
  const parts = new Map<Digest, Promise<Parts>>();
  return Promise.all(
    names.map(async ({ reference, repository, tag, digest }) => {
      const found = parts.get(digest) ?? partsOf(reference, digest, store);
      parts.set(digest, found);
      return { reference, repository, tag, ...(await found) };
    }),
  );
}

type Parts = Pick<Placement, 'root' | 'manifests' | 'blobs'>;

async function partsOf(reference: string, digest: Digest, store: Stored): Promise<Parts> {
  const root = await storedManifest(store, digest, reference);
  const children: Manifest[] = [];
  if (root.kind === 'index') await collectChildren(root.manifests, children);
  const manifests = [...children, root];
  const blobs = new Map<Digest, Descriptor>();
  for (const manifest of manifests) {
    if (manifest.kind !== 'image') continue;
    for (const blob of blobsOf(manifest)) if (!isForeign(blob)) blobs.set(blob.digest, blob);
  }
  return { root, manifests, blobs: [...blobs.values()] };

  async function collectChildren(descriptors: readonly Descriptor[], into: Manifest[]) {
    for (const { digest } of descriptors) {
      if (into.some((known) => known.digest === digest)) continue;
      const child = await storedManifest(store, digest, reference);
      if (child.kind === 'index') await collectChildren(child.manifests, into);
      into.push(child);
    }
  }
}

async function storedManifest(store: Stored, digest: Digest, reference: string): Promise<Manifest> {
  const content = await store.blobs(digest, manifestLimit);
  if (content) return parseManifest(await readAll(content, manifestLimit), reference, digest);
  throw new OciError('NOT_FOUND', `${reference}: manifest ${digest} is not in the store`, {
    hint: 'Run `cluster-image cache` on the context.',
  });
}

/** The placed images as a registry, read from the store. */
export function placedRegistry(placements: readonly Placement[], store: Stored): RegistryReader {
  const byRepository = Map.groupBy(placements, ({ repository }) => repository);
  const at = (repository: string): readonly Placement[] => byRepository.get(repository) ?? [];
  const find = (repository: string, digest: Digest): Manifest | undefined =>
    at(repository)
      .flatMap(({ manifests }) => manifests)
      .find((manifest) => manifest.digest === digest);
  return {
    async resolve(repository, reference) {
      const found = isDigest(reference)
        ? find(repository, reference)
        : at(repository).find(({ tag }) => tag === reference)?.root;
      return found && describe(found);
    },
    manifest: async (repository, digest) => find(repository, digest),
    async blob(repository, digest) {
      const blob = at(repository)
        .flatMap(({ blobs }) => blobs)
        .find((known) => known.digest === digest);
      return blob && store.blobs(digest, blob.size);
    },
    async *repositories() {
      yield* byRepository.keys();
    },
    async *tags(repository) {
      yield* at(repository).map(({ tag }) => tag);
    },
  };
}
