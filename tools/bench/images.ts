import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { network } from '@cluster-image/distribution';
import {
  bytes,
  createContext,
  type Digest,
  digestOf,
  mediaTypes,
  parseManifest,
  type Registry,
} from '@cluster-image/oci';
import { tarball } from '@cluster-image/storage';

const MB = 1_000_000;

/** Images as a platform team has them: 16 of them, about 360 MB unique, on four bases that are shared. */
export const shape = {
  images: 16,
  bases: 4,
  base: 30 * MB,
  own: [8 * MB, 6 * MB, 1 * MB],
} as const;

export interface Pushed {
  readonly references: readonly string[];
  /** Every blob once, in bytes. */
  readonly unique: number;
}

/** Makes the images and pushes them to a registry. Layers are gzip, as upstream's are, of bytes that do not compress. */
export async function pushImages(host: string): Promise<Pushed> {
  const sizes = new Map<Digest, number>();
  const references: string[] = [];
  await withRegistry(host, async (registry) => {
    for (let at = 0; at < shape.images; at++) {
      const layers = await layersOf(at);
      for (const { body } of layers) sizes.set(digestOf(body), body.length);
      await pushImage(registry, repositoryOf(at), layers);
      references.push(`${host}/${repositoryOf(at)}:1.0`);
    }
  });
  return { references, unique: [...sizes.values()].reduce((sum, size) => sum + size, 0) };
}

async function withRegistry(
  host: string,
  job: (registry: Registry) => Promise<void>,
): Promise<void> {
  const opened = network({ context: createContext(), hosts: { [host]: { plainHttp: true } } });
  try {
    await job(opened.registry(host));
  } finally {
    await opened.close();
  }
}

function repositoryOf(at: number): string {
  return `team/image-${at}`;
}

async function layersOf(at: number): Promise<readonly Layer[]> {
  return [
    await gzipLayer(`base ${at % shape.bases}`, shape.base),
    ...(await Promise.all(shape.own.map((size, layer) => gzipLayer(`image ${at} ${layer}`, size)))),
  ];
}

/** Gives the first image another top layer, under the same tag. */
export async function changeImage({ references }: Pushed, seed: string): Promise<void> {
  const [reference = ''] = references;
  const host = reference.slice(0, reference.indexOf('/'));
  await withRegistry(host, async (registry) => {
    const layers = await layersOf(0);
    const changed = await gzipLayer(`changed ${seed}`, shape.own[0]);
    await pushImage(registry, repositoryOf(0), [
      ...layers.slice(0, 1),
      changed,
      ...layers.slice(2),
    ]);
  });
}

interface Layer {
  readonly body: Uint8Array;
  readonly diffId: Digest;
}

async function pushImage(
  registry: Registry,
  repository: string,
  layers: readonly Layer[],
): Promise<void> {
  const config = json({
    architecture: 'amd64',
    os: 'linux',
    config: {},
    rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
  });
  const manifest = parseManifest(
    json({
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config: { mediaType: mediaTypes.ociConfig, digest: digestOf(config), size: config.length },
      layers: layers.map(({ body }) => ({
        mediaType: mediaTypes.ociLayerGzip,
        digest: digestOf(body),
        size: body.length,
      })),
    }),
    repository,
  );
  for (const { body } of layers) await registry.putBlob(repository, digestOf(body), bytes(body));
  await registry.putBlob(repository, digestOf(config), bytes(config));
  await registry.putManifest(repository, manifest, '1.0');
}

/** A layer with one file of bytes that depend on the seed. */
async function gzipLayer(seed: string, size: number): Promise<Layer> {
  const content = bytes(noise(seed, size));
  const path = seed.replaceAll(' ', '-');
  const tar = tarball([{ type: 'file', path, mode: 0o644, content }]);
  const plain = Buffer.concat(await Array.fromAsync(tar.open()));
  return { body: gzipSync(plain, { level: 0 }), diffId: digestOf(plain) };
}

function noise(seed: string, size: number): Uint8Array {
  return createHash('shake256', { outputLength: size }).update(seed).digest();
}

function json(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}
