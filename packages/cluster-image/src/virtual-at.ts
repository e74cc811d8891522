import {
  configLimit,
  type Digest,
  formatReference,
  type Manifest,
  OciError,
  type Reference,
  readVerified,
} from '@cluster-image/oci';
import { directory, readThinImage, type VirtualImage } from '@cluster-image/storage';
import { deliver, type LocatedImage, manifestOf, openImage } from './images.ts';
import type { Location } from './location.ts';
import type { Workspace } from './workspace.ts';

/**
 * The image at a location as what it is assembled of. Layers that no plan makes are in the store then.
 *
 * @param name what it is called; it is kept in that repository of the store
 */
export async function virtualAt(
  location: Location,
  name: Reference,
  workspace: Workspace,
): Promise<VirtualImage> {
  const planned = await plannedAt(location, workspace);
  if (planned) return planned;
  const { tag: _, ...repository } = name;
  const source = await openImage(location, workspace);
  const { digest } = await deliver(source, { kind: 'store', reference: repository }, workspace);
  const reference = { ...repository, digest };
  return withoutLayers(await openImage({ kind: 'store', reference }, workspace), name);
}

async function plannedAt(
  location: Location,
  { store, path }: Workspace,
): Promise<VirtualImage | undefined> {
  switch (location.kind) {
    case 'oci': {
      const tree = directory(path(location.path));
      return (await tree.entry('plans')) && readThinImage(tree, location.path);
    }
    case 'store': {
      const built = await store.image(location.reference);
      const { digest = built?.root.digest } = location.reference;
      return built?.root.digest === digest ? built : undefined;
    }
    default:
      return undefined;
  }
}

/** An image of a registry, without the bytes of its layers. */
export async function withoutLayers(
  image: LocatedImage,
  reference: Reference,
): Promise<VirtualImage> {
  const { registry, repository } = image;
  const manifests = new Map<Digest, Manifest>();
  const configs = new Map<Digest, Uint8Array>();
  const root = await manifestOf(image);
  await collect(root);
  return { name: formatReference(reference), root, manifests, configs, plans: new Map() };

  async function collect(manifest: Manifest): Promise<void> {
    manifests.set(manifest.digest, manifest);
    if (manifest.kind === 'index') {
      for (const { digest } of manifest.manifests) {
        await collect(await manifestOf({ registry, repository, reference: digest }));
      }
      return;
    }
    const { digest, size } = manifest.config;
    const config = await registry.blob(repository, digest, size);
    if (!config) throw new OciError('NOT_FOUND', `config ${digest} is not in the store`);
    configs.set(digest, await readVerified(config, digest, configLimit, `config ${digest}`));
  }
}
