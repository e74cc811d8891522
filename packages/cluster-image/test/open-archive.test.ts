import {
  type Content,
  createContext,
  describe as describeManifest,
  digestOf,
  type ImageManifest,
  mediaTypes,
  parseManifest,
  type RegistryReader,
  rangeOf,
} from '@cluster-image/oci';
import { archive, imageArchive, soleRepository, virtualRegistry } from '@cluster-image/storage';
import { imageFixture } from '@cluster-image/testing';
import { expect, test } from 'vitest';
import { openCluster } from '../src/open-cluster.ts';
import { assembled, manifestIn } from './assemble/assembly.ts';
import { clusterOf } from './cluster.ts';
import { contextDirectory } from './context.ts';

const gigabyte = 2 ** 30;
/** What is read at a time while headers are looked for, in bytes. */
const windowSize = 64 * 1024;

/** Zeros that nobody has written anywhere. */
function zeros(size: number): Content {
  return {
    size,
    async *open(range) {
      const { start, end } = rangeOf(size, range);
      for (let at = start; at < end; at += windowSize) {
        yield new Uint8Array(Math.min(windowSize, end - at));
      }
    },
  };
}

/** The same content, counting what is read of it. */
function counted(content: Content): { content: Content; reads: number; bytes: number } {
  const count = {
    reads: 0,
    bytes: 0,
    content: {
      ...content,
      async *open(range?: Parameters<Content['open']>[0]) {
        count.reads += 1;
        for await (const chunk of content.open(range)) {
          count.bytes += chunk.length;
          yield chunk;
        }
      },
    },
  };
  return count;
}

/** The image with a layer of ten gigabytes below its own. */
function heavy(image: ImageManifest): { root: ImageManifest; layer: Content } {
  const layer = zeros(10 * gigabyte);
  const descriptor = {
    mediaType: mediaTypes.ociLayer,
    digest: digestOf(Buffer.from('heavy')),
    size: layer.size,
  };
  const { mediaType, config } = image;
  const body = { schemaVersion: 2, mediaType, config, layers: [descriptor, ...image.layers] };
  const root = parseManifest(Buffer.from(JSON.stringify(body)), 'heavy');
  if (root.kind !== 'image') throw new Error('no image');
  return { root, layer };
}

test('of a saved cluster image of ten gigabytes only headers, manifest and index are read', async () => {
  const cluster = await clusterOf(
    {
      'docker.io/acme/web:1': imageFixture(),
      'docker.io/acme/app:1': imageFixture({ seed: 'app' }),
    },
    { root: await contextDirectory({ Kubefile: 'FROM scratch\nCOPY registry ./registry' }) },
  );
  await cluster.fill();
  const built = await assembled(cluster);
  const { root, layer } = heavy(manifestIn(built));
  const source: RegistryReader = {
    ...virtualRegistry(built, cluster.store.blobs),
    blob: async (repository, digest, size) =>
      size === layer.size
        ? layer
        : virtualRegistry(built, cluster.store.blobs).blob(repository, digest, size),
  };
  const name = { tag: '1', reference: 'a.io/cluster:1' };
  const saved = await imageArchive(source, soleRepository, root, name, 'docker');
  expect(saved.size).toBeGreaterThan(10 * gigabyte);

  const count = counted(saved);
  const layout = await archive(count.content, 'saved.tar');
  const image = { registry: layout, repository: soleRepository, reference: root.digest };
  const { store } = cluster;
  const registry = await openCluster(image, [], 'saved.tar', { store, context: createContext() });
  const found = await registry.resolve('acme/web', '1');
  const manifest = found && (await registry.manifest('acme/web', found.digest));
  expect(manifest && describeManifest(manifest)).toEqual(found);
  // Each entry's header, and now and then a file that is small.
  const entries = root.layers.length + 8;
  expect(count.reads).toBeLessThan(entries + 16);
  expect(count.bytes).toBeLessThan((entries + 16) * windowSize);
});
