import { bytes, concat, readVerified } from './content.ts';
import { type Digest, isDigest } from './digest.ts';
import { describe, describeReferrer, type Manifest } from './manifest.ts';
import type { Referring, Registry, Removable, Spool } from './registry.ts';
import { compareBytes } from './tree.ts';

interface MemoryRepository {
  readonly blobs: Map<Digest, Uint8Array>;
  readonly manifests: Map<Digest, Manifest>;
  readonly tags: Map<string, Digest>;
}

/** A registry in memory: the reference implementation of the contract, and the only double in tests. */
export function memory(): Registry & Removable & Referring & Spool {
  const repositories = new Map<string, MemoryRepository>();
  const open = (name: string): MemoryRepository => {
    const known = repositories.get(name);
    if (known) return known;
    const created = { blobs: new Map(), manifests: new Map(), tags: new Map() };
    repositories.set(name, created);
    return created;
  };
  return {
    async resolve(repository, reference) {
      const at = repositories.get(repository);
      const digest = isDigest(reference) ? reference : at?.tags.get(reference);
      const manifest = digest && at?.manifests.get(digest);
      return manifest && describe(manifest);
    },
    async manifest(repository, digest) {
      return repositories.get(repository)?.manifests.get(digest);
    },
    async blob(repository, digest) {
      const found = repositories.get(repository)?.blobs.get(digest);
      return found && bytes(found);
    },
    async *repositories() {
      yield* [...repositories.keys()].sort(compareBytes);
    },
    async *tags(repository) {
      yield* [...(repositories.get(repository)?.tags.keys() ?? [])].sort(compareBytes);
    },
    async putBlob(repository, digest, content, mountFrom) {
      const { blobs } = open(repository);
      if (blobs.has(digest)) return;
      const mounted = mountFrom && repositories.get(mountFrom)?.blobs.get(digest);
      const found =
        mounted || (await readVerified(content, digest, content.size, `blob of ${repository}`));
      blobs.set(digest, found);
    },
    async putManifest(repository, manifest, tag) {
      const { manifests, tags } = open(repository);
      manifests.set(manifest.digest, manifest);
      if (tag) tags.set(tag, manifest.digest);
    },
    async removeTag(repository, tag) {
      return repositories.get(repository)?.tags.delete(tag) ?? false;
    },
    async removeManifest(repository, digest) {
      const at = repositories.get(repository);
      for (const [tag, meant] of at?.tags ?? []) if (meant === digest) at?.tags.delete(tag);
      return at?.manifests.delete(digest) ?? false;
    },
    async removeBlob(repository, digest) {
      return repositories.get(repository)?.blobs.delete(digest) ?? false;
    },
    async *referrers(repository, subject) {
      const manifests = [...(repositories.get(repository)?.manifests.values() ?? [])];
      yield* manifests
        .filter((manifest) => manifest.subject?.digest === subject)
        .sort((a, b) => compareBytes(a.digest, b.digest))
        .map(describeReferrer);
    },
    async begin() {
      const chunks: Uint8Array[] = [];
      let size = 0;
      return {
        get size() {
          return size;
        },
        async append(more) {
          for await (const chunk of more) {
            chunks.push(Uint8Array.from(chunk));
            size += chunk.length;
          }
        },
        read: (range) => concat(chunks.map(bytes)).open(range),
        content: async () => concat(chunks.map(bytes)),
        async end() {},
      };
    },
  };
}
