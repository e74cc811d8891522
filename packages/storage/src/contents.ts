import { type Digest, isDigest } from '@cluster-image/oci';
import { stagingName } from './disk.ts';
import { layoutPaths } from './distribution-paths.ts';
import { type Entry, entryAt, filesBelow } from './inventory.ts';
import { renderingsName } from './renderings.ts';
import { rootsName } from './roots.ts';

/** What of a store's directory is the store's, each thing as the file that makes it one. */
export interface Contents {
  readonly blobs: ReadonlyMap<Digest, Entry>;
  readonly repositories: ReadonlyMap<string, StoredRepository>;
  /** Thin images, by name and tag. */
  readonly images: ReadonlyMap<string, StoredImage>;
  /** What plans came to, by the digest of the plan. */
  readonly memos: ReadonlyMap<Digest, Entry>;
  /** What was noted down of images elsewhere, by their digests. */
  readonly notes: ReadonlyMap<Digest, Entry>;
  /** What was rendered, by the digests of what it was rendered from. */
  readonly renderings: ReadonlyMap<Digest, Entry>;
  /** What lockfiles pin. */
  readonly roots: readonly Entry[];
  readonly staged: readonly Entry[];
}

export interface StoredRepository {
  readonly layers: ReadonlyMap<Digest, Entry>;
  readonly revisions: ReadonlyMap<Digest, Entry>;
  readonly tags: ReadonlyMap<string, StoredTag>;
}

export interface StoredTag {
  readonly current: Entry | undefined;
  readonly index: ReadonlyMap<Digest, Entry>;
}

export interface StoredImage {
  readonly directory: Entry;
  /** Without it the others are no image. */
  readonly index: Entry | undefined;
  readonly files: readonly Entry[];
}

export function contentsOf(top: Entry): Contents {
  const at = (path: string): Entry | undefined => entryAt(top, path);
  return {
    blobs: blobsIn(at(layoutPaths.blobs)),
    repositories: new Map(repositoriesIn(at(layoutPaths.repositories), '')),
    images: new Map(imagesIn(at('images'), '')),
    memos: namedIn(at('layers')),
    notes: namedIn(at('unpacked')),
    renderings: namedIn(at(renderingsName)),
    roots: filesIn(at(rootsName)).filter(({ name }) => /^[0-9a-f]{64}\.json$/.test(name)),
    staged: filesIn(at(stagingName)),
  };
}

function entriesIn(entry: Entry | undefined): readonly Entry[] {
  return entry ? [...entry.entries.values()] : [];
}

function filesIn(entry: Entry | undefined): readonly Entry[] {
  return entriesIn(entry).filter(({ isDirectory }) => !isDirectory);
}

function fileAt(entry: Entry | undefined, path: string): Entry | undefined {
  const found = entryAt(entry, path);
  return found?.isDirectory ? undefined : found;
}

function blobsIn(blobs: Entry | undefined): ReadonlyMap<Digest, Entry> {
  const found = new Map<Digest, Entry>();
  for (const algorithm of entriesIn(blobs)) {
    for (const shard of entriesIn(algorithm)) {
      for (const hex of entriesIn(shard)) {
        const digest = `${algorithm.name}:${hex.name}`;
        const data = fileAt(hex, 'data');
        const isInPlace = isDigest(digest) && hex.name.startsWith(shard.name);
        if (data && isInPlace && shard.name.length === 2) found.set(digest, data);
      }
    }
  }
  return found;
}

/** The links in a directory of them, by the digest that each is named by. */
function linksIn(directory: Entry | undefined): ReadonlyMap<Digest, Entry> {
  const found = new Map<Digest, Entry>();
  for (const algorithm of entriesIn(directory)) {
    for (const hex of entriesIn(algorithm)) {
      const digest = `${algorithm.name}:${hex.name}`;
      const link = fileAt(hex, 'link');
      if (link && isDigest(digest)) found.set(digest, link);
    }
  }
  return found;
}

function* repositoriesIn(
  directory: Entry | undefined,
  name: string,
): Iterable<[string, StoredRepository]> {
  const layers = linksIn(entryAt(directory, '_layers'));
  const revisions = linksIn(entryAt(directory, '_manifests/revisions'));
  const tags = new Map(
    entriesIn(entryAt(directory, '_manifests/tags')).map((tag) => [
      tag.name,
      { current: fileAt(tag, 'current/link'), index: linksIn(entryAt(tag, 'index')) },
    ]),
  );
  if (name) yield [name, { layers, revisions, tags }];
  for (const inner of entriesIn(directory)) {
    if (!inner.name.startsWith('_')) yield* repositoriesIn(inner, under(name, inner));
  }
}

function* imagesIn(directory: Entry | undefined, name: string): Iterable<[string, StoredImage]> {
  for (const tag of entriesIn(entryAt(directory, '_tags'))) {
    if (!tag.isDirectory) continue;
    const index = fileAt(tag, 'index.json');
    yield [`${name}:${tag.name}`, { directory: tag, index, files: filesBelow(tag) }];
  }
  for (const inner of entriesIn(directory)) {
    if (inner.name !== '_tags') yield* imagesIn(inner, under(name, inner));
  }
}

function under(name: string, inner: Entry): string {
  return name ? `${name}/${inner.name}` : inner.name;
}

/** Files that are named by a digest. */
function namedIn(directory: Entry | undefined): ReadonlyMap<Digest, Entry> {
  const found = new Map<Digest, Entry>();
  for (const algorithm of entriesIn(directory)) {
    for (const file of filesIn(algorithm)) {
      const digest = `${algorithm.name}:${file.name}`;
      if (isDigest(digest)) found.set(digest, file);
    }
  }
  return found;
}
