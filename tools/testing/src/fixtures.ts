import { createHash } from 'node:crypto';
import {
  bytes,
  type Descriptor,
  type Digest,
  describe,
  digestOf,
  type ImageManifest,
  type IndexManifest,
  type Manifest,
  mediaTypes,
  parseManifest,
  parsePlatform,
  type Registry,
} from '@cluster-image/oci';

/** Bytes that look random, always the same for a seed. */
export function noise(seed: string, size: number): Uint8Array {
  const out = new Uint8Array(size);
  let block = createHash('sha256').update(seed).digest();
  for (let at = 0; at < size; at += block.length) {
    out.set(block.subarray(0, Math.min(block.length, size - at)), at);
    block = createHash('sha256').update(block).digest();
  }
  return out;
}

export interface ImageFixture {
  readonly root: Manifest;
  readonly manifests: readonly Manifest[];
  readonly blobs: ReadonlyMap<Digest, Uint8Array>;
}

export interface ImageOptions {
  /** Makes the image's bytes its own. */
  readonly seed?: string;
  readonly platform?: string;
  /** The layers' sizes in bytes, or their bytes. */
  readonly layers?: readonly (number | Uint8Array)[];
  readonly annotations?: Readonly<Record<string, string>>;
  readonly config?: Readonly<Record<string, unknown>>;
}

/** A small image, complete and always the same for the same options. */
export function imageFixture(options: ImageOptions = {}): ImageFixture & { root: ImageManifest } {
  const { seed = 'image', platform = 'linux/amd64', layers = [1000, 3000] } = options;
  const bodies = layers.map((layer, at) =>
    typeof layer === 'number' ? noise(`${seed} layer ${at}`, layer) : layer,
  );
  const blobs = new Map(bodies.map((body) => [digestOf(body), body]));
  const config = json({
    ...parsePlatform(platform),
    config: {},
    ...options.config,
    rootfs: { type: 'layers', diff_ids: bodies.map((body) => digestOf(body)) },
  });
  blobs.set(digestOf(config), config);
  const root = parseManifest(
    json({
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config: descriptor(mediaTypes.ociConfig, config),
      layers: bodies.map((body) => descriptor(mediaTypes.ociLayer, body)),
      ...(options.annotations && { annotations: options.annotations }),
    }),
    seed,
  );
  if (root.kind !== 'image') throw new Error('not an image');
  return { root, manifests: [root], blobs };
}

/** An index of images for several platforms. */
export function indexFixture(
  platforms: readonly string[],
  options: ImageOptions = {},
): ImageFixture & { root: IndexManifest } {
  const images = platforms.map((platform) =>
    imageFixture({ ...options, platform, seed: `${options.seed ?? 'image'} ${platform}` }),
  );
  const root = parseManifest(
    json({
      schemaVersion: 2,
      mediaType: mediaTypes.ociIndex,
      manifests: images.map((image, at) => ({
        ...describe(image.root),
        platform: parsePlatform(platforms[at] ?? ''),
      })),
    }),
    'index',
  );
  if (root.kind !== 'index') throw new Error('not an index');
  return {
    root,
    manifests: [...images.flatMap((image) => image.manifests), root],
    blobs: new Map(images.flatMap((image) => [...image.blobs])),
  };
}

/** Stores a fixture, parts before wholes. */
export async function putFixture(
  registry: Registry,
  repository: string,
  fixture: ImageFixture,
  tag?: string,
): Promise<void> {
  for (const [digest, body] of fixture.blobs) {
    await registry.putBlob(repository, digest, bytes(body));
  }
  for (const manifest of fixture.manifests) {
    await registry.putManifest(repository, manifest, manifest === fixture.root ? tag : undefined);
  }
}

function json(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

function descriptor(mediaType: string, body: Uint8Array): Descriptor {
  return { mediaType, digest: digestOf(body), size: body.length };
}
