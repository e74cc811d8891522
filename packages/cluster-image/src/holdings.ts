import {
  blobsOf,
  type Digest,
  isForeign,
  type Manifest,
  type RegistryReader,
} from '@cluster-image/oci';

/** What a registry holds, as far as it was asked for. */
export interface Held {
  /** As many as were asked for. */
  readonly repositories: readonly HeldRepository[];
  /** How many there are. */
  readonly total: number;
  /** Of those that are told of: what their images take, in bytes, each part once. */
  readonly size: number;
  /** How much more that would be if they shared nothing. */
  readonly saved: number;
}

export interface HeldRepository {
  readonly name: string;
  readonly tags: readonly string[];
  /** In bytes, what several of its images have in common once. */
  readonly size: number;
}

/** Finds the repositories of a registry with a text in their names. Manifests are read once. */
export function holdings(reader: RegistryReader): (query: string, limit: number) => Promise<Held> {
  /** What manifests consist of, by digest; these never change. */
  const known = new Map<Digest, Parts>();

  async function partsOf(repository: string, digest: Digest): Promise<Parts> {
    const found = known.get(digest);
    if (found) return found;
    const manifest = await reader.manifest(repository, digest);
    if (!manifest) return new Map();
    const parts = new Map([[manifest.digest, manifest.size]]);
    for (const [part, size] of await inside(repository, manifest)) parts.set(part, size);
    // What lacks a child now may have it later.
    if (manifest.kind === 'image') known.set(digest, parts);
    return parts;
  }

  async function inside(repository: string, manifest: Manifest): Promise<Parts> {
    if (manifest.kind === 'image') {
      const blobs = blobsOf(manifest).filter((blob) => !isForeign(blob));
      return new Map(blobs.map(({ digest, size }) => [digest, size]));
    }
    const parts = new Map<Digest, number>();
    for (const { digest } of manifest.manifests) {
      for (const [part, size] of await partsOf(repository, digest)) parts.set(part, size);
    }
    return parts;
  }

  return async (query, limit) => {
    const repositories: HeldRepository[] = [];
    const all = new Map<Digest, number>();
    let total = 0;
    for await (const name of reader.repositories()) {
      if (!name.toLowerCase().includes(query)) continue;
      total += 1;
      if (repositories.length >= limit) continue;
      const tags = await Array.fromAsync(reader.tags(name));
      const own = new Map<Digest, number>();
      for (const tag of tags) {
        const root = await reader.resolve(name, tag);
        for (const [part, size] of root ? await partsOf(name, root.digest) : [])
          own.set(part, size);
      }
      for (const [part, size] of own) all.set(part, size);
      repositories.push({ name, tags, size: sum(own) });
    }
    const size = sum(all);
    const apart = repositories.reduce((before, { size }) => before + size, 0);
    return { repositories, total, size, saved: apart - size };
  };
}

/** Digests of manifests and blobs, with their sizes in bytes. */
type Parts = ReadonlyMap<Digest, number>;

function sum(parts: Parts): number {
  return [...parts.values()].reduce((before, size) => before + size, 0);
}
