import { join } from 'node:path';
import {
  type Context,
  type Digest,
  digestAlgorithm,
  digestHex,
  isTag,
  nameOf,
  type Reference,
} from '@cluster-image/oci';
import { directory } from './directory.ts';
import type { Disk } from './disk.ts';
import { type DistributionLayout, distributionLayout } from './distribution-layout.ts';
import { layoutPaths } from './distribution-paths.ts';
import { type FileSystem, nodeFileSystem, onDisk } from './file-system.ts';
import type { BlobSource } from './layer.ts';
import { type LayerDigests, layerDigests } from './layer-digests.ts';
import { type Pruned, type PruneOptions, prune } from './prune.ts';
import { type Renderings, renderings } from './renderings.ts';
import { type Pinned, remember } from './roots.ts';
import { type Scratch, scratch } from './scratch.ts';
import { type Use, uses } from './uses.ts';
import { readThinImage, type VirtualImage, writeThinImage } from './virtual-image.ts';

export type { Pruned, PruneOptions } from './prune.ts';
export type { Renderings } from './renderings.ts';
export type { Pin, Pinned } from './roots.ts';
export type { Scratch } from './scratch.ts';
export type { Use } from './uses.ts';

/**
 * The content store: every blob once, shared by every project of a machine.
 *
 *     <root>/
 *       docker/registry/v2/   images as their upstream has them; a repository is named host/path
 *       images/<name>/_tags/<tag>/   cluster images that were built here, thin
 *       layers/sha256/<plan digest>  the digest of the layer that a plan stands for
 *       unpacked/sha256/<image digest>  what was found in a cluster image whose layers are compressed
 *       renderings/sha256/<digest>  what was rendered from inputs with that digest
 *       roots/<hex>.json      what a lockfile pins
 *       .staging/             what is on its way in
 *       .uses/                who is at work with the store
 */
export interface Store {
  readonly root: string;
  readonly registry: DistributionLayout;
  /** Blobs by digest alone. */
  readonly blobs: BlobSource;
  readonly layers: LayerDigests;
  /** A cluster image that was built here under that name. */
  image(reference: Reference): Promise<VirtualImage | undefined>;
  putImage(reference: Reference, image: VirtualImage): Promise<void>;
  /** Forgets a built image, because another one has its name now. */
  removeImage(reference: Reference): Promise<void>;
  /** What was noted down of an image elsewhere. Blobs whose digests are in it stay as long as it does. */
  note(image: Digest): Promise<string | undefined>;
  putNote(image: Digest, text: string): Promise<void>;
  /** What charts came to. */
  readonly renderings: Renderings;
  /** Says that this process relies on what is in the store, from when it returns to the end of the use. */
  use(context: Context): Promise<Use>;
  /** Holds on to what a lockfile pins, for as long as there is that lockfile. */
  remember(pinned: Pinned): Promise<void>;
  /** A file on the store's disk that is nobody's; see `Scratch`. */
  scratch(): Promise<Scratch>;
  /** Removes what nothing holds on to. Not for who uses it. */
  prune(options: PruneOptions, context: Context): Promise<Pruned>;
}

export function openStore(root: string, fs: FileSystem = nodeFileSystem): Store {
  const registry = touching(distributionLayout(root, { fs, resumable: true }));
  const { disk } = registry;
  const inUse = uses(disk);
  const blobs: BlobSource = (digest) => registry.content(digest);
  const notePath = (image: Digest): string =>
    disk.path('unpacked', digestAlgorithm(image), digestHex(image));
  return {
    root,
    registry,
    blobs,
    layers: layerDigests(disk, blobs),
    async note(image) {
      const found = await disk.text(notePath(image));
      if (found !== undefined) await touch(disk, notePath(image));
      return found;
    },
    putNote: (image, text) => disk.write(notePath(image), text),
    renderings: renderings(disk),
    async image(reference) {
      const path = imagePath(registry, reference);
      const found = await readThinImage(directory(path, undefined, fs), path);
      if (found) await touch(disk, join(path, 'index.json'));
      return found;
    },
    putImage: (reference, image) => writeThinImage(imagePath(registry, reference), image, fs),
    async removeImage(reference) {
      const path = imagePath(registry, reference);
      await onDisk(fs, path, async () => {
        // First, so that what is left of an interrupted removal is no image.
        await fs.rm(join(path, 'index.json'), { force: true });
        await fs.rm(path, { recursive: true, force: true });
      });
    },
    use: (context) => inUse.begin(context),
    remember: (pinned) => remember(disk, pinned),
    scratch: () => scratch(disk),
    prune: (options, context) => prune(disk, inUse, options, context),
  };
}

/** The same registry, in which the link of a tag is as old as the last use of the tag. */
function touching(layout: DistributionLayout): DistributionLayout {
  const used = (repository: string, tag: string): Promise<void> =>
    touch(layout.disk, layout.disk.path(layoutPaths.tag(repository, tag)));
  return {
    ...layout,
    async resolve(repository, reference) {
      const found = await layout.resolve(repository, reference);
      if (found && isTag(reference)) await used(repository, reference);
      return found;
    },
    async putManifest(repository, manifest, tag) {
      await layout.putManifest(repository, manifest, tag);
      if (tag !== undefined) await used(repository, tag);
    },
  };
}

/** Makes a file of the store count as changed now. Who may not write it leaves it. */
async function touch({ fs }: Disk, path: string): Promise<void> {
  await fs.chmod(path, 0o644).catch(() => {});
}

function imagePath(registry: DistributionLayout, reference: Reference): string {
  const tag = reference.tag ?? 'latest';
  // Checked as everything that becomes a path.
  layoutPaths.tag(nameOf(reference), tag);
  return registry.disk.path('images', nameOf(reference), '_tags', tag);
}
