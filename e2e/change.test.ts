import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { imageFixture } from '@cluster-image/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ClusterContext, clusterContext, fillRegistry } from './support/cluster.ts';
import { clusterImage, result, run, succeed } from './support/run.ts';
import {
  dockerRegistry,
  type RegistryServer,
  requestsSince,
  type Server,
  serveCommand,
} from './support/servers.ts';

let work: string;
let cluster: ClusterContext;
let target: RegistryServer;
const servers: Server[] = [];
const name = 'registry.example/cluster:1';

/** Another release of the image of `reference`, with a layer of 1,400,000 bytes in place of another. */
async function release(reference: string, seed: string): Promise<void> {
  const image = imageFixture({ seed, layers: [1_400_000, 6_000] });
  await fillRegistry(cluster.upstream.host, [{ reference, image }]);
  await result(['lock', cluster.path, '--update'], { env: cluster.env });
}

interface LayerOf {
  readonly digest: string;
  readonly size: number;
  readonly annotations?: Readonly<Record<string, string>>;
}

async function layersOf(location: string): Promise<readonly LayerOf[]> {
  const options = ['--plain-http', target.host];
  return (await result(['inspect', location, ...options], { env: cluster.env })).platforms[0]
    .layers;
}

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'cluster-image-e2e-'));
  cluster = await clusterContext(work);
  target = await dockerRegistry(join(work, 'target'), work, { accessLog: true });
  servers.push(cluster.upstream, target);
  await result(['lock', cluster.path], { env: cluster.env });
});

afterAll(async () => {
  for (const server of servers.reverse()) await server.stop();
  await rm(work, { recursive: true, force: true });
});

const plain = (): readonly string[] => ['--plain-http', target.host];
const pushed = (tag: string): string => `docker://${target.host}/cluster:${tag}`;

describe('a cluster image in a real registry', () => {
  beforeAll(async () => {
    await result(['build', cluster.path, '-t', name, '-o', pushed('1'), ...plain()], {
      env: cluster.env,
    });
  });

  test('is served to skopeo, which causes the reading of what it asks for and no more', async () => {
    const server = await serveCommand([pushed('1')], work, plain());
    servers.push(server);
    const before = target.log().length;
    const image = cluster.images[2]?.image;
    const [from, to] = [`docker://${server.host}/team/sub/app:v2`, `dir:${join(work, 'copied')}`];
    await succeed('skopeo', ['copy', '-q', '--src-tls-verify=false', from, to]);
    const requests = requestsSince(target, before);
    const sizes = [...(image?.blobs.values() ?? [])].map((blob) => blob.length);
    const wanted = sizes.reduce((sum, size) => sum + size, 0) + (image?.root.size ?? 0);
    expect(requests.length).toBeGreaterThan(0);
    expect(
      requests.map(({ method, path, status }) => [
        method,
        /\/(\w+)\/sha256/.exec(path)?.[1],
        status,
      ]),
    ).toEqual(requests.map(() => ['GET', 'blobs', 206]));
    expect(requests.reduce((sum, { size }) => sum + size, 0)).toBeLessThanOrEqual(wanted);
  });

  test('of which one image changes differs in one large layer, two at most, and the index', async () => {
    const before = await layersOf(pushed('1'));
    await release('docker.io/library/base:1.0', 'another base');
    const sent = await result(
      ['build', cluster.path, '-t', name, '-o', pushed('2'), '--since', pushed('1'), ...plain()],
      { env: cluster.env },
    );
    expect(sent.fetched).toBeLessThan(1_500_000);
    const known = new Set(before.map(({ digest }) => digest));
    const fresh = (await layersOf(pushed('2'))).filter(({ digest }) => !known.has(digest));
    expect(fresh.length).toBeLessThanOrEqual(4);
    expect(fresh.filter(({ size }) => size > 1_048_576)).toHaveLength(1);
    expect(fresh.at(-1)?.annotations).toEqual({ 'io.cluster-image.index': '1' });
    const verified = await result(['verify', pushed('2'), ...plain()], { env: cluster.env });
    expect(verified.problems).toEqual([]);
  });
});

describe('a delta', () => {
  const archives = (): readonly [string, string] => [
    join(work, 'one.tar'),
    join(work, 'delta.tar'),
  ];

  beforeAll(async () => {
    const [one, delta] = archives();
    await result(['save', pushed('1'), `oci-archive:${one}`, ...plain()], { env: cluster.env });
    await result(
      ['save', pushed('2'), `oci-archive:${delta}`, '--since', `oci-archive:${one}`, ...plain()],
      { env: cluster.env },
    );
  });

  test('is refused where its base is not, and completed where it is', async () => {
    const [one, delta] = archives();
    const env = { CLUSTER_IMAGE_STORE: join(work, 'second') };
    const refused = await clusterImage(['load', `oci-archive:${delta}`, 'cluster:2'], { env });
    expect(refused.code).not.toBe(0);
    expect(refused.stderr).toMatch(/sha256:[0-9a-f]{64}/);
    await result(['load', `oci-archive:${one}`, 'cluster:1'], { env });
    const loaded = await result(['load', `oci-archive:${delta}`, 'cluster:2'], { env });
    expect(loaded.digest).toBe((await result(['inspect', pushed('2'), ...plain()])).digest);
    expect((await result(['verify', 'cluster:2'], { env })).problems).toEqual([]);
    const [whole, part] = await Promise.all(
      [one, delta].map(async (path) => Number((await succeed('stat', ['-c', '%s', path])).trim())),
    );
    expect(part).toBeLessThan((whole ?? 0) / 2);
  });

  test('is served beside its base', async () => {
    const [one, delta] = archives();
    const env = { CLUSTER_IMAGE_STORE: join(work, 'third') };
    const alone = await clusterImage(['serve', `oci-archive:${delta}`], { env });
    expect(alone.code).not.toBe(0);
    const server = await serveCommand([`oci-archive:${one}`, `oci-archive:${delta}`], work, [
      '--store',
      env.CLUSTER_IMAGE_STORE,
    ]);
    servers.push(server);
    const inspect = ['inspect', '--tls-verify=false', `docker://${server.host}/library/base:1.0`];
    const { Layers } = JSON.parse(await succeed('skopeo', inspect));
    expect(Layers).toHaveLength(2);
    const copied = await run('skopeo', [
      'copy',
      '-q',
      '--src-tls-verify=false',
      `docker://${server.host}/team/sub/app:v2`,
      `dir:${join(work, 'from-delta')}`,
    ]);
    expect(copied.code).toBe(0);
  });
});
