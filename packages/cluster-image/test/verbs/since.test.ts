import { readdir, rm } from 'node:fs/promises';
import { blobsOf } from '@cluster-image/oci';
import {
  type FaultRegistry,
  type FaultRule,
  faultRegistry,
  imageFixture,
} from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { type Built, buildVerb } from '../../src/verbs/build.ts';
import { cacheVerb } from '../../src/verbs/cache.ts';
import { lockVerb } from '../../src/verbs/lock.ts';
import { verifyVerb } from '../../src/verbs/verify.ts';
import { clusterFiles, putImages } from '../cluster-files.ts';
import { putFiles } from '../context.ts';
import { failureOf } from '../failure.ts';
import { type Place, place } from '../place.ts';

const megabyte = 1024 * 1024;
/** In bytes; worth a layer of its own. */
const large = megabyte + 1;

/** The most that may be moved for it where nothing else changed. */
const bound = 1.05 * large + 64 * 1024;

const names = ['app', 'base', 'web', 'worker'] as const;

/** Images with a large layer and a small one each. */
const fixture = (name: string, release = 1) =>
  imageFixture({ seed: `${name} ${release}`, layers: [large, 2000] });

interface Site {
  readonly upstream: FaultRegistry;
  readonly target: FaultRegistry;
  /** A machine that has nothing but the repository. */
  machine(): Promise<Place>;
  build(where: Place, options?: BuildChoice): Promise<Built>;
  /** Another release of one of the images, pinned. */
  release(where: Place): Promise<void>;
}

interface BuildChoice {
  readonly output?: string[];
  readonly since?: string;
  readonly noStore?: boolean;
}

async function site(rules: readonly FaultRule[] = []): Promise<Site> {
  const upstream = await faultRegistry({ rules });
  const target = await faultRegistry();
  await putImages(
    upstream,
    Object.fromEntries(names.map((name) => [`acme/${name}:1`, fixture(name)])),
  );
  const files = clusterFiles(
    upstream.host,
    names.map((name) => `acme/${name}:1`),
  );
  const plain = { context: 'cluster', plainHttp: [upstream.host] };
  return {
    upstream,
    target,
    async machine() {
      const here = await place();
      await putFiles(here.root, files);
      await here.run(lockVerb, plain);
      return here;
    },
    build: (where, more = {}) =>
      where.run(buildVerb, {
        context: 'cluster',
        plainHttp: [upstream.host, target.host],
        output: [`docker://${target.host}/team/cluster:1`],
        ...more,
      }),
    async release(where) {
      await putImages(upstream, { 'acme/web:1': fixture('web', 2) });
      await where.run(lockVerb, { ...plain, references: [], update: true });
    },
  };
}

const bytesSent = (registry: FaultRegistry): number =>
  registry.log.reduce((sum, { received }) => sum + received, 0);

/** How often blobs were fetched. */
const fetches = (registry: FaultRegistry): readonly string[] =>
  registry.requests('blob', 'GET').map(({ reference = '' }) => reference);

describe('after one of four images changed', () => {
  test('a machine with an empty store fetches and sends little more than what changed', async () => {
    const { machine, build, release, upstream, target } = await site();
    const first = await machine();
    await build(first);
    const sent = bytesSent(target);
    const second = await machine();
    await release(second);
    const [asked, askedTarget] = [fetches(upstream).length, target.log.length];
    const { fetched, digest } = await build(second);
    const changed = blobsOf(fixture('web', 2).root).map(({ digest }) => digest);
    expect([...fetches(upstream).slice(asked)].sort()).toEqual([...changed].sort());
    // Of the earlier image: its index, and what is small.
    const taken = target.log
      .slice(askedTarget)
      .filter(({ kind, method }) => kind === 'blob' && method === 'GET');
    const ranges = taken
      .slice(1)
      .map(({ headers }) => /bytes=(\d+)-(\d+)/.exec(headers.range ?? ''));
    expect(ranges.length).toBeGreaterThanOrEqual(2 * (names.length - 1));
    expect(ranges.every((range) => Number(range?.[2]) - Number(range?.[1]) < 2000)).toBe(true);
    expect(fetched).toBeLessThan(bound);
    expect(bytesSent(target) - sent).toBeLessThan(bound);
    // The same as where everything was there.
    const whole = await machine();
    await whole.run(cacheVerb, { context: 'cluster', plainHttp: [upstream.host] });
    const again = await whole.run(buildVerb, { context: 'cluster', tag: 'whole' });
    expect(again.digest).toBe(digest);
    const location = `docker://${target.host}/team/cluster:1`;
    const verified = await whole.run(verifyVerb, { location, plainHttp: [target.host] });
    expect(verified.problems).toEqual([]);
  });

  test('nothing but the change is read where everything is there, and nothing is fetched twice', async () => {
    const { machine, build, release, upstream, target } = await site();
    const here = await machine();
    await build(here);
    await release(here);
    const asked = fetches(upstream).length;
    await build(here);
    const changed = blobsOf(fixture('web', 2).root).map(({ digest }) => digest);
    expect([...fetches(upstream).slice(asked)].sort()).toEqual([...changed].sort());
    const [requests, sent] = [upstream.log.length, bytesSent(target)];
    await build(here);
    expect(upstream.log.length).toBe(requests);
    expect(bytesSent(target)).toBe(sent);
  });

  test('an earlier image that is named is mounted from', async () => {
    const { machine, build, release, target } = await site();
    await build(await machine());
    const second = await machine();
    await release(second);
    const sent = bytesSent(target);
    const since = `docker://${target.host}/team/cluster:1`;
    await build(second, { output: [`docker://${target.host}/other/name:2`], since });
    expect(bytesSent(target) - sent).toBeLessThan(bound);
    const location = `docker://${target.host}/other/name:2`;
    const verified = await second.run(verifyVerb, { location, plainHttp: [target.host] });
    expect(verified.problems).toEqual([]);
  });

  test('an earlier image that is not there, or has no index, is told', async () => {
    const { machine, build, upstream, target } = await site();
    const here = await machine();
    const missing = build(here, { since: `docker://${target.host}/no/thing:1` });
    expect((await failureOf(missing)).code).toBe('NOT_FOUND');
    const plain = build(here, { since: `docker://${upstream.host}/acme/app:1` });
    expect((await failureOf(plain)).code).toBe('UNSUPPORTED');
  });
});

describe('without a store', () => {
  test('an image is streamed to its registry, each layer once, and nothing is left here', async () => {
    const { machine, build, upstream, target } = await site();
    const here = await machine();
    await rm(here.path('.store'), { recursive: true, force: true });
    const asked = fetches(upstream).length;
    const { digest } = await build(here, { noStore: true });
    const blobs = names.flatMap((name) => blobsOf(fixture(name).root).map(({ digest }) => digest));
    expect([...fetches(upstream).slice(asked)].sort()).toEqual([...blobs].sort());
    const left = await readdir(here.path('.store')).catch(() => []);
    expect(left).toEqual([]);
    const location = `docker://${target.host}/team/cluster:1`;
    const verified = await here.run(verifyVerb, { location, plainHttp: [target.host] });
    expect(verified.problems).toEqual([]);
    const whole = await machine();
    await whole.run(cacheVerb, { context: 'cluster', plainHttp: [upstream.host] });
    expect((await whole.run(buildVerb, { context: 'cluster', tag: 'whole' })).digest).toBe(digest);
  });

  test('what the target has from before is not fetched', async () => {
    const { machine, build, release, upstream } = await site();
    await build(await machine(), { noStore: true });
    const second = await machine();
    await release(second);
    const asked = fetches(upstream).length;
    await build(second, { noStore: true });
    const changed = blobsOf(fixture('web', 2).root).map(({ digest }) => digest);
    expect([...fetches(upstream).slice(asked)].sort()).toEqual([...changed].sort());
  });

  test('needs one registry to stream to', async () => {
    const { machine, build } = await site();
    const here = await machine();
    const nowhere = build(here, { noStore: true, output: ['oci:out:1'] });
    expect((await failureOf(nowhere)).code).toBe('USAGE');
  });

  test('a layer that is damaged on its way fails, and the image is not there', async () => {
    const { machine, build, target } = await site([
      {
        match: { kind: 'blob', method: 'GET', repository: 'acme/app', nth: 3 },
        fault: { corrupt: 9 },
      },
    ]);
    const failing = build(await machine(), { noStore: true });
    expect((await failureOf(failing)).code).toBe('DIGEST_MISMATCH');
    expect(await target.registry.resolve('team/cluster', '1')).toBeUndefined();
  });
});

test('a configured earlier image gives what its upstream no longer has', async () => {
  const { machine, build, upstream, target } = await site();
  await build(await machine());
  const here = await machine();
  const location = `docker://${target.host}/team/cluster:1`;
  await putFiles(here.root, {
    'cluster/cluster-image.json': JSON.stringify({ earlier: [location] }),
  });
  const asked = fetches(upstream).length;
  const options = { context: 'cluster', plainHttp: [upstream.host, target.host] };
  await here.run(cacheVerb, options);
  expect(fetches(upstream).length).toBe(asked);
  expect((await here.run(verifyVerb, {})).problems).toEqual([]);
});
