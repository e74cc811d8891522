import { join } from 'node:path';
import {
  type Digest,
  digestAlgorithm,
  digestHex,
  nameOf,
  type Reference,
} from '@cluster-image/oci';
import { directory } from './directory.ts';
import { type DistributionLayout, distributionLayout } from './distribution-layout.ts';
import { layoutPaths } from './distribution-paths.ts';
import { type FileSystem, nodeFileSystem, onDisk } from './file-system.ts';
import type { BlobSource } from './layer.ts';
import { type LayerDigests, layerDigests } from './layer-digests.ts';
import { readThinImage, type VirtualImage, writeThinImage } from './virtual-image.ts';

/**
 * The content store: every blob once, shared by every project of a machine.
 *
 *     <root>/
 *       docker/registry/v2/   images as their upstream has them; a repository is named host/path
 *       images/<name>/_tags/<tag>/   cluster images that were built here, thin
 *       layers/sha256/<plan digest>  the digest of the layer that a plan stands for
 *       unpacked/sha256/<image digest>  what was found in a cluster image whose layers are compressed
 *       .staging/             what is on its way in
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
  /** What was noted down of an image elsewhere. */
  note(image: Digest): Promise<string | undefined>;
  putNote(image: Digest, text: string): Promise<void>;
}

export function openStore(root: string, fs: FileSystem = nodeFileSystem): Store {
  const registry = distributionLayout(root, { fs, resumable: true });
  const blobs: BlobSource = (digest) => registry.content(digest);
  const notePath = (image: Digest): string =>
    registry.disk.path('unpacked', digestAlgorithm(image), digestHex(image));
  return {
    root,
    registry,
    blobs,
    layers: layerDigests(registry.disk, blobs),
    note: (image) => registry.disk.text(notePath(image)),
    putNote: (image, text) => registry.disk.write(notePath(image), text),
    image: (reference) => {
      const path = imagePath(registry, reference);
      return readThinImage(directory(path, undefined, fs), path);
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
  };
}

function imagePath(registry: DistributionLayout, reference: Reference): string {
  const tag = reference.tag ?? 'latest';
  // Checked as everything that becomes a path.
  layoutPaths.tag(nameOf(reference), tag);
  return registry.disk.path('images', nameOf(reference), '_tags', tag);
}
