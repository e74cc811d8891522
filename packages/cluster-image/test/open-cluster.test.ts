import { gzipSync } from 'node:zlib';
import {
  bytes,
  createContext,
  type Descriptor,
  type Digest,
  digestOf,
  fileOf,
  type ImageManifest,
  mediaTypes,
  memory,
  parseDigest,
  parseManifest,
  type RegistryReader,
  readAll,
} from '@cluster-image/oci';
import {
  distributionReader,
  soleRepository,
  subTree,
  tarball,
  tarTree,
  virtualRegistry,
} from '@cluster-image/storage';
import { faultRegistry, imageFixture, indexFixture } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { indexAnnotation, indexPath } from '../src/cluster-index.ts';
import type { LocatedImage } from '../src/images.ts';
import { openCluster } from '../src/open-cluster.ts';
import { openRegistry } from '../src/registries.ts';
import { assembled, manifestIn, unpacked } from './assemble/assembly.ts';
import { type Cluster, clusterOf, emptyStore } from './cluster.ts';
import { contextDirectory } from './context.ts';
import { failureOf } from './failure.ts';
import { place } from './place.ts';

const megabyte = 1024 * 1024;
const web = imageFixture({ seed: 'web', layers: [megabyte + 5, 100] });
const pinned = indexFixture(['linux/amd64', 'linux/arm64'], { seed: 'pinned', layers: [300] });
const fixtures = {
  'docker.io/acme/web:1.0': web,
  'quay.io/acme/web:2.0': imageFixture({ seed: 'web 2', layers: [100, 200] }),
  [`registry.k8s.io/pinned@${pinned.root.digest}`]: pinned,
};

interface Made {
  readonly cluster: Cluster;
  readonly image: LocatedImage;
  readonly manifest: ImageManifest;
  /** The same images, read from the files of the image. */
  readonly files: RegistryReader;
}

async function made(kubefile = 'FROM scratch\nCOPY registry ./registry'): Promise<Made> {
  const root = await contextDirectory({ Kubefile: kubefile });
  const cluster = await clusterOf(fixtures, { root });
  await cluster.fill();
  const built = await assembled(cluster);
  const tree = await unpacked(built, cluster);
  return {
    cluster,
    image: {
      registry: virtualRegistry(built, cluster.store.blobs),
      repository: soleRepository,
      reference: built.root.digest,
    },
    manifest: manifestIn(built),
    files: distributionReader(subTree(tree, 'registry'), 'the files'),
  };
}

async function opened(image: LocatedImage, store = emptyStore()): Promise<RegistryReader> {
  const where = { store: await store, context: createContext() };
  return openCluster(image, [], 'the image', where);
}

/** Everything that a registry tells of its images, blobs in hexadecimal. */
async function told(registry: RegistryReader): Promise<unknown> {
  const all: unknown[] = [];
  for await (const repository of registry.repositories()) {
    for await (const tag of registry.tags(repository)) {
      const found = await registry.resolve(repository, tag);
      all.push({ repository, tag, found });
      if (found) await tell(repository, found.digest);
    }
  }
  return all;

  async function tell(repository: string, digest: Digest): Promise<void> {
    const manifest = await registry.manifest(repository, digest);
    all.push(await registry.resolve(repository, digest));
    if (manifest?.kind === 'index') {
      for (const child of manifest.manifests) await tell(repository, child.digest);
    }
    const parts = manifest?.kind === 'image' ? [manifest.config, ...manifest.layers] : [];
    for (const part of parts) {
      const blob = await registry.blob(repository, part.digest);
      const body = blob && (await readAll(blob, part.size));
      all.push([repository, part.digest, body && Buffer.from(body).toString('hex')]);
    }
  }
}

/** The same image with other layers, and nothing said of an index unless they say it. */
async function remade(
  { image, manifest }: Made,
  change: (body: Uint8Array, layer: Descriptor, at: number) => Uint8Array | Promise<Uint8Array>,
  describeLayer: (layer: Descriptor) => Partial<Descriptor> = () => ({}),
): Promise<LocatedImage & { readonly layers: readonly Descriptor[] }> {
  const registry = memory();
  const layers: Descriptor[] = [];
  for (const [at, known] of manifest.layers.entries()) {
    const blob = await image.registry.blob(image.repository, known.digest, known.size);
    const before = blob ? await readAll(blob, known.size) : Buffer.alloc(0);
    const body = await change(before, known, at);
    const digest = digestOf(body);
    await registry.putBlob('team/it', digest, bytes(body));
    layers.push({
      mediaType: mediaTypes.ociLayer,
      digest,
      size: body.length,
      ...describeLayer(known),
    });
  }
  const document = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: manifest.config,
    layers,
  };
  const root = parseManifest(Buffer.from(JSON.stringify(document)), 'remade');
  await registry.putManifest('team/it', root, '1');
  return { registry, repository: 'team/it', reference: root.digest, layers };
}

describe('the images inside a cluster image', () => {
  test('are the same by its index as by its files', async () => {
    const it = await made();
    expect(await told(await opened(it.image))).toEqual(await told(it.files));
  });

  test('and what is not there is not there', async () => {
    const registry = await opened((await made()).image);
    const nothing = digestOf(Buffer.from('nothing'));
    expect(await registry.resolve('acme/web', '3.0')).toBeUndefined();
    expect(await registry.resolve('acme/web', nothing)).toBeUndefined();
    expect(await registry.resolve('nobody', '1.0')).toBeUndefined();
    expect(await registry.manifest('acme/web', nothing)).toBeUndefined();
    // A manifest, but of another repository.
    expect(await registry.manifest('acme/web', pinned.root.digest)).toBeUndefined();
    expect(await registry.blob('nobody', web.root.config.digest)).toBeUndefined();
    expect(await registry.blob('acme/web', nothing)).toBeUndefined();
    expect(await Array.fromAsync(registry.tags('nobody'))).toEqual([]);
  });

  test('are those of its base too', async () => {
    const base = await made();
    const root = await contextDirectory({
      Kubefile: 'FROM a.io/base:1\nCOPY registry ./registry',
    });
    const basis = {
      root: base.manifest,
      manifests: [base.manifest],
      blobs: new Map<Digest, Uint8Array>(),
    };
    for (const { digest, size } of [base.manifest.config, ...base.manifest.layers]) {
      const blob = await base.image.registry.blob('', digest, size);
      basis.blobs.set(digest, blob ? await readAll(blob, size) : Buffer.alloc(0));
    }
    const changed = imageFixture({ seed: 'another', layers: [10] });
    const images = { 'a.io/base:1': basis, 'docker.io/acme/web:1.0': changed };
    const cluster = await clusterOf(images, { root, bases: ['a.io/base:1'] });
    await cluster.fill();
    const built = await assembled(cluster);
    const tree = subTree(await unpacked(built, cluster), 'registry');
    const registry = virtualRegistry(built, cluster.store.blobs);
    const upon = { registry, repository: soleRepository, reference: built.root.digest };
    const inside = await opened(upon);
    expect(await told(inside)).toEqual(await told(distributionReader(tree, 'the files')));
    expect((await inside.resolve('acme/web', '1.0'))?.digest).toBe(changed.root.digest);
    expect(await inside.resolve('acme/web', '2.0')).toBeDefined();
  });
});

describe('without an index that says everything', () => {
  test('layers that are not compressed are read where they lie', async () => {
    const it = await made();
    const plain = await remade(it, (body) => body);
    const store = await emptyStore();
    expect(await told(await opened(plain, Promise.resolve(store)))).toEqual(await told(it.files));
    expect(await store.blobs(web.root.config.digest, 0)).toBeUndefined();
  });

  const gzip = (): Partial<Descriptor> => ({ mediaType: mediaTypes.ociLayerGzip });

  test('compressed layers are streamed into the store, once', async () => {
    const it = await made();
    const packed = await remade(it, (body) => gzipSync(body, { level: 1 }), gzip);
    const store = await emptyStore();
    let read = 0;
    const counting: LocatedImage = {
      ...packed,
      registry: {
        ...packed.registry,
        blob(...asked) {
          read += 1;
          return packed.registry.blob(...asked);
        },
      },
    };
    expect(await told(await opened(counting, Promise.resolve(store)))).toEqual(
      await told(it.files),
    );
    expect(read).toBe(packed.layers.length);
    expect(await told(await opened(counting, Promise.resolve(store)))).toEqual(
      await told(it.files),
    );
    expect(read).toBe(packed.layers.length);
  });

  test('a compressed layer that was changed is DIGEST_MISMATCH, and nothing is remembered', async () => {
    const it = await made();
    const packed = await remade(it, (body) => gzipSync(body, { level: 1 }), gzip);
    const other = gzipSync(Buffer.alloc(1024));
    const damaged: LocatedImage = {
      ...packed,
      registry: {
        ...packed.registry,
        async blob(repository, digest, size) {
          const found = await packed.registry.blob(repository, digest, size);
          if (digest !== packed.layers.at(-2)?.digest || !found) return found;
          return bytes(Buffer.concat([other, Buffer.alloc(found.size - other.length)]));
        },
      },
    };
    const store = await emptyStore();
    const error = await failureOf(opened(damaged, Promise.resolve(store)));
    expect(['DIGEST_MISMATCH', 'ARCHIVE_INVALID']).toContain(error.code);
    expect(await store.note(parseDigest(packed.reference))).toBeUndefined();
  });

  test('what a layer takes away of those below it is gone, and not what it brings itself', async () => {
    const it = await made();
    const last = it.manifest.layers.length - 1;
    const links = 'registry/docker/registry/v2/repositories';
    const path = `${links}/acme/web/_manifests/tags/9.0/current/link`;
    const revision = `${links}/acme/web/_manifests/revisions/sha256/${web.root.digest.slice(7)}/link`;
    const mark = (at: string) =>
      ({ type: 'file', path: at, mode: 0o644, content: bytes('') }) as const;
    const link = (at: string) => ({ ...mark(at), content: bytes(web.root.digest) }) as const;
    const changed = tarball([link(path), link(revision), mark(`${links}/.wh..wh..opq`)]);
    const layers = async (body: Uint8Array, at: number): Promise<Uint8Array> =>
      at === last ? readAll(changed, changed.size) : body;
    const plain = await opened(await remade(it, (body, _, at) => layers(body, at)));
    const packed = await opened(
      await remade(it, async (body, _, at) => gzipSync(await layers(body, at)), gzip),
    );
    for (const registry of [plain, packed]) {
      expect(await Array.fromAsync(registry.repositories())).toEqual(['acme/web']);
      expect(await Array.fromAsync(registry.tags('acme/web'))).toEqual(['9.0']);
      expect((await registry.resolve('acme/web', '9.0'))?.digest).toBe(web.root.digest);
    }
    const nothing = tarball([mark('.wh.registry')]);
    const bare = remade(
      it,
      async (body, _, at) => gzipSync(at === last ? await readAll(nothing, nothing.size) : body),
      gzip,
    );
    expect((await failureOf(opened(await bare))).code).toBe('INPUT_INVALID');
  });

  test('an image without registry/ is INPUT_INVALID, however its layers are stored', async () => {
    const it = await made('FROM scratch\nCOPY registry ./elsewhere');
    const unmarked = await remade(it, (body) => body);
    expect((await failureOf(opened(unmarked))).code).toBe('INPUT_INVALID');
    const packed = await remade(it, (body) => gzipSync(body), gzip);
    expect((await failureOf(opened(packed))).code).toBe('INPUT_INVALID');
  });
});

describe('an index that lies', () => {
  interface Document {
    formatVersion: number;
    layers: { digest: string; size: number; plan: string }[];
    blobs: [string, number, number, number][];
    repositories: { name: string; tags: [string, string][]; manifests: [string, string][] }[];
  }

  /** The image with its index changed, and marked as one that has an index. */
  async function lying(change: (index: Document) => void): Promise<LocatedImage> {
    const last = (await made()).manifest.layers.length - 1;
    return remade(
      await made(),
      async (body, _, at) => {
        if (at !== last) return body;
        const content = await fileOf(await tarTree(bytes(body), 'index'), indexPath);
        const text = content && Buffer.from(await readAll(content, content.size)).toString();
        const index: Document = JSON.parse(text ?? '');
        change(index);
        const changed = bytes(JSON.stringify(index));
        const tar = tarball([{ type: 'file', path: indexPath, mode: 0o644, content: changed }]);
        return readAll(tar, tar.size);
      },
      ({ annotations }) => (annotations?.[indexAnnotation] ? { annotations } : {}),
    );
  }

  test.each<[string, (index: Document) => void]>([
    [
      'names a layer that the image does not have',
      ({ layers }) => {
        layers[0] = {
          digest: digestOf(Buffer.from('x')),
          size: 1,
          plan: digestOf(Buffer.from('y')),
        };
      },
    ],
    [
      'has another size for a layer',
      ({ layers }) => {
        if (layers[0]) layers[0].size += 1;
      },
    ],
    [
      'has a part behind the end of its layer',
      ({ blobs }) => {
        if (blobs[0]) blobs[0][3] = 2 ** 40;
      },
    ],
    [
      'has a part in a layer that is none',
      ({ blobs }) => {
        if (blobs[0]) blobs[0][1] = 999;
      },
    ],
    [
      'has an offset below zero',
      ({ blobs }) => {
        if (blobs[0]) blobs[0][2] = -1;
      },
    ],
    [
      'has a tag that leads nowhere',
      ({ repositories }) => {
        if (repositories[0]?.tags[0]) repositories[0].tags[0][1] = digestOf(Buffer.from('x'));
      },
    ],
    [
      'has a name that is none',
      ({ repositories }) => {
        if (repositories[0]) repositories[0].name = '../x';
      },
    ],
  ])('%s: INPUT_INVALID', async (_, change) => {
    const error = await failureOf(opened(await lying(change)));
    expect([error.code, error.message.startsWith('index of the image: ')]).toEqual([
      'INPUT_INVALID',
      true,
    ]);
  });

  test('about where a manifest is: DIGEST_MISMATCH', async () => {
    const image = await lying(({ blobs }) => {
      for (const blob of blobs) blob[2] = Math.max(0, blob[2] - 1);
    });
    const registry = await opened(image);
    const found = await registry.resolve('acme/web', '1.0');
    const reading = registry.manifest('acme/web', found?.digest ?? web.root.digest);
    expect((await failureOf(reading)).code).toBe('DIGEST_MISMATCH');
  });

  test('of a version that is not known is passed over', async () => {
    const it = await made();
    const image = await lying((index) => {
      index.formatVersion = 2;
    });
    expect(await told(await opened(image))).toEqual(await told(it.files));
  });
});

describe('in a registry', () => {
  test('the first manifest costs three requests, and a blob only its range', async () => {
    const it = await made();
    const target = await faultRegistry();
    const here = await place();
    const parts = it.manifest;
    for (const { digest, size } of [parts.config, ...parts.layers]) {
      const blob = await it.image.registry.blob('', digest, size);
      if (blob) await target.registry.putBlob('team/cluster', digest, blob);
    }
    await target.registry.putManifest('team/cluster', parts, '1');
    await here.within({ plainHttp: [target.host] }, async (workspace) => {
      const location = `docker://${target.host}/team/cluster:1`;
      const { registry } = await openRegistry(location, { platform: [] }, workspace);
      const found = await registry.resolve('acme/web', '1.0');
      expect(found).toBeDefined();
      const manifest = found && (await registry.manifest('acme/web', found.digest));
      expect(manifest?.digest).toBe(web.root.digest);
      expect(target.log.map(({ method, kind }) => `${method} ${kind}`)).toEqual([
        'GET manifest',
        'GET blob',
        'GET blob',
      ]);
      const [large] = web.root.layers;
      const blob = large && (await registry.blob('acme/web', large.digest));
      if (!blob) throw new Error('no blob');
      expect(target.log).toHaveLength(3);
      expect(digestOf(await readAll(blob, blob.size))).toBe(large.digest);
      expect(target.log).toHaveLength(4);
      const [, from, to] = /bytes=(\d+)-(\d+)/.exec(target.log[3]?.headers.range ?? '') ?? [];
      expect(Number(to) - Number(from) + 1).toBe(large.size);
    });
  });
});

describe('for several platforms', () => {
  const platforms = ['linux/amd64', 'linux/arm64'];

  async function several(): Promise<LocatedImage> {
    const multi = indexFixture(platforms, { seed: 'multi', layers: [50] });
    const root = await contextDirectory({ Kubefile: 'FROM scratch\nCOPY registry ./registry' });
    const cluster = await clusterOf({ 'a.io/b:1': multi }, { root, platforms });
    await cluster.fill();
    const built = await assembled(cluster, { platforms });
    const registry = virtualRegistry(built, cluster.store.blobs);
    return { registry, repository: soleRepository, reference: built.root.digest };
  }

  test('one has to be chosen', async () => {
    const image = await several();
    const where = { store: await emptyStore(), context: createContext() };
    const inside = await openCluster(image, ['linux/arm64'], 'it', where);
    expect(await inside.resolve('b', '1')).toBeDefined();
    expect((await failureOf(openCluster(image, [], 'it', where))).code).toBe('USAGE');
    expect((await failureOf(openCluster(image, ['linux/s390x'], 'it', where))).code).toBe(
      'NOT_FOUND',
    );
  });
});
