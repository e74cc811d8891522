import { posix } from 'node:path';
import {
  bytes,
  type Content,
  compareBytes,
  configLimit,
  type Descriptor,
  type Digest,
  describe,
  digestContent,
  digestHex,
  digestOf,
  fileOf,
  isDigest,
  jsonOf,
  type Manifest,
  manifestLimit,
  mediaTypes,
  OciError,
  parseConfig,
  parseManifest,
  readAll,
  slice,
  type Tree,
} from '@cluster-image/oci';
import { z } from 'zod';
import { type LayoutReader, ociLayoutReader, soleRepository } from './oci-layout.ts';
import { tarTree } from './tar-tree.ts';

/**
 * Reads an archive of images: one that holds an OCI layout, or the older kind with a `manifest.json`
 * that `docker save` wrote, or both. It has one repository, `''`, whose tags are the images' names.
 * Nothing is extracted; blobs are read where they lie in the archive.
 *
 * Throws ARCHIVE_INVALID, and UNSUPPORTED for a compressed archive.
 */
export async function archive(content: Content, what: string): Promise<LayoutReader> {
  await refuseCompressed(content, what);
  const tree = await tarTree(content, what, { unique: true });
  if (await fileOf(tree, 'index.json')) return ociLayoutReader(tree, what);
  if (await fileOf(tree, 'manifest.json')) return dockerArchive(tree, what);
  const isOld = (await fileOf(tree, 'repositories')) !== undefined;
  throw new OciError(
    isOld ? 'UNSUPPORTED' : 'ARCHIVE_INVALID',
    isOld
      ? `${what} is in the format of docker before 1.10`
      : `${what} is no archive of images: it has neither index.json nor manifest.json`,
    { hint: 'Save the image again with a current docker, podman or skopeo.' },
  );
}

/** How compressed bytes begin, in hexadecimal; all of it for bzip2, because names in a tar may begin with `BZh`. */
const magics: readonly (readonly [string, RegExp])[] = [
  ['gzip', /^1f8b/],
  ['zstd', /^28b52ffd/],
  ['xz', /^fd377a585a00/],
  ['bzip2', /^425a683[1-9]314159265359/],
];

/** How some bytes are compressed, by how they begin; undefined where they are not. */
export async function compressionOf(content: Content): Promise<string | undefined> {
  const head = await readAll(slice(content, { start: 0, end: Math.min(10, content.size) }), 10);
  const hex = Buffer.from(head).toString('hex');
  return magics.find(([, magic]) => magic.test(hex))?.[0];
}

async function refuseCompressed(content: Content, what: string): Promise<void> {
  const compression = await compressionOf(content);
  if (!compression) return;
  throw new OciError('UNSUPPORTED', `${what} is compressed with ${compression}`, {
    hint: `Its images cannot be read in place; decompress it first (${compression} -d).`,
  });
}

const manifestJsonSchema = z
  .array(
    z.looseObject({
      Config: z.string(),
      RepoTags: z.array(z.string()).nullish(),
      Layers: z.array(z.string()).nullish(),
    }),
  )
  .min(1);

interface ArchivedImage {
  readonly names: readonly string[];
  readonly manifest: Manifest;
  readonly blobs: ReadonlyMap<Digest, Content>;
}

/** Gives the images of a docker archive the manifests that they lack, in a form that depends on their bytes only. */
async function dockerArchive(tree: Tree, what: string): Promise<LayoutReader> {
  const invalid = (why: string): OciError => new OciError('ARCHIVE_INVALID', `${what}: ${why}`);
  const listing = await fileOf(tree, 'manifest.json');
  const parsed = manifestJsonSchema.safeParse(
    listing && jsonOf(await readAll(listing, manifestLimit)),
  );
  if (!parsed.success) throw invalid(`manifest.json: ${z.prettifyError(parsed.error)}`);
  const files = await find(
    parsed.data.flatMap(({ Config, Layers }) => [Config, ...(Layers ?? [])]),
  );
  const images = await Promise.all(
    parsed.data.map(({ Config, Layers, RepoTags }) => read(Config, Layers ?? [], RepoTags ?? [])),
  );
  const named = new Map<string, ArchivedImage>();
  for (const image of images) {
    for (const name of image.names) {
      const other = named.get(name);
      if (other && other.manifest.digest !== image.manifest.digest) {
        throw invalid(`manifest.json has two images named ${JSON.stringify(name)}`);
      }
      named.set(name, image);
    }
  }
  const imageOf = (digest: Digest): ArchivedImage | undefined =>
    images.find((image) => image.manifest.digest === digest);

  /** The files at some paths. Throws where any is missing, naming all that are. */
  async function find(paths: readonly string[]): Promise<ReadonlyMap<string, Content>> {
    const found = new Map<string, Content>();
    const absent = new Set<string>();
    for (const path of paths) {
      const content = await follow(tree, path, invalid);
      if (content) found.set(path, content);
      else absent.add(path);
    }
    if (absent.size === 0) return found;
    throw invalid(`manifest.json names what is not there: ${[...absent].join(', ')}`);
  }

  async function read(
    config: string,
    layers: readonly string[],
    names: readonly string[],
  ): Promise<ArchivedImage> {
    const content = (path: string): Content => files.get(path) ?? bytes('');
    const configContent = content(config);
    const configBytes = await readAll(configContent, configLimit);
    const configDigest = digestOf(configBytes);
    const [hex] = /^[0-9a-f]{64}\b/.exec(posix.basename(config)) ?? [];
    if (hex && hex !== digestHex(configDigest)) {
      throw invalid(`${config} is not the config that its name says`);
    }
    const diffIds = parseConfig(configBytes, configDigest, what).rootfs.diff_ids ?? [];
    if (diffIds.length !== layers.length) {
      throw invalid(
        `${config} has ${diffIds.length} layers where manifest.json has ${layers.length}`,
      );
    }
    const blobs = new Map<Digest, Content>([[configDigest, configContent]]);
    const descriptors: Descriptor[] = [];
    for (const [index, layer] of layers.map(content).entries()) {
      const descriptor = await describeLayer(layer, diffIds[index] ?? '', invalid);
      descriptors.push(descriptor);
      blobs.set(descriptor.digest, layer);
    }
    const body = {
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config: { mediaType: mediaTypes.ociConfig, digest: configDigest, size: configBytes.length },
      layers: descriptors,
    };
    const manifest = parseManifest(new TextEncoder().encode(JSON.stringify(body)), what);
    return { names: names.length > 0 ? names : [manifest.digest], manifest, blobs };
  }

  return {
    async resolve(repository, reference) {
      if (repository !== soleRepository) return undefined;
      const found = isDigest(reference) ? imageOf(reference) : named.get(reference);
      return found && describe(found.manifest);
    },
    manifest: async (repository, digest) =>
      repository === soleRepository ? imageOf(digest)?.manifest : undefined,
    blob: async (repository, digest) =>
      repository === soleRepository
        ? images.find((image) => image.blobs.has(digest))?.blobs.get(digest)
        : undefined,
    since: async () => undefined,
    async *repositories() {
      yield soleRepository;
    },
    async *tags(repository) {
      if (repository !== soleRepository) return;
      yield* [...named.keys()].sort(compareBytes);
    },
  };
}

/** The file at a path, through links that stay inside the archive. */
async function follow(
  tree: Tree,
  path: string,
  invalid: (why: string) => OciError,
): Promise<Content | undefined> {
  let at = posix.normalize(path);
  for (let hops = 0; hops < 8; hops++) {
    if (/^(\.\.)?(\/|$)/.test(at)) throw invalid(`${path} leads out of it`);
    const entry = await tree.entry(at);
    if (entry?.type !== 'symlink') return entry?.type === 'file' ? entry.content : undefined;
    at = posix.isAbsolute(entry.target)
      ? entry.target
      : posix.join(posix.dirname(at), entry.target);
  }
  throw invalid(`${path} is a loop of links`);
}

/** An uncompressed layer's digest is the one in the config; a compressed one has to be read for it. */
async function describeLayer(
  layer: Content,
  diffId: string,
  invalid: (why: string) => OciError,
): Promise<Descriptor> {
  const compression = await compressionOf(layer);
  if (!compression) {
    if (!isDigest(diffId)) throw invalid(`diff id ${JSON.stringify(diffId)} is not a digest`);
    return { mediaType: mediaTypes.ociLayer, digest: diffId, size: layer.size };
  }
  if (compression !== 'gzip' && compression !== 'zstd') {
    throw invalid(`a layer is compressed with ${compression}`);
  }
  const mediaType = `${mediaTypes.ociLayer}+${compression}`;
  return { mediaType, digest: await digestContent(layer), size: layer.size };
}
