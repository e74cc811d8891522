import { OciError, type RegistryReader } from '@cluster-image/oci';
import { type BlobSource, manifestsOf } from '@cluster-image/storage';
import { type ClusterIndex, type IndexedLayer, openIndex } from './cluster-index.ts';
import { clusterRegistry } from './cluster-registry.ts';
import { givenLocation } from './given-location.ts';
import { manifestOf, openImage } from './images.ts';
import { partsReader } from './parts.ts';
import type { Workspace } from './workspace.ts';

/** A cluster image that was built before: layers that the next one may take over, and parts for it. */
export interface EarlierImage {
  readonly layers: readonly IndexedLayer[];
  /** What is inside, by digest, whatever the repository is called. */
  readonly registry: RegistryReader;
}

/**
 * Opens an earlier cluster image for all of its platforms. Throws NOT_FOUND where there is none, and
 * UNSUPPORTED for one without an index.
 *
 * @param what its location, as a user gave it
 */
export async function openEarlier(what: string, workspace: Workspace): Promise<EarlierImage> {
  const image = await openImage(await givenLocation(what, workspace), workspace);
  const { registry, repository } = image;
  const root = await manifestOf(image);
  const layers: BlobSource = (digest, size) => registry.blob(repository, digest, size);
  const indexes: ClusterIndex[] = [];
  for (const manifest of await manifestsOf(registry, repository, root.digest)) {
    const index = manifest.kind === 'image' && (await openIndex(manifest, layers, what));
    if (index) indexes.push(index);
  }
  if (indexes.length === 0) {
    throw new OciError('UNSUPPORTED', `${what} has no index that says where its parts lie`, {
      hint: 'Only images that were built with this tool have one.',
    });
  }
  const insides = indexes.map((index) => clusterRegistry(index, layers, what).blobs);
  const blobs: BlobSource = async (digest, size) => {
    for (const inside of insides) {
      const found = await inside(digest, size);
      if (found) return found;
    }
    return undefined;
  };
  return { layers: indexes.flatMap((index) => index.layers), registry: partsReader(blobs) };
}
