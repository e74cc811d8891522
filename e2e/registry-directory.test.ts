import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ClusterContext, clusterContext } from './support/cluster.ts';
import { ask, result, run, succeed } from './support/run.ts';
import { dockerRegistry, type RegistryServer, requestsSince } from './support/servers.ts';

let work: string;
let cluster: ClusterContext;

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'cluster-image-e2e-'));
  cluster = await clusterContext(work);
  await result(['lock', cluster.path], { env: cluster.env });
});

afterAll(async () => {
  await cluster?.upstream.stop();
  await rm(work, { recursive: true, force: true });
});

/** What has to hold of a registry directory, wherever it came from. */
async function expectWhole(directory: string): Promise<void> {
  const before = await blobsIn(directory);
  const server = await dockerRegistry(directory, work, { readonly: true });
  try {
    await expectServed(server);
    const collected = await succeed('docker-registry', ['garbage-collect', server.config]);
    expect(collected).toContain('0 blobs and 0 manifests eligible for deletion');
    expect(await blobsIn(directory)).toEqual(before);
  } finally {
    await server.stop();
  }
}

async function expectServed({ host }: RegistryServer): Promise<void> {
  const catalog = await ask(`http://${host}/v2/_catalog`);
  const placed = cluster.images.map((image) => image.placed.split(':'));
  expect(catalog.repositories).toEqual(placed.map(([repository]) => repository).sort());
  for (const [repository, tag] of placed) {
    const listed = await ask(`http://${host}/v2/${repository}/tags/list`);
    expect(listed.tags).toEqual([tag]);
    const source = `docker://${host}/${repository}:${tag}`;
    const target = `dir:${await mkdtemp(join(work, 'copied-'))}`;
    await succeed('skopeo', ['copy', '--all', '--src-tls-verify=false', source, target]);
  }
}

async function blobsIn(directory: string): Promise<readonly string[]> {
  const found = await readdir(join(directory, 'docker/registry/v2/blobs'), { recursive: true });
  return found.filter((path) => path.endsWith('/data')).sort();
}

describe('a materialised registry directory', () => {
  test('is served whole by docker-registry, copied whole by skopeo, and nothing in it is garbage', async () => {
    const directory = join(work, 'materialised');
    const synced = await result(['sync', cluster.path, `registry:${directory}`], {
      env: cluster.env,
    });
    expect(synced.images).toHaveLength(cluster.images.length);
    await expectWhole(directory);
    const verified = await result(['verify', `registry:${directory}`]);
    expect(verified.problems).toEqual([]);
  });

  test('answers a pod that asks for an index by its digest, for any of its platforms', async () => {
    const directory = join(work, 'materialised');
    const server = await dockerRegistry(directory, work, { readonly: true });
    try {
      const index = cluster.images[1]?.image.root;
      for (const arch of ['amd64', 'arm64', 's390x']) {
        const inspected = await succeed('skopeo', [
          ...['--override-arch', arch, 'inspect', '--tls-verify=false'],
          `docker://${server.host}/pause@${index?.digest}`,
        ]);
        expect(JSON.parse(inspected).Architecture).toBe(arch);
      }
    } finally {
      await server.stop();
    }
  });

  test('comes out of the built image the same, file by file', async () => {
    const archive = join(work, 'cluster.tar');
    const output = ['-t', 'registry.example/cluster:1', '-o', `docker-archive:${archive}`];
    await result(['build', cluster.path, ...output], { env: cluster.env });
    const unpacked = join(work, 'unpacked');
    const parts = join(work, 'archive');
    for (const path of [unpacked, parts]) await mkdir(path);
    await succeed('tar', ['-xf', archive, '-C', parts]);
    const [image] = JSON.parse(await readFile(join(parts, 'manifest.json'), 'utf8'));
    // What a runtime does: each layer over the ones before.
    for (const layer of image.Layers) {
      await succeed('tar', ['-xf', join(parts, layer), '-C', unpacked]);
    }
    await expectWhole(join(unpacked, 'registry'));
    const compared = await run('diff', [
      '-r',
      join(unpacked, 'registry'),
      join(work, 'materialised'),
    ]);
    expect(compared.stdout).toBe('');
    expect(compared.code).toBe(0);
  });

  test('brings its images to another registry, and the second time nothing moves', async () => {
    const target = await dockerRegistry(join(work, 'target'), work);
    try {
      const args = [
        'sync',
        `registry:${join(work, 'materialised')}`,
        `docker://${target.host}/mirror`,
      ];
      const options = { env: cluster.env };
      const first = await result([...args, '--plain-http', target.host], options);
      expect(first.images).toHaveLength(cluster.images.length);
      const catalog = await ask(`http://${target.host}/v2/_catalog`);
      expect(catalog.repositories).toContain('mirror/library/base');
      const blobs = await blobsIn(join(work, 'target'));
      await result([...args, '--plain-http', target.host], options);
      expect(await blobsIn(join(work, 'target'))).toEqual(blobs);
    } finally {
      await target.stop();
    }
  });

  test('that buildah put into an image, as sealos does, is opened there too, and unpacked once', async () => {
    const target = await dockerRegistry(join(work, 'built'), work, { accessLog: true });
    const context = join(work, 'buildah-context');
    await mkdir(context);
    await succeed('cp', ['-r', join(work, 'materialised'), join(context, 'registry')]);
    await writeFile(join(context, 'Kubefile'), 'FROM scratch\nCOPY registry ./registry\n');
    const at = (name: string): string => join(work, name);
    const storage = ['--root', at('b'), '--runroot', at('b-run'), '--storage-driver', 'vfs'];
    try {
      await succeed('buildah', [...storage, 'bud', '-f', 'Kubefile', '-t', 'theirs:1', context]);
      const location = `docker://${target.host}/theirs:1`;
      await succeed('buildah', [
        ...storage,
        'push',
        '-q',
        '--tls-verify=false',
        'theirs:1',
        location,
      ]);
      const options = { env: { CLUSTER_IMAGE_STORE: at('store-of-theirs') } };
      const plain = ['--plain-http', target.host];
      const unpacked = `registry:${at('from-buildah')}`;
      await result(['sync', location, unpacked, ...plain], options);
      const compared = await run('diff', ['-r', at('from-buildah'), at('materialised')]);
      expect(compared.stdout).toBe('');
      const before = target.log().length;
      const { images } = await result(['inspect', '--images', location, ...plain], options);
      expect(images).toHaveLength(cluster.images.length);
      const blobs = requestsSince(target, before).filter(({ path }) => path.includes('/blobs/'));
      // The config, for what inspect tells of the image; no layer again.
      expect(blobs.length).toBeGreaterThan(0);
      expect(blobs.every(({ size }) => size < 10_000)).toBe(true);
    } finally {
      await target.stop();
    }
  });
});
