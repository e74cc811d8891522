import {
  blobsOf,
  compareBytes,
  type Descriptor,
  type Digest,
  describe,
  formatPlatform,
  isDigest,
  isForeign,
  type Manifest,
  manifestLimit,
  OciError,
  type Platform,
  parseManifest,
  parseReference,
  type RegistryReader,
  readAll,
} from '@cluster-image/oci';
import type { BlobSource } from '@cluster-image/storage';
import type { LockedImage, Lockfile } from '../lock/lockfile.ts';

/** An image in the `registry/` of a cluster image: what it is called there, and everything it consists of. */
export interface Placement {
  /** As locked. */
  readonly reference: string;
  /** Without the host: the cluster's runtime asks for the bare path. */
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
 * Where each pinned image goes in the registry of a cluster image for one platform.
 *
 * A tag names the platform's own manifest. A reference by digest names what it pins, an index with
 * all of its children, since a pod may ask for the index by that digest and sealos copies whole
 * indexes only; its tag is the one it is written with, else `sha256-<hex>`, for a repository
 * without a tag stops sealos.
 *
 * Throws CONFLICT where two references claim one name with different images, NOT_FOUND where the
 * store lacks a manifest.
 */
export async function placementsOf(
  lockfile: Lockfile,
  platform: Platform,
  store: Stored,
): Promise<readonly Placement[]> {
  const entries = Object.entries(lockfile.images);
  const placed = await Promise.all(
    entries.map(([reference, image]) => place(reference, image, platform, store)),
  );
  return named(placed.sort((a, b) => compareBytes(a.reference, b.reference)));
}

async function place(
  reference: string,
  image: LockedImage,
  platform: Platform,
  store: Stored,
): Promise<Placement> {
  const { digest: pinned, tag, repository } = parseReference(reference);
  const chosen = image.manifests[formatPlatform(platform)]?.digest;
  if (!chosen) {
    throw new OciError('LOCK_DRIFT', `${reference} is not pinned for ${formatPlatform(platform)}`, {
      hint: 'Run `cluster-image lock` with that platform.',
    });
  }
  const root = await storedManifest(store, pinned ? image.digest : chosen, reference);
  const children: Manifest[] = [];
  if (root.kind === 'index') await collectChildren(root.manifests, children);
  const manifests = [...children, root];
  const blobs = new Map<Digest, Descriptor>();
  for (const manifest of manifests) {
    if (manifest.kind !== 'image') continue;
    for (const blob of blobsOf(manifest)) if (!isForeign(blob)) blobs.set(blob.digest, blob);
  }
  return {
    reference,
    repository: image.repository ?? repository,
    tag: tag ?? digestTag(root.digest),
    root,
    manifests,
    blobs: [...blobs.values()],
  };

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

/** The tag of an image that is only known by digest. */
function digestTag(digest: Digest): string {
  return digest.replace(':', '-').slice(0, longestTag);
}

/** In characters; a sha512 digest has more. */
const longestTag = 128;

/** Settles who has a name; one that is pinned by digest as well gives way and goes by the digest. */
function named(placed: readonly Placement[]): readonly Placement[] {
  const owners = new Map<string, Placement>();
  const isPinned = ({ reference }: Placement): boolean =>
    parseReference(reference).digest !== undefined;
  const inOrder = [...placed].sort((a, b) => Number(isPinned(a)) - Number(isPinned(b)));
  for (const placement of inOrder) {
    const name = `${placement.repository}:${placement.tag}`;
    const owner = owners.get(name);
    if (!owner || owner.root.digest === placement.root.digest) {
      owners.set(name, owner ?? placement);
    } else if (isPinned(placement)) {
      const tag = digestTag(placement.root.digest);
      owners.set(`${placement.repository}:${tag}`, { ...placement, tag });
    } else {
      throw new OciError(
        'CONFLICT',
        `${owner.reference} and ${placement.reference} are different images, and both would be ${name} in registry/`,
        {
          hint: 'A cluster asks for images without their host. Use one of them, or another tag for one.',
        },
      );
    }
  }
  return [...owners.values()].sort(
    (a, b) => compareBytes(a.repository, b.repository) || compareBytes(a.tag, b.tag),
  );
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
