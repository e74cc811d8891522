import { chmod, rm, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import {
  bytes,
  createContext,
  type Descriptor,
  describe as describeManifest,
  digestContent,
  digestOf,
  type ImageManifest,
  mediaTypes,
  parseManifest,
  parsePlatform,
  readAll,
} from '@cluster-image/oci';
import {
  directory,
  distributionLayout,
  distributionReader,
  layer,
  soleRepository,
  subTree,
  type TarEntry,
  tarball,
  verifyLayout,
  virtualRegistry,
} from '@cluster-image/storage';
import {
  type ImageFixture,
  imageFixture,
  indexFixture,
  noise,
  temporaryDirectory,
} from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { placedRegistry, placementsOf } from '../../src/assemble/placement.ts';
import { nameFilter } from '../../src/sync/names.ts';
import { sync } from '../../src/sync.ts';
import { type Cluster, type ClusterOptions, clusterOf } from '../cluster.ts';
import { contextDirectory, type Given } from '../context.ts';
import { failureOf } from '../failure.ts';
import { assembled, configIn, filesOf, manifestIn, unpacked } from './assembly.ts';

const megabyte = 1024 * 1024;
const platforms = ['linux/amd64', 'linux/arm64'];
const web = indexFixture(platforms, { seed: 'web', layers: [2 * megabyte, 5000] });
const tool = imageFixture({ seed: 'tool', layers: [megabyte + 1, 10] });
const pinned = indexFixture(platforms, { seed: 'pinned', layers: [3000] });

const images: Readonly<Record<string, ImageFixture>> = {
  'quay.io/acme/web:1.0': web,
  'docker.io/library/tool:2': tool,
  [`registry.k8s.io/pinned@${pinned.root.digest}`]: pinned,
};

const context: Readonly<Record<string, Given>> = {
  Kubefile: `FROM scratch
LABEL sealos.io.type=application sealos.io.version=v1beta1
ENV NAMESPACE=acme
COPY charts manifests ./
COPY registry ./registry
CMD ["kubectl apply -f manifests"]
`,
  'charts/web/Chart.yaml': 'name: web\n',
  'charts/web/run.sh': '#!/bin/sh\n',
  'charts/link': { link: 'web' },
  'manifests/ä.yaml': 'kind: List\n',
};

async function filled(
  files: Readonly<Record<string, Given>> = context,
  given: Readonly<Record<string, ImageFixture>> = images,
  options: ClusterOptions = {},
): Promise<Cluster> {
  const root = options.root ?? (await contextDirectory(files));
  await chmod(join(root, 'charts/web/run.sh'), 0o755).catch(() => {});
  const cluster = await clusterOf(given, { ...options, root });
  await cluster.fill();
  return cluster;
}

describe('T11, P9: the same input gives the same digest', () => {
  const golden = 'sha256:23ca213bf003b23b67b326e16ae0055e0f6362a59eb37eee88f78472871b0c1c';

  test('which is this one', async () => {
    expect((await assembled(await filled())).root.digest).toBe(golden);
  });

  test('whatever order files, images and their times come in', async () => {
    const reversed = await filled(
      Object.fromEntries(Object.entries(context).toReversed()),
      Object.fromEntries(Object.entries(images).toReversed()),
    );
    for (const path of ['Kubefile', 'charts/web', 'charts/web/run.sh', 'manifests']) {
      await utimes(join(reversed.root, path), 1, 1_900_000_000);
    }
    expect((await assembled(reversed)).root.digest).toBe(golden);
  });

  test('whatever the umask, time zone and locale', async () => {
    const before = { umask: process.umask(0o077), TZ: process.env.TZ, LC_ALL: process.env.LC_ALL };
    try {
      process.env.TZ = 'Pacific/Apia';
      process.env.LC_ALL = 'tr_TR.UTF-8';
      expect((await assembled(await filled())).root.digest).toBe(golden);
    } finally {
      process.umask(before.umask);
      for (const name of ['TZ', 'LC_ALL'] as const) {
        if (before[name] === undefined) delete process.env[name];
        else process.env[name] = before[name];
      }
    }
  });

  test('and in the store that has been used for something else', async () => {
    const cluster = await filled();
    await assembled(cluster, { maxLayers: 11 });
    expect((await assembled(cluster)).root.digest).toBe(golden);
  });

  test('and another input another one', async () => {
    const changed = { ...context, 'manifests/ä.yaml': 'kind: Lisp\n' };
    expect((await assembled(await filled(changed))).root.digest).not.toBe(golden);
  });
});

describe('a cluster image', () => {
  test('has labels, environment and command as the build file says, and nothing of the machine', async () => {
    const image = await assembled(await filled());
    expect(configIn(image)).toMatchObject({
      created: '1970-01-01T00:00:00Z',
      os: 'linux',
      architecture: 'amd64',
      config: {
        Labels: { 'sealos.io.type': 'application', 'sealos.io.version': 'v1beta1' },
        Env: ['NAMESPACE=acme'],
        Cmd: ['kubectl apply -f manifests'],
      },
    });
    const { mediaType, config } = manifestIn(image);
    expect([mediaType, config.mediaType]).toEqual([mediaTypes.ociManifest, mediaTypes.ociConfig]);
  });

  test('has layers whose digests, diffs and history agree', async () => {
    const cluster = await filled();
    const image = await assembled(cluster);
    const { layers } = manifestIn(image);
    const { rootfs, history } = configIn(image);
    expect(rootfs.diff_ids).toEqual(layers.map(({ digest }) => digest));
    expect(history?.filter(({ empty_layer }) => !empty_layer)).toHaveLength(layers.length);
    expect(history?.filter(({ empty_layer }) => empty_layer)).toHaveLength(3);
    for (const { digest, size, mediaType } of layers) {
      const plan = image.plans.get(digest);
      if (!plan) throw new Error('no plan');
      const content = layer(plan, cluster.store.blobs);
      expect([content.size, mediaType]).toEqual([size, mediaTypes.ociLayer]);
      expect(await digestContent(content)).toBe(digest);
    }
  });

  test('unpacks to what was copied, with modes of its own', async () => {
    const cluster = await filled();
    const tree = await unpacked(await assembled(cluster), cluster);
    const found: string[] = [];
    for await (const entry of tree.entries()) {
      if (entry.path.startsWith('registry/')) continue;
      const more = entry.type === 'symlink' ? `-> ${entry.target}` : entry.mode.toString(8);
      found.push(`${entry.path} ${more}`);
    }
    expect(found).toEqual([
      '.cluster-image 755',
      '.cluster-image/index.json 644',
      'link -> web',
      'registry 755',
      'web 755',
      'web/Chart.yaml 644',
      'web/run.sh 755',
      'ä.yaml 644',
    ]);
  });

  test('has the registry/ that sync makes, file by file', async () => {
    const cluster = await filled();
    const { lockfile, store } = cluster;
    const image = await assembled(cluster);
    const inside = await filesOf(subTree(await unpacked(image, cluster), 'registry'));
    const root = await temporaryDirectory();
    const placements = await placementsOf(lockfile, parsePlatform('linux/amd64'), store);
    const target = { registry: distributionLayout(root), knows: async () => false };
    const source = { registry: placedRegistry(placements, store) };
    await sync(source, target, { filter: nameFilter([], []) }, createContext());
    const made = await filesOf(directory(root));
    expect([...inside.keys()]).toEqual([...made.keys()]);
    expect(inside).toEqual(made);
    expect(inside.size).toBe(36);
    expect((await verifyLayout(distributionLayout(root), { sparse: false })).problems).toEqual([]);
  });

  test('has images inside that are read where they lie', async () => {
    const cluster = await filled();
    const image = await assembled(cluster);
    const tree = subTree(await unpacked(image, cluster), 'registry');
    const registry = distributionReader(tree, 'the cluster image');
    const names = await Array.fromAsync(registry.repositories());
    expect(names).toEqual(['acme/web', 'library/tool', 'pinned']);
    const [amd64] = web.manifests;
    const found = await registry.resolve('acme/web', '1.0');
    expect(amd64 && found).toEqual(amd64 && describeManifest(amd64));
    const tag = pinned.root.digest.replace(':', '-');
    expect(await Array.fromAsync(registry.tags('pinned'))).toEqual([tag]);
    expect((await registry.resolve('pinned', tag))?.digest).toBe(pinned.root.digest);
    for (const [digest, body] of pinned.blobs) {
      const blob = await registry.blob('pinned', digest);
      expect(blob && new Uint8Array(await readAll(blob, body.length))).toEqual(body);
    }
  });

  test('has every blob once, and no bytes of its own on disk', async () => {
    const cluster = await filled();
    const image = await assembled(cluster);
    const files = [...image.plans.values()].flatMap(({ entries }) =>
      entries.flatMap((entry) => (entry.type === 'file' ? [entry] : [])),
    );
    const blobs = files.filter(({ path }) => path.startsWith('registry/docker/registry/v2/blobs/'));
    expect(new Set(blobs.map(({ digest }) => digest)).size).toBe(blobs.length);
    const [amd64] = web.manifests;
    const expected = new Set(
      [
        ...(amd64?.kind === 'image' ? [amd64, amd64.config, ...amd64.layers] : []),
        ...[tool.root, tool.root.config, ...tool.root.layers],
        ...pinned.manifests,
        ...pinned.blobs.keys().map((digest) => ({ digest })),
      ].map(({ digest }) => digest),
    );
    expect(new Set(blobs.map(({ digest }) => digest))).toEqual(expected);
    const there = await filesOf(directory(cluster.store.root));
    for (const { digest } of manifestIn(image).layers) {
      expect([...there.keys()].filter((path) => path.includes(digest.slice(7)))).toEqual([]);
    }
  });

  test('changes in a large blob, two layers at most, and the index when one image changes', async () => {
    const before = manifestIn(await assembled(await filled()));
    const changed = imageFixture({ seed: 'tool 2', layers: [megabyte + 1, 10] });
    const after = manifestIn(
      await assembled(await filled(context, { ...images, 'docker.io/library/tool:2': changed })),
    );
    const known = new Set(before.layers.map(({ digest }) => digest));
    const fresh = after.layers.filter(({ digest }) => !known.has(digest));
    expect(fresh).toHaveLength(4);
    expect(fresh.filter(({ size }) => size > megabyte)).toHaveLength(1);
    expect(fresh.at(-1)?.annotations).toEqual({ 'io.cluster-image.index': '1' });
    expect(after.layers.length - fresh.length).toBeGreaterThanOrEqual(3);
  });
});

describe('registry/', () => {
  const paths = async (kubefile: string, more: Readonly<Record<string, Given>> = {}) => {
    const cluster = await filled({ ...context, ...more, Kubefile: kubefile });
    const tree = await unpacked(await assembled(cluster), cluster);
    return [...(await filesOf(tree)).keys()];
  };
  const tag = 'docker/registry/v2/repositories/acme/web/_manifests/tags/1.0/current/link';

  test('is added where the build file never copies it', async () => {
    expect(await paths('FROM scratch\nCOPY charts ./charts')).toContain(`registry/${tag}`);
  });

  test('is added to a build file that copies nothing', async () => {
    expect(await paths('FROM scratch\nLABEL a=b')).toContain(`registry/${tag}`);
  });

  test('is there to be copied even without images', async () => {
    const cluster = await filled({ Kubefile: 'FROM scratch\nCOPY registry ./registry' }, {});
    const tree = await unpacked(await assembled(cluster), cluster);
    const directories = await Array.fromAsync(tree.entries());
    expect(directories.map(({ path, type }) => [path, type])).toEqual([['registry', 'directory']]);
  });

  test('is part of the context', async () => {
    const all = await paths('FROM scratch\nCOPY . /');
    expect(all).toContain(`registry/${tag}`);
    expect(all).toContain('Kubefile');
  });

  test('is where it is copied to, and only there', async () => {
    const all = await paths('FROM scratch\nCOPY registry /data/registry');
    expect(all).toContain(`data/registry/${tag}`);
    expect(all).not.toContain(`registry/${tag}`);
    const staged = await paths(
      'FROM scratch AS a\nCOPY registry /r\nFROM scratch\nCOPY --from=a /r /q',
    );
    expect(staged).toContain(`q/${tag}`);
    expect(staged).not.toContain(`registry/${tag}`);
  });

  test('is that of the lockfile, not one that lies in the context', async () => {
    const all = await paths('FROM scratch\nCOPY registry ./registry', {
      'registry/docker/registry/v2/repositories/stale/_manifests/tags/1/current/link': 'x',
      'registry/readme': 'mine',
    });
    expect(all).toContain(`registry/${tag}`);
    expect(all).toContain('registry/readme');
    expect(all.filter((path) => path.includes('stale'))).toEqual([]);
  });

  test('is none where no images are referred to', async () => {
    const cluster = await filled({ Kubefile: 'FROM scratch\nCOPY Kubefile /x' }, {});
    const tree = await unpacked(await assembled(cluster), cluster);
    expect([...(await filesOf(tree)).keys()]).toEqual(['x']);
  });
});

describe('a base image', () => {
  /** An image as docker makes them: compressed layers, its own media types, a history. */
  async function baseFixture(history: boolean, layers = 2): Promise<ImageFixture> {
    const plain = await Promise.all(
      Array.from({ length: layers }, async (_, at) => {
        const entries: TarEntry[] = [
          { type: 'directory', path: 'etc', mode: 0o755 },
          { type: 'file', path: `etc/base${at}`, mode: 0o644, content: bytes(noise(`${at}`, 100)) },
        ];
        const tar = tarball(entries);
        return readAll(tar, tar.size);
      }),
    );
    const packed = plain.map((body) => new Uint8Array(gzipSync(body)));
    const config = new TextEncoder().encode(
      JSON.stringify({
        architecture: 'amd64',
        os: 'linux',
        author: 'someone',
        config: {
          Env: ['PATH=/bin', 'A=base'],
          Labels: { 'sealos.io.type': 'rootfs', version: 'v1' },
          Cmd: ['base'],
          Entrypoint: null,
        },
        rootfs: { type: 'layers', diff_ids: plain.map((body) => digestOf(body)) },
        ...(history && {
          history: [
            { created_by: 'ARG x', empty_layer: true },
            ...plain.map((_, at) => ({ created_by: `COPY ${at}` })),
          ],
        }),
      }),
    );
    const descriptor = (mediaType: string, body: Uint8Array): Descriptor => ({
      mediaType,
      digest: digestOf(body),
      size: body.length,
    });
    const root = parseManifest(
      new TextEncoder().encode(
        JSON.stringify({
          schemaVersion: 2,
          mediaType: mediaTypes.dockerManifest,
          config: descriptor('application/vnd.docker.container.image.v1+json', config),
          layers: packed.map((body) =>
            descriptor('application/vnd.docker.image.rootfs.diff.tar.gzip', body),
          ),
        }),
      ),
      'base',
    );
    const blobs = new Map([config, ...packed].map((body) => [digestOf(body), body]));
    return { root, manifests: [root], blobs };
  }

  const reference = 'docker.io/labring/kubernetes:v1.30';
  const kubefile = `FROM labring/kubernetes:v1.30
ENV B=$A PATH=$PATH:/opt
LABEL version=v2
COPY manifests/a.yaml /etc
COPY manifests/a.yaml /new
ENTRYPOINT ["run"]
`;

  async function upon(base: ImageFixture, lines = kubefile): Promise<Cluster> {
    return filled(
      { Kubefile: lines, 'manifests/a.yaml': 'a: 1\n' },
      { ...images, [reference]: base },
      { bases: [reference] },
    );
  }

  const imageOf = ({ root }: ImageFixture): ImageManifest => {
    if (root.kind === 'image') return root;
    throw new Error('an index');
  };

  test('keeps its layers as they are, below', async () => {
    const base = await baseFixture(true);
    const image = await assembled(await upon(base));
    const { layers } = manifestIn(image);
    const below = imageOf(base).layers.map(({ digest, size }) => ({
      mediaType: mediaTypes.ociLayerGzip,
      digest,
      size,
    }));
    expect(layers.slice(0, 2)).toEqual(below);
    expect(layers.length).toBeGreaterThan(3);
    for (const { digest } of below) expect(image.plans.has(digest)).toBe(false);
  });

  test('gives environment, labels and history to what is built upon it', async () => {
    const base = await baseFixture(true);
    const image = await assembled(await upon(base));
    const { config, rootfs, history, author } = configIn(image);
    expect(config).toEqual({
      Env: ['PATH=/bin:/opt', 'A=base', 'B=base'],
      Labels: { 'sealos.io.type': 'rootfs', version: 'v2' },
      Entrypoint: ['run'],
    });
    expect(author).toBe('someone');
    const { layers } = manifestIn(image);
    expect(rootfs.diff_ids).toHaveLength(layers.length);
    expect(history?.slice(0, 3).map(({ created_by }) => created_by)).toEqual([
      'ARG x',
      'COPY 0',
      'COPY 1',
    ]);
    expect(history?.filter(({ empty_layer }) => !empty_layer)).toHaveLength(layers.length);
  });

  test('without a history makes an image without one', async () => {
    const image = await assembled(await upon(await baseFixture(false)));
    expect(configIn(image).history).toBeUndefined();
  });

  test('is looked into where a destination may be a directory of it', async () => {
    const image = await assembled(await upon(await baseFixture(true)));
    const own = [...image.plans.values()].flatMap(({ entries }) => entries.map(({ path }) => path));
    expect(own).toContain('etc/a.yaml');
    expect(own).toContain('new');
    expect(own).not.toContain('new/a.yaml');
  });

  test('counts among the layers there may be', async () => {
    const cluster = await upon(await baseFixture(true, 30));
    const { layers } = manifestIn(await assembled(cluster, { maxLayers: 34 }));
    expect(layers.length).toBeLessThanOrEqual(34);
    expect((await failureOf(assembled(cluster, { maxLayers: 33 }))).code).toBe('UNSUPPORTED');
  });

  test('is pinned, and taken for the platform that is built', async () => {
    const multi = indexFixture(platforms, { seed: 'base', layers: [100] });
    const cluster = await filled(
      { Kubefile: 'FROM labring/kubernetes:v1.30\nLABEL a=b' },
      { [reference]: multi },
      { bases: [reference], platforms },
    );
    const image = await assembled(cluster, { platforms });
    const [amd64, arm64] = multi.manifests;
    for (const [at, base] of [amd64, arm64].entries()) {
      const [first] = manifestIn(image, at).layers;
      expect(first?.digest).toBe(base?.kind === 'image' ? base.layers[0]?.digest : undefined);
    }
  });

  test('that is not in the store is asked for', async () => {
    const root = await contextDirectory({ Kubefile: kubefile, 'manifests/a.yaml': '' });
    const cluster = await clusterOf(
      { [reference]: await baseFixture(true) },
      { bases: [reference], root },
    );
    const error = await failureOf(assembled(cluster));
    expect([error.code, error.message]).toEqual([
      'NOT_FOUND',
      `the base image ${reference} is not in the store`,
    ]);
    expect(error.hint).toContain('cluster-image cache');
  });

  test('whose config and manifest tell of different layers is refused', async () => {
    const base = await baseFixture(true);
    const fewer = imageOf(base);
    const body = JSON.parse(Buffer.from(fewer.bytes).toString());
    body.layers.pop();
    const root = parseManifest(Buffer.from(JSON.stringify(body)), 'base');
    const cluster = await upon({ ...base, root, manifests: [root] });
    expect((await failureOf(assembled(cluster))).code).toBe('MANIFEST_INVALID');
  });
});

describe('for several platforms', () => {
  test('an image each is made, and an index of them in their order', async () => {
    const kubefile = 'FROM scratch\nARG TARGETARCH\nENV ARCH=$TARGETARCH\nCOPY registry ./registry';
    const given = { 'quay.io/acme/web:1.0': web };
    const cluster = await filled({ Kubefile: kubefile }, given, { platforms });
    const image = await assembled(cluster, { platforms });
    if (image.root.kind !== 'index') throw new Error('no index');
    expect(image.root.mediaType).toBe(mediaTypes.ociIndex);
    expect(image.root.manifests.map(({ platform }) => platform)).toEqual([
      { os: 'linux', architecture: 'amd64' },
      { os: 'linux', architecture: 'arm64' },
    ]);
    const registry = virtualRegistry(image, cluster.store.blobs);
    for (const [at, platform] of ['amd64', 'arm64'].entries()) {
      const manifest = manifestIn(image, at);
      const config = configIn(image, manifest);
      expect([config.architecture, config.config?.Env]).toEqual([platform, [`ARCH=${platform}`]]);
      const tree = await unpacked(image, cluster, manifest);
      const inner = distributionReader(subTree(tree, 'registry'), 'x');
      expect((await inner.resolve('acme/web', '1.0'))?.digest).toBe(web.manifests[at]?.digest);
      expect(await registry.resolve(soleRepository, manifest.digest)).toBeDefined();
    }
    const reversed = await assembled(cluster, { platforms: platforms.toReversed() });
    expect(manifestIn(reversed, 0).digest).toBe(manifestIn(image, 1).digest);
  });

  test('a variant is part of the platform', async () => {
    const arm = ['linux/arm/v6'];
    const given = { 'a.io/b:1': indexFixture(arm, { seed: 'arm' }) };
    const cluster = await filled({ Kubefile: 'FROM scratch\nLABEL a=b' }, given, {
      platforms: arm,
    });
    const config = configIn(await assembled(cluster, { platforms: arm }));
    expect([config.architecture, config.variant]).toEqual(['arm', 'v6']);
  });
});

test('T10: what is built can be delivered when the context has changed', async () => {
  const cluster = await filled();
  const image = await assembled(cluster);
  await rm(join(cluster.root, 'charts'), { recursive: true });
  const registry = virtualRegistry(image, cluster.store.blobs);
  for (const { digest, size } of manifestIn(image).layers) {
    const content = await registry.blob(soleRepository, digest, size);
    expect(content && (await digestContent(content))).toBe(digest);
  }
});
