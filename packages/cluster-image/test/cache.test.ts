import { chmod, readdir, readFile, rm, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import {
  bytes,
  createContext,
  type Event,
  type Manifest,
  OciError,
  type RegistryReader,
  readAll,
} from '@cluster-image/oci';
import { imageArchive, openStore, verifyLayout } from '@cluster-image/storage';
import { type ImageFixture, imageFixture, indexFixture, noise } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { clusterOf } from './cluster.ts';
import { contextDirectory, putFiles } from './context.ts';
import { type Counts, countingFileSystem } from './counting.ts';
import { failureOf } from './failure.ts';
import { discoveryOf, upstreamOf } from './upstream.ts';

const platforms = ['linux/amd64', 'linux/arm64', 'linux/s390x'];
const index = indexFixture(platforms, { layers: [500, 3000] });
const [amd64, arm64, s390x] = index.manifests;
const single = imageFixture({ seed: 'single', layers: [10_000] });

function bytesOf({ blobs }: ImageFixture): number {
  return [...blobs.values()].reduce((sum, body) => sum + body.length, 0);
}

describe('cache brings into the store', () => {
  test('an index with its own digest, and of its children those that are pinned', async () => {
    const cluster = await clusterOf(
      { 'a.io/b:1': index },
      { platforms: ['linux/amd64', 'linux/s390x'] },
    );
    await cluster.fill();
    const { registry } = cluster.store;
    expect((await registry.resolve('a.io/b', '1'))?.digest).toBe(index.root.digest);
    expect((await registry.manifest('a.io/b', index.root.digest))?.bytes).toEqual(index.root.bytes);
    const there = async (manifest?: Manifest): Promise<boolean> =>
      manifest !== undefined && (await registry.manifest('a.io/b', manifest.digest)) !== undefined;
    expect([await there(amd64), await there(arm64), await there(s390x)]).toEqual([
      true,
      false,
      true,
    ]);
    expect(cluster.calls.some((call) => call.includes(arm64?.digest ?? '?'))).toBe(false);
  });

  test('all children of what is referred to by digest', async () => {
    for (const tag of ['', ':1']) {
      const reference = `a.io/b${tag}@${index.root.digest}`;
      const cluster = await clusterOf({ [reference]: index });
      await cluster.fill();
      const { registry } = cluster.store;
      for (const { digest } of index.manifests) {
        expect((await registry.manifest('a.io/b', digest))?.digest).toBe(digest);
      }
      const tags = await Array.fromAsync(registry.tags('a.io/b'));
      expect(tags).toEqual(tag === '' ? [] : ['1']);
    }
  });

  test('the bytes of every blob, and bases like images', async () => {
    const cluster = await clusterOf(
      { 'a.io/b:1': single, 'a.io/base:1': index },
      { bases: ['a.io/base:1'] },
    );
    const { images, fetched } = await cluster.fill();
    const base = imageFixture({ seed: 'image linux/amd64', layers: [500, 3000] });
    expect([images, fetched]).toEqual([2, bytesOf(single) + bytesOf(base)]);
    for (const [digest, body] of [...single.blobs, ...base.blobs]) {
      const blob = await cluster.store.blobs(digest, body.length);
      expect(blob && new Uint8Array(await readAll(blob, body.length))).toEqual(body);
    }
    const report = await verifyLayout(cluster.store.registry, { sparse: true });
    expect([report.problems, report.blobs]).toEqual([[], 2 + 3 + 1 + 2]);
  });

  test('one blob once, whoever has it', async () => {
    const shared = noise('shared', 5000);
    const one = imageFixture({ seed: 'one', layers: [shared, 10] });
    const two = imageFixture({ seed: 'two', layers: [shared, 20] });
    const cluster = await clusterOf({ 'a.io/one:1': one, 'b.io/two:1': two });
    const { fetched } = await cluster.fill();
    expect(fetched).toBe(bytesOf(one) + bytesOf(two) - shared.length);
  });

  test('nothing, and asks nothing, where everything is there', async () => {
    const cluster = await clusterOf({ 'a.io/b:1': index, 'a.io/c:1': single });
    expect((await cluster.fill()).fetched).toBeGreaterThan(0);
    cluster.calls.splice(0);
    expect(await cluster.fill()).toEqual({ images: 2, fetched: 0 });
    expect(cluster.calls).toEqual([]);
    // Another process, to which the store is new.
    const again = await cluster.fill({ store: openStore(cluster.store.root) });
    expect([again.fetched, cluster.calls]).toEqual([0, []]);
  });

  test('only what another image has not brought already', async () => {
    const cluster = await clusterOf({ 'a.io/b:1': single, 'b.io/b:1': single });
    const { fetched } = await cluster.fill();
    expect(fetched).toBe(bytesOf(single));
    const names = await Array.fromAsync(cluster.store.registry.repositories());
    expect(names).toEqual(['a.io/b', 'b.io/b']);
  });

  test('what is pinned, whatever the tag means by now', async () => {
    const cluster = await clusterOf({ 'a.io/b:1': single });
    const moved = imageFixture({ seed: 'moved' });
    const upstream = await upstreamOf({ 'a.io/b:1': moved, 'a.io/b:old': single });
    await cluster.fill({ upstream });
    const found = await cluster.store.registry.resolve('a.io/b', '1');
    expect(found?.digest).toBe(single.root.digest);
    expect(cluster.calls.filter((call) => call.startsWith('resolve'))).toEqual([]);
  });
});

describe('a cache that has everything already', () => {
  /** The calls that it makes of the file system for one image with so many layers. */
  async function callsFor(layers: number): Promise<Counts> {
    const image = imageFixture({ layers: Array.from({ length: layers }, (_, at) => at + 1) });
    const cluster = await clusterOf({ 'a.io/b:1': image });
    await cluster.fill();
    const { fs, calls } = countingFileSystem();
    await cluster.fill({ store: openStore(cluster.store.root, fs) });
    return calls;
  }

  test('looks twice for each blob, and reads none', async () => {
    const [few, many] = [await callsFor(2), await callsFor(12)];
    const more = (name: string): number => (many.get(name) ?? 0) - (few.get(name) ?? 0);
    expect(more('stat')).toBe(10 * 2);
    expect([more('lstat'), more('readFile')]).toEqual([0, 0]);
    expect([...many.keys()].sort()).toEqual(['open', 'readFile', 'stat']);
  });

  test('brings back whatever file is missing, or is shorter than it was', async () => {
    const cluster = await clusterOf({ 'a.io/b:1': index, 'a.io/c:1': single });
    await cluster.fill();
    const { root } = cluster.store;
    const files = (await readdir(root, { recursive: true, withFileTypes: true }))
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name));
    expect(files).toHaveLength(5 + 7 + 3 + 5);
    for (const path of files) {
      const before = await readFile(path);
      for (const harm of [() => rm(path), () => truncated(path)]) {
        await harm();
        await cluster.fill({ store: openStore(root) });
        expect([path, await readFile(path)]).toEqual([path, before]);
      }
    }
  });

  async function truncated(path: string): Promise<void> {
    await chmod(path, 0o644);
    await truncate(path, 1);
  }
});

describe('P3: a cache that did not come to its end', () => {
  /** An upstream that fails once so many bytes of blobs have been given. */
  function breaking(upstream: RegistryReader, limit: number): RegistryReader {
    let given = 0;
    return {
      ...upstream,
      async blob(repository, digest, size) {
        const found = await upstream.blob(repository, digest, size);
        return (
          found && {
            size: found.size,
            async *open(range) {
              for await (const chunk of found.open(range)) {
                given += chunk.length;
                if (given > limit) throw new OciError('NETWORK', 'the line went dead');
                yield chunk;
              }
            },
          }
        );
      },
    };
  }

  test('goes on where it stopped', async () => {
    const cluster = await clusterOf({ 'a.io/b:1': imageFixture({ layers: [1000, 2000, 3000] }) });
    const error = await failureOf(cluster.fill({ upstream: breaking(cluster.upstream, 4000) }));
    expect([error.code, error.message]).toEqual(['NETWORK', 'a.io/b:1: the line went dead']);
    expect(await cluster.store.registry.resolve('a.io/b', '1')).toBeUndefined();
    cluster.calls.splice(0);
    await cluster.fill();
    const asked = cluster.calls.filter((call) => call.startsWith('blob'));
    expect(asked.length).toBeGreaterThan(0);
    expect(asked.length).toBeLessThan(4);
    expect((await verifyLayout(cluster.store.registry, { sparse: true })).problems).toEqual([]);
  });

  test('X04: because it was interrupted, says that, and leaves the store sound', async () => {
    const images = Array.from({ length: 40 }, (_, at) => [
      `a.io/b${at}:1`,
      imageFixture({ seed: `${at}`, layers: [2000] }),
    ]);
    const cluster = await clusterOf(Object.fromEntries(images));
    const controller = new AbortController();
    const context = createContext({
      signal: controller.signal,
      report: (event) => {
        if (event.type === 'image' && event.state === 'done') controller.abort();
      },
    });
    expect((await failureOf(cluster.fill({ context }))).code).toBe('ABORTED');
    expect((await verifyLayout(cluster.store.registry, { sparse: true })).problems).toEqual([]);
    const done = (await Array.fromAsync(cluster.store.registry.repositories())).length;
    expect(done).toBeGreaterThan(0);
    expect(done).toBeLessThan(40);
    await cluster.fill();
    expect(await Array.fromAsync(cluster.store.registry.repositories())).toHaveLength(40);
  });
});

describe('Y10: where some images fail', () => {
  const images = { 'a.io/one:1': single, 'a.io/two:1': index, 'a.io/three:1': index };

  test('the others are finished, and each failure is named', async () => {
    const cluster = await clusterOf(images);
    const upstream = await upstreamOf({ 'a.io/one:1': single });
    const error = await failureOf(cluster.fill({ upstream }));
    expect([error.code, error.message]).toEqual([
      'SOME_FAILED',
      `2 of 3 failed:
  a.io/two:1: its registry has no ${index.root.digest}, which is pinned
  a.io/three:1: its registry has no ${index.root.digest}, which is pinned`,
    ]);
    expect(error.hint).toContain('--update');
    expect((await cluster.store.registry.resolve('a.io/one', '1'))?.digest).toBe(
      single.root.digest,
    );
    await cluster.fill();
    expect(await Array.fromAsync(cluster.store.registry.repositories())).toHaveLength(3);
  });

  test('one that fails alone is that failure', async () => {
    const cluster = await clusterOf(images);
    const upstream = await upstreamOf({ 'a.io/one:1': single, 'a.io/two:1': index });
    const error = await failureOf(cluster.fill({ upstream }));
    expect([error.code, error.message]).toEqual([
      'NOT_FOUND',
      `a.io/three:1: its registry has no ${index.root.digest}, which is pinned`,
    ]);
  });

  test('P2: wrong bytes are a failure that leaves no trace', async () => {
    const cluster = await clusterOf({ 'a.io/b:1': single });
    const lying: RegistryReader = {
      ...cluster.upstream,
      blob: async (_, __, size = 0) => bytes(new Uint8Array(size)),
    };
    const error = await failureOf(cluster.fill({ upstream: lying }));
    expect([error.code, error.message]).toEqual([
      'DIGEST_MISMATCH',
      expect.stringMatching(/^a\.io\/b:1: /),
    ]);
    for (const [digest] of single.blobs) {
      expect(await cluster.store.registry.content(digest)).toBeUndefined();
    }
  });

  test('they are reported as well as those that do not', async () => {
    const cluster = await clusterOf(images);
    const events: Event[] = [];
    const upstream = await upstreamOf({ 'a.io/one:1': single, 'a.io/two:1': index });
    const context = createContext({ report: (event) => events.push(event) });
    await failureOf(cluster.fill({ upstream, context }));
    expect(events[0]).toEqual({ type: 'stage', name: 'cache', total: 3 });
    const ends = events.flatMap((event) =>
      event.type === 'image' && event.state !== 'start' ? [event] : [],
    );
    expect(ends.map(({ reference, state }) => `${reference} ${state}`).sort()).toEqual([
      'a.io/one:1 done',
      'a.io/three:1 failed',
      'a.io/two:1 done',
    ]);
    expect(ends.find(({ reference }) => reference === 'a.io/one:1')?.bytes).toBe(bytesOf(single));
  });
});

describe('an archive of the context', () => {
  async function archived(fixture: ImageFixture): Promise<Uint8Array> {
    const registry = await upstreamOf({ 'a.io/b:1': fixture });
    const names = { tag: '1', reference: 'app:1' };
    const content = await imageArchive(registry, 'a.io/b', fixture.root, names, 'oci');
    return readAll(content, content.size);
  }

  const found = { reference: 'docker.io/acme/app:1', archive: 'oci-archive:images/app.tar' };

  test.each([
    ['an image', single],
    ['an index', index],
  ])('brings %s under the name it is pinned by', async (_, fixture) => {
    const root = await contextDirectory({ 'images/app.tar': await archived(fixture) });
    const cluster = await clusterOf({}, { root, discovery: discoveryOf([found]) });
    await cluster.fill();
    const { registry } = cluster.store;
    expect((await registry.resolve('docker.io/acme/app', '1'))?.digest).toBe(fixture.root.digest);
    expect(cluster.calls).toEqual([]);
    expect((await verifyLayout(registry, { sparse: true })).problems).toEqual([]);
  });

  test('that is another one by now is told, with the way on', async () => {
    const root = await contextDirectory({ 'images/app.tar': await archived(single) });
    const cluster = await clusterOf({}, { root, discovery: discoveryOf([found]) });
    await putFiles(root, { 'images/app.tar': await archived(index) });
    const error = await failureOf(cluster.fill());
    expect([error.code, error.message]).toEqual([
      'NOT_FOUND',
      `docker.io/acme/app:1: oci-archive:images/app.tar has no ${single.root.digest}, which is pinned`,
    ]);
    expect(error.hint).toContain('--update');
  });
});
