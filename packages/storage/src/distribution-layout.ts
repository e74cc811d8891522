import {
  blobsOf,
  type Claimable,
  type Content,
  compareBytes,
  type Descriptor,
  type Digest,
  describe,
  digestAlgorithm,
  digestMismatch,
  isDigest,
  isForeign,
  isTag,
  type Manifest,
  manifestLimit,
  parseManifest,
  type Referring,
  type Registry,
  type RegistryReader,
  type Removable,
  readAll,
  type Spool,
} from '@cluster-image/oci';
import { type Disk, disk as openDisk } from './disk.ts';
import { isLinkTo, layoutPaths, parseLink } from './distribution-paths.ts';
import { asStored, storedFile } from './file.ts';
import {
  type FileStatus,
  type FileSystem,
  ifExists,
  nodeFileSystem,
  onDisk,
} from './file-system.ts';
import { referringIn, removalFrom } from './layout-changes.ts';
import { spool } from './spool.ts';
import { stage } from './stage.ts';
import { tagCase } from './tag-case.ts';

export interface DistributionLayout extends Registry, Removable, Referring, Claimable, Spool {
  readonly disk: Disk;
  /** A blob or manifest by digest alone, whatever repository it belongs to. */
  content(digest: Digest): Promise<Content | undefined>;
  /** Stores a blob that belongs to no repository. */
  putContent(digest: Digest, content: Content): Promise<void>;
  readonly [holding]: Holding;
}

const holding = Symbol('holding');

type Holding = (repository: string, digest: Digest, tag?: string) => Promise<Manifest | undefined>;

/**
 * The manifest with that digest, from a registry that is a directory and has all blobs that it names,
 * and the tag. That costs two looks a blob, at its file and at the repository's link to it, and
 * nothing of either is read; undefined wherever it would take more than that to know. What is found
 * is durable.
 */
export async function heldManifest(
  registry: RegistryReader,
  repository: string,
  digest: Digest,
  tag?: string,
): Promise<Manifest | undefined> {
  return isDirectory(registry) ? registry[holding](repository, digest, tag) : undefined;
}

function isDirectory(registry: RegistryReader): registry is DistributionLayout {
  return holding in registry;
}

export interface LayoutOptions {
  readonly fs?: FileSystem;
  /** Keeps what arrived of a blob when the rest fails, for a later attempt to resume. */
  readonly resumable?: boolean;
}

/**
 * A directory in the layout of the `distribution` registry, which that registry can serve as it is
 * (`distribution-paths.ts` has the drawing). Content that a store already keeps on the same file
 * system is linked, not copied.
 *
 * Whatever happens, a reader sees a tag as it was or as it will be: blobs come before the manifests
 * that name them, manifests before tags, and each step is durable before the next.
 */
export function distributionLayout(root: string, options: LayoutOptions = {}): DistributionLayout {
  const { fs = nodeFileSystem, resumable = false } = options;
  const disk = openDisk(root, fs, { resumable });
  const storeBytes = stage(disk);
  const checkCase = tagCase(disk);

  async function content(digest: Digest): Promise<Content | undefined> {
    const path = disk.path(layoutPaths.blob(digest));
    const found = await disk.content(path);
    return found && asStored(found, { path, digest });
  }

  async function putContent(digest: Digest, source: Content): Promise<void> {
    const path = disk.path(layoutPaths.blob(digest));
    const original = storedFile(source);
    if (original && isOther(original.digest, digest)) {
      throw digestMismatch('blob', digest, original.digest);
    }
    if (original?.digest === digest) {
      const there = await onDisk(fs, path, () => ifExists(fs.stat(path)));
      if (!there && (await disk.link(original.path, path))) return;
    }
    await storeBytes(source, digest, path);
  }

  const putLink = (path: string, digest: Digest): Promise<void> =>
    disk.write(disk.path(path), digest);

  async function readLink(path: string): Promise<Digest | undefined> {
    const target = disk.path(path);
    const text = await disk.text(target);
    return text === undefined ? undefined : parseLink(text, target);
  }

  /** Whether a repository has what a link of its own name stands for. */
  async function isLinked(path: string, digest: Digest): Promise<boolean> {
    return isLinkTo(digest, await readLink(path), disk.path(path));
  }

  async function manifest(repository: string, digest: Digest): Promise<Manifest | undefined> {
    const isThere = await isLinked(layoutPaths.revision(repository, digest), digest);
    return isThere ? stored(repository, digest) : undefined;
  }

  /** A manifest, whatever repository it belongs to. */
  async function stored(repository: string, digest: Digest): Promise<Manifest | undefined> {
    const found = await content(digest);
    if (!found) return undefined;
    return parseManifest(await readAll(found, manifestLimit), `${repository} in ${root}`, digest);
  }

  function look(path: string): Promise<FileStatus | undefined> {
    return onDisk(fs, disk.path(path), () => ifExists(fs.stat(disk.path(path))));
  }

  /** Whether there is a file of that size, and which. */
  async function lookFor(path: string, size: number): Promise<Seen | undefined> {
    const found = await look(path);
    return found?.isFile() && found.size === size ? { path: disk.path(path), found } : undefined;
  }

  const held: Holding = async (repository, digest, tag) => {
    const tagged = tag === undefined ? digest : await readLink(layoutPaths.tag(repository, tag));
    const manifest = tagged === digest ? await stored(repository, digest) : undefined;
    if (!manifest) return undefined;
    const blobs = manifest.kind === 'image' ? blobsOf(manifest) : [];
    if (blobs.some(isForeign)) return undefined;
    const links = [
      layoutPaths.revision(repository, digest),
      ...(tag === undefined
        ? []
        : [layoutPaths.tag(repository, tag), layoutPaths.tagged(repository, tag, digest)]),
    ];
    const [revision, ...others] = await Promise.all(
      links.map((path) => lookFor(path, digest.length)),
    );
    const parts = await Promise.all([
      lookFor(layoutPaths.blob(digest), manifest.size),
      ...blobs.flatMap(({ digest, size }) => [
        lookFor(layoutPaths.layer(repository, digest), digest.length),
        lookFor(layoutPaths.blob(digest), size),
      ]),
    ]);
    if (!revision || [...others, ...parts].includes(undefined)) return undefined;
    // Whoever made the link to the manifest had all that was there before made durable.
    const isNewer = (part: Seen | undefined): boolean =>
      part !== undefined && part.found.ctimeMs > revision.found.ctimeMs;
    for (const seen of [revision, ...others, ...parts.filter(isNewer)]) {
      if (seen) disk.rely(seen.path, seen.found);
    }
    await disk.flush();
    return manifest;
  };

  return {
    disk,
    ...removalFrom(disk),
    ...referringIn(disk, manifest),
    ...spool(disk),
    content,
    putContent,
    [holding]: held,
    manifest,
    async resolve(repository, reference): Promise<Descriptor | undefined> {
      const digest = isDigest(reference)
        ? reference
        : isTag(reference)
          ? await readLink(layoutPaths.tag(repository, reference))
          : undefined;
      const found = digest && (await manifest(repository, digest));
      return found && describe(found);
    },
    async blob(repository, digest) {
      if (!(await isLinked(layoutPaths.layer(repository, digest), digest))) return undefined;
      return content(digest);
    },
    async *repositories() {
      yield* (await repositoriesBelow(disk, '')).sort(compareBytes);
    },
    async *tags(repository) {
      for (const tag of await disk.names(disk.path(layoutPaths.tags(repository)))) {
        if (isTag(tag) && (await disk.text(disk.path(layoutPaths.tag(repository, tag))))) yield tag;
      }
    },
    async putBlob(repository, digest, source) {
      const link = layoutPaths.layer(repository, digest);
      await putContent(digest, source);
      await putLink(link, digest);
    },
    async putManifest(repository, manifest, tag) {
      const { digest } = manifest;
      if (tag !== undefined) await checkCase(repository, tag);
      const tagging =
        tag === undefined
          ? []
          : [layoutPaths.tagged(repository, tag, digest), layoutPaths.tag(repository, tag)];
      await putRevision(repository, manifest);
      for (const link of tagging) await putLink(link, digest);
      await flushed();
    },
    async claimTag(repository, manifest, tag) {
      const { digest } = manifest;
      await checkCase(repository, tag);
      const link = layoutPaths.tag(repository, tag);
      // Who died right after a claim left a file beside it.
      await disk.sweep();
      await putRevision(repository, manifest);
      const isFree = (await readLink(link)) === undefined;
      if (isFree) await putLink(layoutPaths.tagged(repository, tag, digest), digest);
      const isNew = isFree && (await disk.claim(disk.path(link), digest));
      const isOurs = isNew || (await readLink(link)) === digest;
      // Whoever made the same link may not have come to make it durable.
      if (isOurs && !isNew) await putLink(link, digest);
      await flushed();
      return isOurs;
    },
  };

  async function putRevision(repository: string, manifest: Manifest): Promise<void> {
    const { digest } = manifest;
    const revision = layoutPaths.revision(repository, digest);
    await disk.write(disk.path(layoutPaths.blob(digest)), manifest.bytes, 0o444);
    await disk.flush();
    // A registry lists a repository by this directory, which an index alone would not make.
    await disk.makeDirectory(disk.path(layoutPaths.layers(repository)));
    await putLink(revision, digest);
    await disk.flush();
  }

  async function flushed(): Promise<void> {
    await disk.flush();
    if (!resumable) await disk.tidy();
  }
}

/** Whether bytes with one digest cannot have the other as well. */
function isOther(known: Digest, wanted: Digest): boolean {
  return known !== wanted && digestAlgorithm(known) === digestAlgorithm(wanted);
}

interface Seen {
  readonly path: string;
  readonly found: FileStatus;
}

async function repositoriesBelow(disk: Disk, prefix: string): Promise<string[]> {
  const found: string[] = [];
  for (const name of await disk.names(disk.path(layoutPaths.repositories, prefix))) {
    if (name === '_manifests' && prefix) found.push(prefix);
    if (name.startsWith('_') || name.startsWith('.')) continue;
    found.push(...(await repositoriesBelow(disk, prefix ? `${prefix}/${name}` : name)));
  }
  return found;
}
