import {
  blobsOf,
  type Digest,
  digestOf,
  type ErrorCode,
  isDamage,
  isDigest,
  manifestLimit,
  OciError,
  parseManifest,
  readAll,
} from '@cluster-image/oci';
import type { Contents, StoredImage, StoredRepository, StoredTag } from './contents.ts';
import { directory as directoryTree } from './directory.ts';
import type { Disk } from './disk.ts';
import { layoutPaths, parseLink } from './distribution-paths.ts';
import { type Entry, filesBelow, pathOf } from './inventory.ts';
import type { Pin } from './roots.ts';
import type { Problem } from './verify-layout.ts';
import { readThinImage } from './virtual-image.ts';

/** What of a store is kept. Each deed keeps something and all that it needs. */
export interface Reach {
  isKept(entry: Entry): boolean;
  keep(entry: Entry): void;
  keepBlob(digest: Digest): void;
  keepLayer(repository: StoredRepository, digest: Digest): void;
  /** @param isWanted which children of an index belong to it */
  keepManifest(name: string, digest: Digest, isWanted?: (child: Digest) => boolean): Promise<void>;
  keepTag(name: string, tag: StoredTag): Promise<void>;
  /** What a tag stands for; undefined for one that is damaged. */
  meaningOf(tag: StoredTag): Promise<Digest | undefined>;
  keepImage(image: StoredImage): Promise<void>;
  keepPin(pin: Pin): Promise<void>;
  keepNote(note: Entry): Promise<void>;
  /** Does it only if what is kept then still fits; tells whether it does. */
  ifFits(limit: number, deed: () => Promise<void>): Promise<boolean>;
}

const faults: readonly ErrorCode[] = ['NOT_FOUND', 'INPUT_INVALID', 'UNSUPPORTED', 'FILE_SYSTEM'];

/** What a manifest needs; nothing is known of a damaged one. */
interface Parts {
  readonly blobs: readonly Digest[];
  readonly children: readonly Digest[];
}

export function reach(contents: Contents, disk: Disk, note: (problem: Problem) => void): Reach {
  const kept = new Set<Entry>();
  const known = new Map<Digest, Promise<Parts | undefined>>();
  const meanings = new Map<Entry, Promise<Digest | undefined>>();
  let size = 0;
  let trail: Entry[] = [];

  function keep(entry: Entry): void {
    for (let at: Entry | undefined = entry; at && !kept.has(at); at = at.parent) {
      kept.add(at);
      size += at.bytes;
      trail.push(at);
    }
  }

  function keepBlob(digest: Digest): void {
    const blob = contents.blobs.get(digest);
    if (blob) keep(blob);
  }

  function keepLayer({ layers }: StoredRepository, digest: Digest): void {
    const link = layers.get(digest);
    if (link) keep(link);
    keepBlob(digest);
  }

  async function keepManifest(
    name: string,
    digest: Digest,
    isWanted: (child: Digest) => boolean = () => true,
  ): Promise<void> {
    const repository = contents.repositories.get(name);
    const revision = repository?.revisions.get(digest);
    if (!repository || !revision) return;
    keep(revision);
    keepBlob(digest);
    const parts = await partsOf(digest, revision);
    // It cannot say what it needs, and may be mended.
    for (const blob of parts?.blobs ?? repository.layers.keys()) keepLayer(repository, blob);
    for (const child of parts?.children ?? []) {
      if (isWanted(child)) await keepManifest(name, child);
    }
  }

  async function keepTag(name: string, tag: StoredTag): Promise<void> {
    if (!tag.current) return;
    keep(tag.current);
    const digest = await meaningOf(tag);
    // What it meant before is all there is to mend a damaged one with.
    for (const each of digest ? [digest] : tag.index.keys()) {
      const link = tag.index.get(each);
      if (link) keep(link);
      await keepManifest(name, each);
    }
  }

  function meaningOf({ current }: StoredTag): Promise<Digest | undefined> {
    if (!current) return Promise.resolve(undefined);
    const meaning = meanings.get(current) ?? tolerating(pathOf(current), () => readTag(current));
    meanings.set(current, meaning);
    return meaning;
  }

  async function readTag(current: Entry): Promise<Digest> {
    const path = disk.path(pathOf(current));
    return parseLink((await disk.text(path)) ?? '', path);
  }

  async function keepImage({ directory, files }: StoredImage): Promise<void> {
    for (const file of files) keep(file);
    for (const plan of filesBelow(directory.entries.get('plans'))) await keepMemo(plan);
    const path = pathOf(directory);
    const image = await tolerating(path, () =>
      readThinImage(directoryTree(disk.path(path), undefined, disk.fs), path),
    );
    for (const manifest of image?.manifests.values() ?? []) {
      if (manifest.kind === 'image') for (const { digest } of blobsOf(manifest)) keepBlob(digest);
    }
    for (const { entries } of image?.plans.values() ?? []) {
      for (const entry of entries) if (entry.type === 'file') keepBlob(entry.digest);
    }
  }

  async function keepMemo(plan: Entry): Promise<void> {
    const text = await disk.text(disk.path(pathOf(plan)));
    const memo = text === undefined ? undefined : contents.memos.get(digestOf(Buffer.from(text)));
    if (memo) keep(memo);
  }

  async function keepPin({ repository, tag, digest, children }: Pin): Promise<void> {
    await keepManifest(repository, digest, (child) => children?.includes(child) ?? true);
    const named = contents.repositories.get(repository)?.tags.get(tag ?? '');
    if (named && (await meaningOf(named)) === digest) await keepTag(repository, named);
  }

  async function keepNote(note: Entry): Promise<void> {
    keep(note);
    const text = (await disk.text(disk.path(pathOf(note)))) ?? '';
    for (const [digest] of text.matchAll(/sha(?:256|512):[0-9a-f]+/g)) {
      if (isDigest(digest)) keepBlob(digest);
    }
  }

  function partsOf(digest: Digest, revision: Entry): Promise<Parts | undefined> {
    const parts =
      known.get(digest) ?? tolerating(pathOf(revision), () => readParts(digest, pathOf(revision)));
    known.set(digest, parts);
    return parts;
  }

  async function readParts(digest: Digest, where: string): Promise<Parts> {
    const content = await disk.content(disk.path(layoutPaths.blob(digest)));
    if (!content) throw new OciError('NOT_FOUND', `manifest ${digest} is missing`);
    const manifest = parseManifest(await readAll(content, manifestLimit), where, digest);
    return manifest.kind === 'image'
      ? { blobs: blobsOf(manifest).map(({ digest }) => digest), children: [] }
      : { blobs: [], children: manifest.manifests.map(({ digest }) => digest) };
  }

  /** What is damaged is noted, and does not stop the others. */
  async function tolerating<T>(path: string, read: () => Promise<T>): Promise<T | undefined> {
    try {
      return await read();
    } catch (error) {
      const isFault = isDamage(error) || (error instanceof OciError && faults.includes(error.code));
      if (!isFault || !(error instanceof OciError)) throw error;
      note({ path, why: error.message });
      return undefined;
    }
  }

  return {
    isKept: (entry) => kept.has(entry),
    keep,
    keepBlob,
    keepLayer,
    keepManifest,
    keepTag,
    meaningOf,
    keepImage,
    keepPin,
    keepNote,
    async ifFits(limit, deed) {
      trail = [];
      await deed();
      if (size <= limit) return true;
      for (const entry of trail) {
        kept.delete(entry);
        size -= entry.bytes;
      }
      return false;
    },
  };
}
