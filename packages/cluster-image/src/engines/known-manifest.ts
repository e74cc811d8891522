import { type Descriptor, describe, type ImageManifest, parseManifest } from '@cluster-image/oci';
import { type LayoutReader, soleRepository } from '@cluster-image/storage';
import type { KnownManifest } from './engine.ts';

/**
 * The one image of an archive, with the manifest it came with: the very same where its layers were not
 * compressed, so that it keeps its digest; else one for the layers that there are, with the annotations
 * of the other.
 */
export async function withManifest(
  archive: LayoutReader,
  known: KnownManifest,
  what: string,
): Promise<LayoutReader> {
  const plain = await soleManifest(archive);
  const root = plain && manifestFor(plain, known, what);
  if (!root) return archive;
  return {
    ...archive,
    async resolve(repository, reference): Promise<Descriptor | undefined> {
      if (repository === soleRepository && reference === root.digest) return describe(root);
      const found = await archive.resolve(repository, reference);
      return found?.digest === plain.digest ? describe(root) : found;
    },
    manifest: async (repository, digest) =>
      repository === soleRepository && digest === root.digest
        ? root
        : archive.manifest(repository, digest),
  };
}

async function soleManifest(archive: LayoutReader): Promise<ImageManifest | undefined> {
  const [name, ...others] = await Array.fromAsync(archive.tags(soleRepository));
  if (name === undefined || others.length > 0) return undefined;
  const found = await archive.resolve(soleRepository, name);
  const manifest = found && (await archive.manifest(soleRepository, found.digest));
  return manifest?.kind === 'image' ? manifest : undefined;
}

function manifestFor(
  plain: ImageManifest,
  { manifest, annotations = manifest?.annotations ?? {} }: KnownManifest,
  what: string,
): ImageManifest | undefined {
  if (manifest?.kind === 'image') {
    if (manifest.config.digest !== plain.config.digest) return undefined;
    if (layersOf(manifest) === layersOf(plain)) return manifest;
  }
  if (Object.keys(annotations).length === 0) return undefined;
  const { mediaType, config, layers } = plain;
  const body = { schemaVersion: 2, mediaType, config, layers, annotations };
  const made = parseManifest(Buffer.from(JSON.stringify(body)), what);
  return made.kind === 'image' ? made : undefined;
}

function layersOf({ layers }: ImageManifest): string {
  return layers.map(({ digest, size }) => `${digest} ${size}`).join();
}
