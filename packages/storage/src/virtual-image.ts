import {
  bytes,
  type Content,
  configLimit,
  type Digest,
  describe,
  digestAlgorithm,
  digestHex,
  fileOf,
  isDigest,
  type Manifest,
  manifestLimit,
  OciError,
  type RegistryReader,
  readAll,
  readVerified,
  type Tree,
} from '@cluster-image/oci';
import { directory } from './directory.ts';
import { disk as openDisk } from './disk.ts';
import { type FileSystem, nodeFileSystem, onDisk } from './file-system.ts';
import { type BlobSource, type LayerPlan, layer, parseLayerPlan } from './layer.ts';
import {
  ociBlobPath,
  ociLayoutFiles,
  ociLayoutReader,
  refName,
  soleRepository,
} from './oci-layout.ts';

/**
 * An image without the bytes of its layers: its manifests and configs, and for each layer that is
 * computed the plan of it. Layers without a plan (those of a base image) are blobs found by digest.
 */
export interface VirtualImage {
  /** What the image is called; the only tag of its registry. */
  readonly name: string;
  readonly root: Manifest;
  /** Every manifest and index, the root among them. */
  readonly manifests: ReadonlyMap<Digest, Manifest>;
  readonly configs: ReadonlyMap<Digest, Uint8Array>;
  readonly plans: ReadonlyMap<Digest, LayerPlan>;
}

/** The image as a registry of one repository, `''`. */
export function virtualRegistry(image: VirtualImage, blobs: BlobSource): RegistryReader {
  const manifest = (digest: Digest): Manifest | undefined => image.manifests.get(digest);

  async function blob(digest: Digest): Promise<Content | undefined> {
    const config = image.configs.get(digest);
    if (config) return bytes(config);
    const known = sizeOf(image, digest);
    const plan = image.plans.get(digest);
    // Most layers are never opened, because the target has them.
    if (plan && known !== undefined) return opened(known, () => layer(plan, blobs));
    return known === undefined ? undefined : blobs(digest, known);
  }

  return {
    async resolve(repository, reference) {
      if (repository !== soleRepository) return undefined;
      const found =
        reference === image.name
          ? image.root
          : isDigest(reference)
            ? manifest(reference)
            : undefined;
      return found && describe(found);
    },
    manifest: async (repository, digest) =>
      repository === soleRepository ? manifest(digest) : undefined,
    blob: async (repository, digest) => (repository === soleRepository ? blob(digest) : undefined),
    async *repositories() {
      yield soleRepository;
    },
    async *tags(repository) {
      if (repository === soleRepository) yield image.name;
    },
  };
}

/** A content that is only made once it is opened. Throws SIZE_MISMATCH where it is not as large as it was said to be. */
function opened(size: number, make: () => Content): Content {
  return {
    size,
    async *open(range) {
      const content = make();
      if (content.size !== size) {
        throw new OciError('SIZE_MISMATCH', `a layer of ${content.size} bytes, not ${size}`, {
          hint: 'Build the image again.',
        });
      }
      yield* content.open(range);
    },
  };
}

/** The size of a blob of the image; undefined for one that is not. */
function sizeOf(image: VirtualImage, digest: Digest): number | undefined {
  for (const manifest of image.manifests.values()) {
    const parts = manifest.kind === 'image' ? [manifest.config, ...manifest.layers] : [];
    const found = parts.find((part) => part.digest === digest);
    if (found) return found.size;
  }
  return undefined;
}

/** See docs/formats.md#thin-image. */
export function planPath(digest: Digest): string {
  return `plans/${digestAlgorithm(digest)}/${digestHex(digest)}.json`;
}

/**
 * Writes an image into a directory as a sparse OCI layout with a `plans/` folder beside its blobs:
 * kilobytes, whatever the image weighs. `index.json` comes last, so the directory is the old image
 * or the new one; files of the old one that the new one does not need are removed at the end.
 */
export async function writeThinImage(
  root: string,
  image: VirtualImage,
  fs: FileSystem = nodeFileSystem,
): Promise<void> {
  const disk = openDisk(root, fs);
  await disk.sweep();
  const files = new Map<string, string | Uint8Array>();
  for (const manifest of image.manifests.values()) {
    files.set(ociBlobPath(manifest.digest), manifest.bytes);
  }
  for (const [digest, config] of image.configs) files.set(ociBlobPath(digest), config);
  for (const [digest, plan] of image.plans) files.set(planPath(digest), JSON.stringify(plan));
  const named = { ...describe(image.root), annotations: { [refName]: image.name } };
  const last = Object.entries(ociLayoutFiles([named]));
  for (const [path, content] of files) await disk.write(disk.path(path), content);
  await disk.flush();
  for (const [path, content] of last) await disk.write(disk.path(path), content);
  await disk.flush();
  for await (const { type, path } of directory(root, undefined, fs).entries()) {
    const isOurs = path.startsWith('blobs/') || path.startsWith('plans/');
    if (type === 'file' && isOurs && !files.has(path)) {
      await onDisk(fs, disk.path(path), () => fs.rm(disk.path(path), { force: true }));
    }
  }
  await disk.tidy();
}

/**
 * Reads what `writeThinImage` wrote; undefined where there is no image. Whatever else than the right
 * bytes lies there (a restored cache is not trusted) throws DIGEST_MISMATCH or INPUT_INVALID; plans
 * are checked when their layers are read.
 */
export async function readThinImage(tree: Tree, where: string): Promise<VirtualImage | undefined> {
  const layout = ociLayoutReader(tree, where);
  const [name] = await Array.fromAsync(layout.tags(soleRepository));
  if (name === undefined) return undefined;
  const manifests = new Map<Digest, Manifest>();
  const configs = new Map<Digest, Uint8Array>();
  const plans = new Map<Digest, LayerPlan>();
  const digest = (await layout.resolve(soleRepository, name))?.digest;
  if (!digest) throw incomplete(where, `the manifest of ${name}`);
  const root = await collect(digest);
  return { name, root, manifests, configs, plans };

  async function collect(digest: Digest): Promise<Manifest> {
    const manifest = await layout.manifest(soleRepository, digest);
    if (!manifest) throw incomplete(where, `manifest ${digest}`);
    manifests.set(digest, manifest);
    if (manifest.kind === 'index') {
      for (const child of manifest.manifests) await collect(child.digest);
      return manifest;
    }
    const config = await layout.blob(soleRepository, manifest.config.digest);
    if (!config) throw incomplete(where, `config ${manifest.config.digest}`);
    const what = `config of ${where}`;
    configs.set(
      manifest.config.digest,
      await readVerified(config, manifest.config.digest, configLimit, what),
    );
    for (const { digest } of manifest.layers) {
      const plan = await fileOf(tree, planPath(digest));
      if (!plan) continue;
      plans.set(
        digest,
        parseLayerPlan(await readAll(plan, planLimit), `${where}/${planPath(digest)}`),
      );
    }
    return manifest;
  }
}

/** Larger than the plan of any real layer, in bytes. */
export const planLimit = 64 * manifestLimit;

function incomplete(where: string, what: string): OciError {
  return new OciError('NOT_FOUND', `${where} is incomplete: ${what} is missing`, {
    hint: 'Build the image again.',
  });
}
