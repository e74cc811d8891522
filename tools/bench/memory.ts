import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { handler, listen } from '@cluster-image/distribution';
import {
  bytes,
  type Content,
  digestContent,
  digestOf,
  memory as inMemory,
  mediaTypes,
  parseManifest,
  type RegistryReader,
} from '@cluster-image/oci';
import { clusterImage, result } from '../../e2e/support/run.ts';
import { dockerRegistry } from '../../e2e/support/servers.ts';
import type { Finding } from './stopwatch.ts';

const layerSize = 500_000_000;
const mebibyte = 1024 * 1024;

/** The most memory that moving large images takes: a gigabyte of them, and ten. */
export async function memory(_: number, work: string): Promise<readonly Finding[]> {
  const rows: [string, readonly number[]][] = [];
  for (const images of [2, 20]) {
    const at = join(work, `images-${images}`);
    rows.push([`${(images * layerSize) / 1e9} GB`, await peaks(images, at)]);
    await rm(at, { recursive: true });
  }
  const shown = rows.map(
    ([size, all]) => `${size}: ${all.map((peak) => Math.round(peak / mebibyte)).join(', ')} MiB`,
  );
  for (const row of shown) console.log(`cache, build and push of ${row}`);
  return [
    {
      what: 'memory of cache, build and push',
      expected: '≤ 256 MiB, flat',
      measured: shown.join('; '),
    },
  ];
}

/** The most memory that cache, build and push had resident, in bytes. */
async function peaks(images: number, at: string): Promise<readonly number[]> {
  const upstream = await largeImages(images);
  const server = await listen(handler(upstream));
  const target = await dockerRegistry(join(at, 'target'), at);
  try {
    const context = join(at, 'context');
    await mkdir(join(context, 'images/shim'), { recursive: true });
    const references = Array.from({ length: images }, (_, n) => `${server.url.host}/large/${n}:1`);
    await writeFile(join(context, 'images/shim/list'), `${references.join('\n')}\n`);
    await writeFile(join(context, 'Kubefile'), 'FROM scratch\nCOPY registry ./registry\n');
    const env = { CLUSTER_IMAGE_STORE: join(at, 'store') };
    const plain = ['--plain-http', server.url.host, '--plain-http', target.host];
    await result(['lock', context, ...plain], { env });
    const all: number[] = [];
    for (const args of [
      ['cache', context],
      ['build', context, '-t', 'large:1'],
      ['push', 'large:1', `docker://${target.host}/large:1`],
    ]) {
      const { code, peak, stderr } = await clusterImage([...args, ...plain], { env });
      if (code !== 0) throw new Error(`${args.join(' ')} ended with ${code}\n${stderr}`);
      all.push(peak);
    }
    return all;
  } finally {
    await target.stop();
    await server.close();
  }
}

/** Images of one layer each, which is computed when it is asked for. */
async function largeImages(count: number): Promise<RegistryReader> {
  const registry = inMemory();
  const layers = new Map<string, Content>();
  for (let at = 0; at < count; at++) {
    const layer = numbered(at);
    const digest = await digestContent(layer);
    layers.set(digest, layer);
    const config = Buffer.from(
      JSON.stringify({
        architecture: 'amd64',
        os: 'linux',
        rootfs: { type: 'layers', diff_ids: [digest] },
      }),
    );
    await registry.putBlob(`large/${at}`, digestOf(config), bytes(config));
    const manifest = {
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config: { mediaType: mediaTypes.ociConfig, digest: digestOf(config), size: config.length },
      layers: [{ mediaType: mediaTypes.ociLayer, digest, size: layer.size }],
    };
    const body = Buffer.from(JSON.stringify(manifest));
    await registry.putManifest(`large/${at}`, parseManifest(body, 'large'), '1');
  }
  return {
    ...registry,
    blob: async (repository, digest, size) =>
      layers.get(digest) ?? registry.blob(repository, digest, size),
  };
}

/** A number, and zeros behind it. */
function numbered(number: number): Content {
  return {
    size: layerSize,
    async *open({ start, end } = { start: 0, end: layerSize }) {
      for (let at = start; at < end; ) {
        const chunk = Buffer.alloc(Math.min(mebibyte, end - at));
        if (at === 0) chunk[0] = number;
        at += chunk.length;
        yield chunk;
      }
    },
  };
}
