import {
  blobsOf,
  type Digest,
  digestAlgorithm,
  digestContent,
  isDigest,
  isForeign,
  isTag,
  manifestLimit,
  OciError,
  parseManifest,
  readAll,
} from '@cluster-image/oci';
import type { DistributionLayout } from './distribution-layout.ts';
import { layoutPaths, parseLink } from './distribution-paths.ts';

export interface Problem {
  /** The file or name that is wrong, relative to the directory. */
  readonly path: string;
  readonly why: string;
}

export interface LayoutReport {
  readonly repositories: number;
  readonly manifests: number;
  readonly blobs: number;
  /** What was read and hashed. */
  readonly bytes: number;
  readonly problems: readonly Problem[];
}

/**
 * Reads all of a registry directory: hashes every blob, follows every link, and checks that each
 * manifest has its parts in its own repository.
 *
 * @param sparse an index may lack children, as in the content store
 */
export async function verifyLayout(
  layout: DistributionLayout,
  options: { readonly sparse: boolean },
): Promise<LayoutReport> {
  const { disk } = layout;
  const problems: Problem[] = [];
  const sound = new Set<Digest>();
  let bytes = 0;
  let manifests = 0;
  let repositories = 0;
  const wrong = (path: string, why: string): void => void problems.push({ path, why });

  for (const algorithm of await disk.names(disk.path(layoutPaths.blobs))) {
    for (const shard of await disk.names(disk.path(layoutPaths.blobs, algorithm))) {
      for (const hex of await disk.names(disk.path(layoutPaths.blobs, algorithm, shard))) {
        await verifyBlob(
          `${algorithm}:${hex}`,
          `${layoutPaths.blobs}/${algorithm}/${shard}/${hex}/data`,
        );
      }
    }
  }
  for await (const repository of layout.repositories()) {
    repositories += 1;
    await verifyRepository(repository);
  }
  return { repositories, manifests, blobs: sound.size, bytes, problems };

  async function verifyBlob(name: string, path: string): Promise<void> {
    if (!isDigest(name) || path !== layoutPaths.blob(name))
      return wrong(path, 'is not named by a digest');
    try {
      const content = await disk.content(disk.path(path));
      // Whoever is interrupted leaves directories without a file in them, and nothing refers to those.
      if (!content) return;
      const actual = await digestContent(content, digestAlgorithm(name));
      bytes += content.size;
      if (actual === name) sound.add(name);
      else wrong(path, `holds ${actual}`);
    } catch (error) {
      wrong(path, messageOf(error));
    }
  }

  async function verifyRepository(repository: string): Promise<void> {
    const layers = await links(`${layoutPaths.layers(repository)}`);
    for (const digest of layers) {
      if (!sound.has(digest))
        wrong(layoutPaths.layer(repository, digest), 'leads to no sound blob');
    }
    const revisions = await links(layoutPaths.revisions(repository));
    for (const digest of revisions) await verifyManifest(repository, digest, layers, revisions);
    for (const tag of await disk.names(disk.path(layoutPaths.tags(repository)))) {
      if (!isTag(tag)) {
        wrong(`${layoutPaths.tags(repository)}/${tag}`, 'is not a tag');
        continue;
      }
      const current = await readLink(layoutPaths.tag(repository, tag));
      if (current && !revisions.has(current)) {
        wrong(layoutPaths.tag(repository, tag), 'leads to no manifest of the repository');
      }
      // docker-registry lists a tag by its directory alone.
      if (!current && !options.sparse) wrong(layoutPaths.tag(repository, tag), 'leads nowhere');
    }
  }

  async function verifyManifest(
    repository: string,
    digest: Digest,
    layers: ReadonlySet<Digest>,
    revisions: ReadonlySet<Digest>,
  ): Promise<void> {
    const path = layoutPaths.revision(repository, digest);
    manifests += 1;
    const content = sound.has(digest) ? await layout.content(digest) : undefined;
    if (!content) return wrong(path, 'leads to no sound manifest');
    try {
      const manifest = parseManifest(await readAll(content, manifestLimit), repository, digest);
      if (manifest.kind === 'image') {
        for (const blob of blobsOf(manifest)) {
          if (!isForeign(blob) && !layers.has(blob.digest)) {
            wrong(layoutPaths.layer(repository, blob.digest), `is missing, and ${digest} needs it`);
          }
        }
        return;
      }
      if (options.sparse) return;
      for (const child of manifest.manifests) {
        if (!revisions.has(child.digest)) {
          wrong(
            layoutPaths.revision(repository, child.digest),
            `is missing, and ${digest} needs it`,
          );
        }
      }
    } catch (error) {
      wrong(path, messageOf(error));
    }
  }

  /** The digests that a directory of links holds, each of whose links says what its name says. */
  async function links(directory: string): Promise<ReadonlySet<Digest>> {
    const found = new Set<Digest>();
    for (const algorithm of await disk.names(disk.path(directory))) {
      for (const hex of await disk.names(disk.path(directory, algorithm))) {
        const path = `${directory}/${algorithm}/${hex}/link`;
        const digest = await readLink(path);
        if (digest === `${algorithm}:${hex}`) found.add(digest);
        else if (digest) wrong(path, `leads to ${digest}`);
      }
    }
    return found;
  }

  async function readLink(path: string): Promise<Digest | undefined> {
    const text = await disk.text(disk.path(path));
    if (text === undefined) return undefined;
    try {
      return parseLink(text, path);
    } catch {
      wrong(path, 'does not hold a digest');
      return undefined;
    }
  }
}

function messageOf(error: unknown): string {
  if (error instanceof OciError) return error.message;
  throw error;
}
