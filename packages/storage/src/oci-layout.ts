import {
  type Content,
  compareBytes,
  type Descriptor,
  type Digest,
  describe,
  descriptorSchema,
  digestAlgorithm,
  digestHex,
  fileOf,
  isDigest,
  jsonOf,
  type Manifest,
  manifestLimit,
  OciError,
  parseManifest,
  type Registry,
  type RegistryReader,
  readAll,
  type Tree,
} from '@cluster-image/oci';
import { z } from 'zod';
import { directory } from './directory.ts';
import { disk as openDisk, stagingName } from './disk.ts';
import { type FileSystem, nodeFileSystem } from './file-system.ts';
import { stage } from './stage.ts';
import { takeTurn } from './turn.ts';

/** The annotation by which an entry of `index.json` has a name. */
export const refName = 'org.opencontainers.image.ref.name';

/** The name that containerd gives to an entry beside or instead of `refName`. */
export const containerdName = 'io.containerd.image.name';

/** The annotations by which an entry says that it lacks what another image has, and which one that is. */
export const sinceDigest = 'io.cluster-image.since.digest';
export const sinceName = 'io.cluster-image.since.name';

/** An image by which another one came to lack some layers, because whoever takes that has this one. */
export interface Since {
  /** Of its manifest or index. */
  readonly digest: Digest;
  readonly name?: string | undefined;
}

/** Images in a layout or archive. */
export interface LayoutReader extends RegistryReader {
  /** The image that one of them is saved since; undefined for one that is there by itself. */
  since(image: Digest): Promise<Since | undefined>;
}

/** The one repository of registries that have no names for repositories: layouts and archives of single images. */
export const soleRepository = '';

const layoutMarker = JSON.stringify({ imageLayoutVersion: '1.0.0' });

const indexSchema = z.looseObject({
  schemaVersion: z.literal(2),
  manifests: z.array(descriptorSchema),
});

/** Where an OCI layout has a blob. */
export function ociBlobPath(digest: Digest): string {
  return `blobs/${digestAlgorithm(digest)}/${digestHex(digest)}`;
}

/**
 * Reads an OCI image layout, in a directory or an archive. It has one repository, `''`, whose tags
 * are the names (`org.opencontainers.image.ref.name`) in `index.json`. A sparse layout, which lacks some blobs, is
 * read as far as it goes. https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md
 *
 * @param what how errors name the layout, for instance its path
 */
export function ociLayoutReader(tree: Tree, what: string): LayoutReader {
  const blob = async (digest: Digest): Promise<Content | undefined> =>
    fileOf(tree, ociBlobPath(digest));

  async function manifest(digest: Digest): Promise<Manifest | undefined> {
    const content = await blob(digest);
    if (!content || content.size > manifestLimit) return undefined;
    return parseManifest(await readAll(content, manifestLimit), what, digest);
  }

  return {
    async resolve(repository, reference): Promise<Descriptor | undefined> {
      if (repository !== soleRepository) return undefined;
      const digest = isDigest(reference)
        ? reference
        : digestNamed(await readIndex(tree, what), reference, what);
      const found = digest && (await manifest(digest));
      return found && describe(found);
    },
    manifest: async (repository, digest) =>
      repository === soleRepository ? manifest(digest) : undefined,
    blob: async (repository, digest) => (repository === soleRepository ? blob(digest) : undefined),
    since: async (image) => sinceOf(await readIndex(tree, what), image),
    async *repositories() {
      yield soleRepository;
    },
    async *tags(repository) {
      if (repository !== soleRepository) return;
      yield* [...namesIn(await readIndex(tree, what)).keys()].sort(compareBytes);
    },
  };
}

export interface OciLayoutOptions {
  readonly fs?: FileSystem;
  /** What images that are given a name here are saved since. */
  readonly since?: Since;
}

/** An OCI image layout in a directory, for writing too; see `ociLayoutReader`. */
export function ociLayout(root: string, options: OciLayoutOptions = {}): Registry {
  const { fs = nodeFileSystem, since } = options;
  const disk = openDisk(root, fs);
  const tree = directory(root, undefined, fs);
  const reader = ociLayoutReader(tree, root);
  const storeBytes = stage(disk);
  let updating = Promise.resolve();

  async function setName(descriptor: Descriptor, name: string): Promise<void> {
    // index.json is read, changed and replaced, which other processes may be at too.
    const turn = await takeTurn(disk, disk.path(stagingName, 'index'), {
      isDone: async () => false,
      progress: async () => 0,
    });
    try {
      const others = (await readIndex(tree, root)).filter(
        (entry) => !namesOf(entry).includes(name),
      );
      const named = { ...descriptor, annotations: { [refName]: name, ...sinceAnnotations(since) } };
      await disk.write(disk.path('oci-layout'), layoutMarker);
      await disk.flush();
      await disk.write(disk.path('index.json'), ociIndex([...others, named]));
      await disk.flush();
    } finally {
      await turn?.end();
    }
    await disk.tidy();
  }

  return {
    ...reader,
    async putBlob(_repository, digest, content) {
      await storeBytes(content, digest, disk.path(ociBlobPath(digest)));
    },
    async putManifest(_repository, manifest, tag) {
      const { digest } = manifest;
      await disk.flush();
      await disk.write(disk.path(ociBlobPath(digest)), manifest.bytes, 0o444);
      await disk.flush();
      if (tag === undefined) return;
      // One after another, or one of two tags is lost.
      updating = updating.catch(() => {}).then(() => setName(describe(manifest), tag));
      await updating;
    },
  };
}

/** The text of an `index.json` with these entries. */
export function ociIndex(manifests: readonly Descriptor[]): string {
  const mediaType = 'application/vnd.oci.image.index.v1+json';
  return JSON.stringify({ schemaVersion: 2, mediaType, manifests });
}

/** The files that make a folder or archive an OCI layout, apart from its blobs. */
export function ociLayoutFiles(manifests: readonly Descriptor[]): Readonly<Record<string, string>> {
  return { 'oci-layout': layoutMarker, 'index.json': ociIndex(manifests) };
}

/** How an entry says what it is saved since. */
export function sinceAnnotations(since: Since | undefined): Readonly<Record<string, string>> {
  if (!since) return {};
  const { digest, name } = since;
  return { [sinceDigest]: digest, ...(name !== undefined && { [sinceName]: name }) };
}

function sinceOf(entries: readonly Descriptor[], image: Digest): Since | undefined {
  for (const { digest, annotations = {} } of entries) {
    const { [sinceDigest]: earlier = '', [sinceName]: name } = annotations;
    if (digest === image && isDigest(earlier)) return { digest: earlier, name };
  }
  return undefined;
}

/** The names of an entry; one that has none goes by its digest. */
function namesOf(entry: Descriptor): readonly string[] {
  const { [refName]: name, [containerdName]: full } = entry.annotations ?? {};
  const names = [name, full].filter((text) => text !== undefined);
  return names.length > 0 ? names : [entry.digest];
}

/**
 * What each name stands for. Where entries have a full name beside a short one that others have too
 * (`latest`, in what `docker save` writes of several images), the short one is nobody's.
 */
function namesIn(entries: readonly Descriptor[]): ReadonlyMap<string, ReadonlySet<Digest>> {
  const named = new Map<string, Set<Digest>>();
  for (const entry of entries) {
    for (const name of namesOf(entry)) {
      named.set(name, (named.get(name) ?? new Set()).add(entry.digest));
    }
  }
  const isFull = (entry: Descriptor): boolean => entry.annotations?.[containerdName] !== undefined;
  const short = entries.flatMap((entry) => (isFull(entry) ? [entry.annotations?.[refName]] : []));
  for (const name of short) if (name && (named.get(name)?.size ?? 0) > 1) named.delete(name);
  return named;
}

/** What a name stands for. Throws CONFLICT where that is several things. */
function digestNamed(
  entries: readonly Descriptor[],
  name: string,
  what: string,
): Digest | undefined {
  const [digest, ...others] = namesIn(entries).get(name) ?? [];
  if (others.length === 0) return digest;
  throw new OciError('CONFLICT', `${what} has several images named ${JSON.stringify(name)}`, {
    hint: 'Name the one that is meant by its digest.',
  });
}

/** The entries of `index.json`; none where there is no such file yet. */
async function readIndex(tree: Tree, what: string): Promise<readonly Descriptor[]> {
  const content = await fileOf(tree, 'index.json');
  if (!content) return [];
  const parsed = indexSchema.safeParse(jsonOf(await readAll(content, manifestLimit)));
  if (parsed.success) return parsed.data.manifests;
  const why = z.prettifyError(parsed.error);
  throw new OciError('MANIFEST_INVALID', `index.json of ${what}: ${why}`, { cause: parsed.error });
}
