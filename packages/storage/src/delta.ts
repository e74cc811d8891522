import {
  type Descriptor,
  type Digest,
  isForeign,
  type Manifest,
  OciError,
  type RegistryReader,
} from '@cluster-image/oci';
import { type Since, soleRepository } from './oci-layout.ts';

/** An image that another one is saved since: whoever takes the other has this one already. */
export interface Earlier extends Since {
  /** Its manifests, those of its platforms among them, as far as they are there. */
  readonly manifests: readonly Manifest[];
}

/** What an image in a layout or archive lacks that was saved since another one. */
export interface Delta {
  readonly since: Since;
  /** Layers that are not there because the earlier image has them. */
  readonly leftOut: readonly Descriptor[];
  /** Layers that are not there although the earlier image does not have them. */
  readonly lost: readonly Descriptor[];
}

/** Throws NOT_FOUND where the registry has no such manifest. */
export async function earlierImage(
  registry: RegistryReader,
  repository: string,
  since: Since,
): Promise<Earlier> {
  const manifests = await manifestsOf(registry, repository, since.digest);
  if (manifests.length > 0) return { ...since, manifests };
  throw new OciError('NOT_FOUND', `${since.name ?? 'the image'} has no manifest ${since.digest}`);
}

/** What an image, or one platform of it, lacks in a layout or archive in which it was saved since another one. */
export async function deltaOf(layout: RegistryReader, image: Digest, since: Since): Promise<Delta> {
  const earlier = layersOf(await manifestsOf(layout, soleRepository, since.digest));
  const leftOut: Descriptor[] = [];
  const lost: Descriptor[] = [];
  for (const layer of layersOf(await manifestsOf(layout, soleRepository, image)).values()) {
    if (isForeign(layer) || (await layout.blob(soleRepository, layer.digest))) continue;
    (earlier.has(layer.digest) ? leftOut : lost).push(layer);
  }
  return { since, leftOut, lost };
}

/** The layers of some manifests, each once. */
export function layersOf(manifests: readonly Manifest[]): ReadonlyMap<Digest, Descriptor> {
  const images = manifests.flatMap((manifest) => (manifest.kind === 'image' ? [manifest] : []));
  return new Map(
    images.flatMap(({ layers }) => layers.map((layer) => [layer.digest, layer] as const)),
  );
}

/** An image's manifests as far as they are there, an index before what it names. */
export async function manifestsOf(
  registry: RegistryReader,
  repository: string,
  image: Digest,
): Promise<readonly Manifest[]> {
  const found = new Map<Digest, Manifest>();
  const wanted = [image];
  for (const digest of wanted) {
    const manifest = found.has(digest) ? undefined : await registry.manifest(repository, digest);
    if (!manifest) continue;
    found.set(digest, manifest);
    if (manifest.kind === 'index') wanted.push(...manifest.manifests.map(({ digest }) => digest));
  }
  return [...found.values()];
}
