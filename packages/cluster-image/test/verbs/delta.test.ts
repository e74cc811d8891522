import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import { blobsOf, type Digest, digestOf } from '@cluster-image/oci';
import { type FaultRegistry, faultRegistry, imageFixture, noise } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { buildVerb } from '../../src/verbs/build.ts';
import { inspectVerb } from '../../src/verbs/inspect.ts';
import { lockVerb } from '../../src/verbs/lock.ts';
import { serveVerb } from '../../src/verbs/serve.ts';
import { copyVerb, loadVerb, pullVerb, pushVerb, saveVerb } from '../../src/verbs/transfer.ts';
import { verifyVerb } from '../../src/verbs/verify.ts';
import { clusterFiles, putImages } from '../cluster-files.ts';
import { putFiles } from '../context.ts';
import { desk, index, image as plainImage } from '../desk.ts';
import { failureOf } from '../failure.ts';
import { type Place, place } from '../place.ts';
import { serving } from '../serving.ts';

const megabyte = 1024 * 1024;
/** In bytes; worth a layer of its own. */
const large = megabyte + 1;
const names = ['app', 'base', 'web'] as const;
const fixture = (name: string, release = 1) =>
  imageFixture({ seed: `${name} ${release}`, layers: [large, 2000] });

interface Releases {
  readonly here: Place;
  readonly upstream: FaultRegistry;
  readonly first: Digest;
  readonly second: Digest;
  /** Both releases, and what the second changed, as files of `here`. */
  readonly files: { readonly first: string; readonly second: string; readonly delta: string };
  /** Layers of the second that the first has as well. */
  readonly leftOut: readonly string[];
}

/** A cluster image in two releases, the second with another `web`. */
async function releases(): Promise<Releases> {
  const upstream = await faultRegistry();
  const images = (release: number) => [
    ...names.map((name) => [`acme/${name}:1`, fixture(name)] as const),
    [`acme/web:1`, fixture('web', release)] as const,
  ];
  await putImages(upstream, Object.fromEntries(images(1)));
  const here = await place();
  const references = names.map((name) => `acme/${name}:1`);
  await putFiles(here.root, clusterFiles(upstream.host, references));
  const plain = { context: 'cluster', plainHttp: [upstream.host] };
  await here.run(lockVerb, plain);
  const first = await here.run(buildVerb, { ...plain, tag: 'cluster:1' });
  await here.run(saveVerb, { from: 'cluster:1', to: 'docker-archive:first.tar' });
  await putImages(upstream, Object.fromEntries(images(2)));
  await here.run(lockVerb, { ...plain, references: [], update: true });
  const second = await here.run(buildVerb, { ...plain, tag: 'cluster:2' });
  await here.run(saveVerb, { from: 'cluster:2', to: 'docker-archive:second.tar' });
  const options = { from: 'cluster:2', to: 'docker-archive:delta.tar', since: 'cluster:1' };
  await here.run(saveVerb, options);
  const layersOf = async (location: string): Promise<readonly string[]> => {
    const { platforms } = await here.run(inspectVerb, { location });
    return platforms.flatMap(({ layers }) => layers.map(({ digest }) => digest));
  };
  const known = await layersOf('cluster:1');
  return {
    here,
    upstream,
    first: first.digest,
    second: second.digest,
    files: {
      first: here.path('first.tar'),
      second: here.path('second.tar'),
      delta: here.path('delta.tar'),
    },
    leftOut: (await layersOf('cluster:2')).filter((digest) => known.includes(digest)),
  };
}

const size = async (path: string): Promise<number> => (await stat(path)).size;

describe('what is saved since an earlier image', () => {
  test('completes it in another store, and is about as large as what changed', async () => {
    const { second, files, leftOut } = await releases();
    expect(leftOut.length).toBeGreaterThanOrEqual(names.length - 1);
    const small = 256 * 1024;
    expect(await size(files.delta)).toBeLessThan(large + small);
    expect(await size(files.second)).toBeGreaterThan(names.length * large);
    const there = await place();
    await there.run(loadVerb, { from: `docker-archive:${files.first}` });
    const loaded = await there.run(loadVerb, { from: `docker-archive:${files.delta}` });
    expect([loaded.to, loaded.digest]).toEqual(['docker.io/library/cluster:2', second]);
    expect(loaded.moved).toBeLessThan(large + small);
    expect((await there.run(verifyVerb, { location: 'cluster:2' })).problems).toEqual([]);
    expect((await there.run(verifyVerb, {})).problems).toEqual([]);
    // And gives the whole image on.
    await there.run(saveVerb, { from: 'cluster:2', to: 'docker-archive:whole.tar' });
    expect(await readFile(there.path('whole.tar'))).toEqual(await readFile(files.second));
  });

  test('is the same whatever the earlier image lies in', async () => {
    const { here, upstream, files } = await releases();
    const there = `docker://${upstream.host}/team/cluster:1`;
    const plainHttp = [upstream.host];
    await here.run(pushVerb, { from: 'cluster:1', to: there, plainHttp });
    await here.run(saveVerb, { from: 'cluster:1', to: 'oci:layout:1' });
    const delta = await size(files.delta);
    for (const since of [there, 'oci:layout:1', 'docker-archive:first.tar', 'first.tar']) {
      const to = 'docker-archive:again.tar';
      const saved = await here.run(saveVerb, { from: 'cluster:2', to, since, plainHttp });
      expect(saved.leftOut).toBeGreaterThan((names.length - 1) * large);
      expect(Math.abs((await size(here.path('again.tar'))) - delta)).toBeLessThan(2048);
      expect(saveVerb.lines(saved).at(-1)).toMatch(
        /^ {2}without [\d.]+ MB that are there already$/,
      );
    }
    const whole = await here.run(saveVerb, { from: 'cluster:2', to: 'oci-archive:whole.tar' });
    expect(whole.leftOut).toBeUndefined();
  });

  test.each(['oci-archive:other.tar', 'oci:other'])('can be %s', async (to) => {
    const { here, second, files, leftOut } = await releases();
    await here.run(saveVerb, { from: 'cluster:2', to, since: 'cluster:1' });
    const location = to.replace('other', here.path('other'));
    const there = await place();
    const refused = await failureOf(there.run(loadVerb, { from: location, to: 'cluster:2' }));
    for (const digest of leftOut) expect(refused.message).toContain(digest);
    await there.run(loadVerb, { from: `docker-archive:${files.first}` });
    const loaded = await there.run(loadVerb, { from: location, to: 'cluster:2' });
    expect(loaded.digest).toBe(second);
    expect((await there.run(verifyVerb, { location: 'cluster:2' })).problems).toEqual([]);
  });

  test('of one platform is since that platform', async () => {
    const here = await desk();
    const [from, plainHttp] = [`docker://${here.host}/acme/index:1`, [here.host]];
    const options = { from, to: 'oci-archive:x.tar', platform: 'linux/arm64', plainHttp };
    await here.run(saveVerb, { ...options, since: from });
    const { digest, delta } = await here.run(inspectVerb, { location: 'x.tar' });
    const arm64 = index.manifests[1];
    expect([digest, delta?.since.digest]).toEqual([arm64?.digest, arm64?.digest]);
    // Of a delta for several platforms as well, what one of them lacks is all that one needs.
    await here.run(saveVerb, { ...options, platform: undefined, since: from });
    const [platform] = ['linux/amd64'];
    const load = { from: 'oci-archive:x.tar', to: 'app:1', platform };
    const amd64 = index.manifests[0];
    const error = await failureOf(here.run(loadVerb, load));
    const layers = amd64?.kind === 'image' ? amd64.layers : [];
    expect(error.message.match(/sha256:\w+/g)).toEqual(layers.map(({ digest }) => digest));
  });
});

describe('what an image lacks that was saved since another one', () => {
  test('is missed before anything is loaded, all of it at once, with what to load first', async () => {
    const { first, files, leftOut } = await releases();
    const there = await place();
    const error = await failureOf(there.run(loadVerb, { from: `docker-archive:${files.delta}` }));
    expect(error.code).toBe('NOT_FOUND');
    const [head, ...lines] = error.message.split('\n');
    expect(head).toMatch(/delta\.tar is a delta, and \d+ layers \([\d.]+ MB\) are missing:$/);
    expect(lines.map((line) => line.trim().split('  ')[0])).toEqual(leftOut);
    for (const line of lines) expect(line).toMatch(/^ {2}sha256:[0-9a-f]{64} {2}[\d.]+ [kM]?B$/);
    const base = `docker.io/library/cluster:1 (${first})`;
    expect(error.hint).toBe(`Load ${base} first, which it was saved since.`);
    expect((await there.run(verifyVerb, {})).blobs).toBe(0);
  });

  test('may be in the store under any name, or be computed of what was built there', async () => {
    const { here, files, second } = await releases();
    const there = await place();
    await there.run(loadVerb, { from: `docker-archive:${files.first}`, to: 'x.io/y:z' });
    const load = { from: `docker-archive:${files.delta}`, to: 'app:1' };
    expect((await there.run(loadVerb, load)).digest).toBe(second);
    // Here no layer is a blob: all are plans.
    expect((await here.run(loadVerb, load)).digest).toBe(second);
    expect((await here.run(verifyVerb, { location: 'app:1' })).problems).toEqual([]);
  });

  test('is missed of what was built where parts of that are gone', async () => {
    const { here, files } = await releases();
    const layer = fixture('app').root.layers[0]?.digest.slice('sha256:'.length) ?? '';
    const blobs = 'docker/registry/v2/blobs/sha256';
    await rm(here.path('.store', blobs, layer.slice(0, 2), layer, 'data'));
    const load = { from: `docker-archive:${files.delta}`, to: 'app:1' };
    const error = await failureOf(here.run(loadVerb, load));
    expect(error.message).toMatch(
      /is a delta, and 1 layer \(.*\) is missing:\n {2}sha256:\S+ {2}.*B$/,
    );
  });

  test('is all that is missing, damaged in the store or lost of the delta itself', async () => {
    const here = await desk();
    const plainHttp = [here.host];
    const fresh = noise('fresh', 4000);
    const [first, second] = plainImage.root.layers;
    const bodies = [first, second].map((layer) => layer && plainImage.blobs.get(layer.digest));
    const layers = [...bodies.map((body) => body ?? 0), fresh];
    await putImages(here.upstream, { 'acme/next:1': imageFixture({ seed: 'next', layers }) });
    const [from, since] = ['next', 'app'].map((name) => `docker://${here.host}/acme/${name}:1`);
    await here.run(saveVerb, { from: from ?? '', to: 'oci:delta:1', since, plainHttp });
    await here.run(pullVerb, { from: `${here.host}/acme/app:1`, plainHttp });
    const path = (digest = ''): string => digest.slice('sha256:'.length);
    await rm(here.path('delta/blobs/sha256', path(digestOf(fresh))));
    const hex = path(second?.digest);
    const stored = here.path(
      '.store/docker/registry/v2/blobs/sha256',
      hex.slice(0, 2),
      hex,
      'data',
    );
    await rm(stored);
    await writeFile(stored, 'cut off');
    const load = { from: 'oci:delta:1', to: 'next:1' };
    const { message } = await failureOf(here.run(loadVerb, load));
    expect(message.match(/sha256:\w+/g)).toEqual([second?.digest, digestOf(fresh)]);
  });

  test('is needed of a registry, or of a layout, only as far as that lacks it', async () => {
    const { upstream, files, second, leftOut } = await releases();
    const there = await place();
    const plainHttp = [upstream.host];
    for (const end of [`docker://${upstream.host}/team/cluster`, 'oci:layout']) {
      const push = { from: `docker-archive:${files.delta}`, to: `${end}:2`, plainHttp };
      const error = await failureOf(there.run(copyVerb, push));
      expect([error.code, error.message.match(/sha256:\w+/g)]).toEqual(['NOT_FOUND', leftOut]);
      const from = `docker-archive:${files.first}`;
      await there.run(copyVerb, { from, to: `${end}:1`, plainHttp });
      const pushed = await there.run(copyVerb, push);
      expect([pushed.digest, pushed.moved < large + 256 * 1024]).toEqual([second, true]);
      const location = `${end}:2`;
      expect((await there.run(verifyVerb, { location, plainHttp })).problems).toEqual([]);
    }
  });

  test('is not needed where it is left out again', async () => {
    const { files, second } = await releases();
    const there = await place();
    const from = `docker-archive:${files.delta}`;
    const since = `docker-archive:${files.first}`;
    const saved = await there.run(saveVerb, { from, to: 'docker-archive:again.tar', since });
    expect(saved.digest).toBe(second);
    expect(await readFile(there.path('again.tar'))).toEqual(await readFile(files.delta));
    const whole = there.run(saveVerb, { from, to: 'docker-archive:again.tar' });
    expect((await failureOf(whole)).code).toBe('NOT_FOUND');
    expect(await readFile(there.path('again.tar'))).toEqual(await readFile(files.delta));
  });
});

describe('serve', () => {
  test('gives the newer of two images, in whatever order they are named', async () => {
    const { files } = await releases();
    const there = await place();
    const given = [files.first, files.delta];
    for (const locations of [given, given.toReversed()]) {
      const server = await serving(there, locations);
      const elsewhere = await place();
      const plainHttp = [server.host];
      for (const name of names) {
        const from = `${server.host}/acme/${name}:1`;
        const { digest } = await elsewhere.run(pullVerb, { from, plainHttp });
        expect(digest).toBe(fixture(name, name === 'web' ? 2 : 1).root.digest);
      }
      await server.stop();
    }
  });

  test('gives the newest of a row of them', async () => {
    const { here, upstream, files } = await releases();
    await putImages(upstream, { 'acme/web:1': fixture('web', 3) });
    const plain = { context: 'cluster', plainHttp: [upstream.host] };
    await here.run(lockVerb, { ...plain, references: [], update: true });
    await here.run(buildVerb, { ...plain, tag: 'cluster:3' });
    const since = 'docker-archive:delta.tar';
    await here.run(saveVerb, { from: 'cluster:3', to: 'oci-archive:third.tar', since });
    const there = await place();
    const third = here.path('third.tar');
    const server = await serving(there, [files.delta, third, files.first]);
    const elsewhere = await place();
    const from = `${server.host}/acme/web:1`;
    const { digest } = await elsewhere.run(pullVerb, { from, plainHttp: [server.host] });
    expect(digest).toBe(fixture('web', 3).root.digest);
    await server.stop();
    const error = await failureOf(there.run(serveVerb, { locations: [third, files.delta] }));
    expect([error.code, error.hint]).toEqual(['NOT_FOUND', expect.stringContaining('cluster:2')]);
  });

  test('of an image that lacks parts begins only where the store has them', async () => {
    const { files, leftOut } = await releases();
    const there = await place();
    const error = await failureOf(there.run(serveVerb, { locations: [files.delta] }));
    expect([error.code, error.message.match(/sha256:\w+/g)]).toEqual(['NOT_FOUND', leftOut]);
    await there.run(loadVerb, { from: `docker-archive:${files.first}` });
    const server = await serving(there, [files.delta]);
    const elsewhere = await place();
    const from = `${server.host}/acme/app:1`;
    const { digest } = await elsewhere.run(pullVerb, { from, plainHttp: [server.host] });
    expect(digest).toBe(fixture('app').root.digest);
    await server.stop();
  });
});

describe('verify and inspect', () => {
  test('tell what an image is saved since, and what the store lacks of it', async () => {
    const { first, files, leftOut } = await releases();
    const there = await place();
    const location = files.delta;
    const since = { digest: first, name: 'docker.io/library/cluster:1' };
    for (const isInStore of [false, true]) {
      if (isInStore) await there.run(loadVerb, { from: `docker-archive:${files.first}` });
      const verified = await there.run(verifyVerb, { location });
      const inspected = await there.run(inspectVerb, { location, images: true });
      for (const { delta } of [verified, inspected]) {
        expect(delta?.since).toEqual(since);
        expect(delta?.leftOut.map(({ digest }) => digest)).toEqual(leftOut);
        expect(new Set(delta?.leftOut.map((layer) => layer.isInStore))).toEqual(
          new Set([isInStore]),
        );
      }
      expect(verified.problems).toEqual([]);
      expect(verifyVerb.failed?.(verified)).toBe(false);
      expect(inspected.images?.map(({ repository }) => repository)).toEqual(
        names.map((name) => `acme/${name}`),
      );
      for (const lines of [verifyVerb.lines(verified), inspectVerb.lines(inspected)]) {
        expect(lines).toContain(`  a delta, saved since ${since.name} (${first})`);
        const layer = lines.find((line) => line.includes(leftOut[0] ?? 'nothing')) ?? '';
        expect(layer).toMatch(isInStore ? /, in the store$/ : /, missing in the store$/);
      }
    }
    expect((await there.run(verifyVerb, { location: 'cluster:1' })).delta).toBeUndefined();
  });

  test('tell damage apart from what was left out', async () => {
    const here = await desk();
    const plainHttp = [here.host];
    const two = imageFixture({ seed: 'two', layers: [4000] });
    const [shared] = plainImage.root.layers;
    const body = plainImage.blobs.get(shared?.digest ?? plainImage.root.digest);
    const next = imageFixture({ seed: 'two', layers: [4000, body ?? 0] });
    await putImages(here.upstream, { 'acme/next:1': next, 'acme/two:1': two });
    const from = `docker://${here.host}/acme/next:1`;
    const since = `docker://${here.host}/acme/app:1`;
    await here.run(saveVerb, { from, to: 'oci:delta:1', since, plainHttp });
    const location = 'oci:delta:1';
    const [fresh] = blobsOf(two.root).slice(1);
    const path = here.path('delta/blobs/sha256', fresh?.digest.slice('sha256:'.length) ?? '');
    expect((await here.run(verifyVerb, { location })).problems).toEqual([]);
    await rm(path);
    const { problems, delta } = await here.run(verifyVerb, { location });
    expect(problems).toEqual([{ path: fresh?.digest, why: 'is missing' }]);
    expect(delta?.leftOut.map(({ digest }) => digest)).toEqual([shared?.digest]);
    await writeFile(path, 'other bytes');
    const wrong = await here.run(verifyVerb, { location });
    expect(wrong.problems.map(({ path }) => path)).toEqual([fresh?.digest]);
  });
});
