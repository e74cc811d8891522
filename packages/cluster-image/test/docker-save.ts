import { bytes, type Digest, digestHex, type ImageManifest, readAll } from '@cluster-image/oci';
import { type TarEntry, tarball } from '@cluster-image/storage';
import type { ImageFixture } from '@cluster-image/testing';

type Saved = ImageFixture & { readonly root: ImageManifest };

/** The archive of an image as docker before 25 writes it: its config and layers, and no manifest. */
export async function dockerSave(image: Saved, ...names: readonly string[]): Promise<Uint8Array> {
  return dockerSaveAll([[image, names]]);
}

/** The archive of several images. */
export async function dockerSaveAll(
  images: readonly (readonly [image: Saved, names: readonly string[]])[],
): Promise<Uint8Array> {
  const files: TarEntry[] = [];
  const add = (path: string, body: Uint8Array | undefined): string => {
    if (!body) throw new Error(`nothing for ${path}`);
    files.push({ type: 'file', path, mode: 0o644, content: bytes(body) });
    return path;
  };
  const listing = images.map(([{ root, blobs }, names]) => {
    const layerOf = ({ digest }: { readonly digest: Digest }): string =>
      add(`${digestHex(digest)}/layer.tar`, blobs.get(digest));
    const Layers = root.layers.map(layerOf);
    const { digest } = root.config;
    const Config = add(`${digestHex(digest)}.json`, blobs.get(digest));
    return { Config, RepoTags: names, Layers };
  });
  add('manifest.json', Buffer.from(JSON.stringify(listing)));
  const archive = tarball(files);
  return readAll(archive, archive.size);
}
