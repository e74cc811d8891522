import {
  type ImageManifest,
  matchesPlatform,
  OciError,
  parsePlatform,
  type RegistryReader,
} from '@cluster-image/oci';
import { type BlobSource, distributionReader, imageTree, subTree } from '@cluster-image/storage';
import { absorbed, noCluster } from './absorb.ts';
import { registryDirectory } from './assemble/assemble.ts';
import { openIndex } from './cluster-index.ts';
import { clusterRegistry } from './cluster-registry.ts';
import { type LocatedImage, manifestOf } from './images.ts';
import type { Workspace } from './workspace.ts';

/**
 * The registry inside a cluster image, wherever that lies. One with an index is read by range, and so
 * is one whose layers are not compressed; of others the blobs inside are streamed into the store,
 * once.
 *
 * Throws INPUT_INVALID for what is no cluster image, and USAGE where a platform has to be chosen.
 *
 * @param platforms at most one, of an image for several
 * @param what how errors name the image
 */
export async function openCluster(
  image: LocatedImage,
  platforms: readonly string[],
  what: string,
  { store, context }: Pick<Workspace, 'store' | 'context'>,
): Promise<RegistryReader> {
  const manifest = await imageManifestOf(image, platforms, what);
  const layers: BlobSource = (digest, size) => image.registry.blob(image.repository, digest, size);
  const index = await openIndex(manifest, layers, what);
  if (index?.isComplete) return clusterRegistry(index, layers, what);
  if (manifest.layers.some(({ mediaType }) => /gzip|zstd/.test(mediaType))) {
    return absorbed(manifest, layers, store, context, what);
  }
  const files = await imageTree(manifest, ({ digest, size }) => layers(digest, size), what);
  if (!(await files.entry(`${registryDirectory}/docker`))) throw noCluster(what);
  return distributionReader(subTree(files, registryDirectory), what);
}

async function imageManifestOf(
  image: LocatedImage,
  platforms: readonly string[],
  what: string,
): Promise<ImageManifest> {
  const root = await manifestOf(image);
  if (root.kind === 'image') return root;
  const [platform, ...others] = platforms.map(parsePlatform);
  const children = root.manifests.filter(
    (child) => platform === undefined || matchesPlatform(platform, child.platform),
  );
  const [child, ...more] = children;
  if (child && others.length === 0 && (platform || more.length === 0)) {
    const manifest = await image.registry.manifest(image.repository, child.digest);
    if (manifest?.kind === 'image') return manifest;
    throw new OciError('NOT_FOUND', `${what} has no manifest ${child.digest}`);
  }
  if (platform && !child) {
    throw new OciError('NOT_FOUND', `${what} is not there for ${platforms.join(', ')}`);
  }
  throw new OciError('USAGE', `${what} is for several platforms`, {
    hint: 'Choose one with --platform.',
  });
}
