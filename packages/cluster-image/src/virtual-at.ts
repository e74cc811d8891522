import {
  configLimit,
  type Digest,
  formatReference,
  type Manifest,
  OciError,
  type Reference,
  readVerified,
} from '@cluster-image/oci';
import type { VirtualImage } from '@cluster-image/storage';
import { type LocatedImage, manifestOf } from './images.ts';

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
