import { readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { type ImageManifest, isDigest, type Registry, verified } from '@cluster-image/oci';
import { distributionLayout, layoutPaths } from '@cluster-image/storage';
import { type FaultRule, faultRegistry, noise } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { failureOf } from '../failure.ts';
import { type Place, place } from '../place.ts';
import { type Caching, caching, warnings } from './caching.ts';

interface Beside extends Place {
  readonly registry: Registry;
  readonly requests: readonly { readonly method: string; readonly target: string }[];
  readonly cache: Caching;
  /** Another server beside it, for which the same registry goes wrong where rules say so. */
  again(...rules: readonly FaultRule[]): Promise<Caching>;
}

/** A cache in a registry. */
async function beside(): Promise<Beside> {
  const upstream = await faultRegistry();
  const { registry } = upstream;
  const here = await place();
  const at = (host: string): Promise<Caching> =>
    caching(here, `docker://${host}/team/cache`, { plainHttp: [host] });
  const again = async (...rules: readonly FaultRule[]): Promise<Caching> =>
    at(rules.length === 0 ? upstream.host : (await faultRegistry({ registry, rules })).host);
  return { ...here, registry, requests: upstream.log, cache: await at(upstream.host), again };
}

async function artifactIn(registry: Registry, repository: string): Promise<ImageManifest> {
  const [tag = ''] = await Array.fromAsync(registry.tags(repository));
  const found = await registry.resolve(repository, tag);
  const manifest = found && (await registry.manifest(repository, found.digest));
  if (manifest?.kind !== 'image') throw new Error('no artifact');
  return manifest;
}

describe('in a registry', () => {
  test('an artifact is a manifest with one layer, under a tag that people can read', async () => {
    const { registry, cache } = await beside();
    await cache.nx('PUT', '348203904853156842', { body: 'one' });
    const tags = await Array.fromAsync(registry.tags('team/cache'));
    expect(tags).toEqual(['main_nx_348203904853156842']);
    const manifest = await artifactIn(registry, 'team/cache');
    expect(JSON.parse(new TextDecoder().decode(manifest.bytes))).toEqual({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      artifactType: 'application/vnd.cluster-image.cache.v1',
      config: {
        mediaType: 'application/vnd.oci.empty.v1+json',
        digest: 'sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a',
        size: 2,
      },
      layers: [
        {
          mediaType: 'application/octet-stream',
          digest: 'sha256:7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed',
          size: 3,
        },
      ],
      annotations: {
        'io.cluster-image.cache.key': 'nx main 348203904853156842',
        'io.cluster-image.cache.token': 'anyone',
      },
    });
  });

  test('a hit asks for the manifest and the blob, a miss once', async () => {
    const here = await beside();
    const { cache, requests } = here;
    await cache.nx('PUT', '1', { body: noise('body', 3_000_000) });
    const before = requests.length;
    expect((await cache.nx('GET', '1')).status).toBe(200);
    expect(requests.slice(before).map(({ method }) => method)).toEqual(['GET', 'GET']);
    await cache.nx('GET', '2');
    expect(requests.length - before).toBe(3);
    // What it lay in on the way is gone.
    await expect.poll(() => readdir(here.path('.store/.staging')).catch(() => [])).toEqual([]);
  });

  test('another server reads what one has written, and writes nothing over it', async () => {
    const { cache, again } = await beside();
    await cache.nx('PUT', '1', { body: 'one' });
    const other = await again();
    expect((await other.nx('GET', '1')).text).toBe('one');
    expect((await other.nx('PUT', '1', { body: 'two' })).status).toBe(409);
  });

  test('of two servers that write one key at a time one is told that it came later', async () => {
    const { cache, again } = await beside();
    const other = await again();
    for (const key of ['1', '2', '3']) {
      const puts = ['one', 'two'].map((body, at) =>
        (at === 0 ? cache : other).nx('PUT', key, { body }),
      );
      const statuses = (await Promise.all(puts)).map(({ status }) => status);
      expect([...statuses].sort()).toEqual([200, 409]);
      const stored = await cache.nx('GET', key);
      expect(stored.text).toBe(statuses[0] === 200 ? 'one' : 'two');
    }
  });

  test('that keeps tags from moving decides itself', { timeout: 60_000 }, async () => {
    const { cache, again } = await beside();
    // Both find nothing, and the other one writes first.
    const late = await again(
      { match: { kind: 'manifest', method: 'GET', nth: 1 }, fault: { status: 404 } },
      { match: { kind: 'manifest', method: 'HEAD', nth: 1 }, fault: { status: 404 } },
      { match: { kind: 'manifest', method: 'GET', nth: 2 }, fault: { status: 404 } },
      { match: { kind: 'manifest', method: 'PUT' }, fault: { status: 400 } },
    );
    await cache.nx('PUT', '1', { body: 'one' });
    expect((await late.nx('PUT', '1', { body: 'two' })).status).toBe(409);
    // That it takes nothing is something else.
    expect((await late.nx('PUT', '2', { body: 'two' })).status).toBe(403);
    expect((await cache.nx('GET', '1')).text).toBe('one');
  });
});

describe('a registry that fails', () => {
  test.each([
    ['does not answer', { drop: 'rst' }],
    ['lets nobody in', { status: 401 }],
    ['forbids everything', { status: 403 }],
    ['is no registry', { status: 200, body: '<html>' }],
  ] as const)('because it %s fails no build', { timeout: 60_000 }, async (_, fault) => {
    const here = await beside();
    await here.cache.nx('PUT', '1', { body: 'one' });
    const body = noise('large', 3_000_000);
    const reading = await here.again({ fault });
    expect((await reading.nx('GET', '1')).status).toBe(404);
    expect((await reading.turbo('GET', '1')).status).toBe(404);
    const writing = await here.again({ fault });
    expect((await writing.nx('PUT', '2', { body })).status).toBe(403);
    expect((await writing.turbo('PUT', '2', { body })).status).toBe(503);
    const told = warnings(here).filter((text) => text.startsWith('nx main'));
    expect(told[0]).toMatch(/^nx main 1 .*counts as a miss: /);
    expect(told.at(-1)).toMatch(/^nx main 2 is not stored: /);
  });

  test('in the middle of a blob is a miss for Nx, and cut off for Turborepo', async () => {
    const here = await beside();
    const body = noise('large', 3_000_000);
    await here.cache.nx('PUT', '1', { body });
    await here.cache.turbo('PUT', '1', { body });
    const damaged = await here.again({
      match: { kind: 'blob', method: 'GET' },
      fault: { corrupt: 2_999_000 },
    });
    expect((await damaged.nx('GET', '1')).status).toBe(404);
    const { url } = damaged;
    const response = await fetch(`${url}/v8/artifacts/1`);
    expect([response.status, response.headers.get('content-length')]).toEqual([200, '3000000']);
    await expect(response.arrayBuffer()).rejects.toThrow();
    // From now on it is known.
    expect((await damaged.turbo('GET', '1')).status).toBe(404);
    expect(warnings(here).filter((text) => text.includes('is damaged'))).toEqual([
      expect.stringContaining('nx main 1'),
      expect.stringContaining('turbo main 1'),
    ]);
  });
});

describe('in a directory', () => {
  const at = async (here: Place): Promise<{ readonly blob: string; readonly link: string }> => {
    const layout = distributionLayout(here.path('cache'));
    const { layers } = await artifactIn(layout, 'cache');
    const digest = layers[0]?.digest;
    if (!digest) throw new Error('no layer');
    return {
      blob: here.path('cache', layoutPaths.blob(digest)),
      link: here.path('cache', layoutPaths.tag('cache', 'main_nx_1')),
    };
  };

  test('what a server has stored another one reads', async () => {
    const here = await place();
    const first = await caching(here, 'registry:cache');
    await first.nx('PUT', '1', { body: 'one' });
    await first.stop();
    const second = await caching(here, 'registry:cache');
    expect((await second.nx('GET', '1')).text).toBe('one');
  });

  test('of many who write one key at a time, in several servers, one does', async () => {
    const here = await place();
    const servers = [await caching(here, 'registry:cache'), await caching(here, 'registry:cache')];
    const bodies = ['a', 'b', 'c', 'd', 'e', 'f'];
    const puts = bodies.map((body, at) => servers[at % 2]?.nx('PUT', '1', { body }));
    const statuses = (await Promise.all(puts)).map((answered) => answered?.status);
    expect([...statuses].sort()).toEqual([200, 409, 409, 409, 409, 409]);
    const stored = await servers[0]?.nx('GET', '1');
    expect(stored?.text).toBe(bodies[statuses.indexOf(200)]);
  });

  test.each([
    ['cut short', async ({ blob }: { blob: string }) => truncate(blob, 2_000_000)],
    ['gone', async ({ blob }: { blob: string }) => rm(blob)],
    [
      'changed in one byte',
      async ({ blob }: { blob: string }) => {
        const all = await readFile(blob);
        all[2_500_000] = (all[2_500_000] ?? 0) ^ 1;
        await rm(blob);
        await writeFile(blob, all);
      },
    ],
    ['under no link', async ({ link }: { link: string }) => writeFile(link, 'nonsense')],
    ['under an empty link', async ({ link }: { link: string }) => writeFile(link, '')],
  ])('an artifact that is %s is a miss, and is stored again', async (_, damage) => {
    const here = await place();
    const { nx, url } = await caching(here, 'registry:cache');
    const body = noise('body', 3_000_000);
    await nx('PUT', '1', { body });
    await damage(await at(here));
    expect((await nx('GET', '1')).status).toBe(404);
    expect((await nx('GET', '1')).status).toBe(404);
    expect((await nx('PUT', '1', { body })).status).toBe(200);
    const found = await fetch(`${url}/v1/cache/1`);
    expect(Buffer.from(await found.arrayBuffer()).equals(body)).toBe(true);
    expect((await nx('PUT', '1', { body: 'other' })).status).toBe(409);
  });

  test('an artifact under the tag of another is none', async () => {
    const here = await place();
    const { nx } = await caching(here, 'registry:cache');
    await nx('PUT', '1', { body: 'one' });
    const layout = distributionLayout(here.path('cache'));
    await layout.putManifest('cache', await artifactIn(layout, 'cache'), 'main_nx_2');
    expect((await nx('GET', '2')).status).toBe(404);
    expect((await nx('GET', '1')).text).toBe('one');
    expect(warnings(here)[0]).toContain('nx main 2 is damaged and counts as a miss');
  });

  test('what docker-registry would serve is sound', async () => {
    const here = await place();
    const { nx } = await caching(here, 'registry:cache');
    await nx('PUT', '1', { body: 'one' });
    const layout = distributionLayout(here.path('cache'));
    for (const { digest } of (await artifactIn(layout, 'cache')).layers) {
      const blob = await layout.blob('cache', digest);
      expect(
        isDigest(digest) && blob && (await Array.fromAsync(verified(blob, digest, '').open())),
      ).toHaveLength(1);
    }
  });
});

describe('a cache is kept nowhere else', () => {
  test.each([
    'oci:dir',
    'docker-archive:x.tar',
    'name',
    'docker://registry.example/team/cache:1',
    `docker://registry.example/team/cache@sha256:${'0'.repeat(64)}`,
  ])('than in a registry or its directory: %s', async (location) => {
    const here = await place();
    expect((await failureOf(caching(here, location))).code).toBe('USAGE');
  });
});
