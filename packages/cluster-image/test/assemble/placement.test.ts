import {
  createContext,
  describe as describeManifest,
  parsePlatform,
  readAll,
} from '@cluster-image/oci';
import { type ImageFixture, imageFixture, indexFixture } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { placedRegistry, placementsOf } from '../../src/assemble/placement.ts';
import { cache } from '../../src/cache.ts';
import type { Lockfile } from '../../src/lock/lockfile.ts';
import { artifactFixture, bareIndexFixture } from '../artifacts.ts';
import { type Cluster, clusterOf, emptyStore } from '../cluster.ts';
import { failureOf } from '../failure.ts';
import { noEngines, upstreamOf } from '../upstream.ts';

const amd64 = parsePlatform('linux/amd64');
const index = indexFixture(['linux/amd64', 'linux/arm64']);
const [own, other] = index.manifests;
const single = imageFixture({ seed: 'single' });

async function filled(images: Readonly<Record<string, ImageFixture>>): Promise<Cluster> {
  const cluster = await clusterOf(images);
  await cluster.fill();
  return cluster;
}

/** `repository:tag digest` of each placement. */
async function placed(images: Readonly<Record<string, ImageFixture>>): Promise<readonly string[]> {
  const { lockfile, store } = await filled(images);
  const placements = await placementsOf(lockfile, amd64, store);
  return placements.map(({ repository, tag, root }) => `${repository}:${tag} ${root.digest}`);
}

describe('in the registry of a cluster image', () => {
  test("a tag names the platform's own manifest", async () => {
    expect(await placed({ 'quay.io/a/b:v1': index, 'nginx:1': single })).toEqual([
      `a/b:v1 ${own?.digest}`,
      `library/nginx:1 ${single.root.digest}`,
    ]);
    const { lockfile, store } = await filled({ 'quay.io/a/b:v1': index });
    const [placement] = await placementsOf(lockfile, amd64, store);
    expect(placement?.manifests.map(({ digest }) => digest)).toEqual([own?.digest]);
  });

  test('a digest names the whole index, under a tag made of it', async () => {
    const { digest } = index.root;
    const reference = `quay.io/a/b@${digest}`;
    expect(await placed({ [reference]: index })).toEqual([
      `a/b:${digest.replace(':', '-')} ${digest}`,
    ]);
    const { lockfile, store } = await filled({ [reference]: index });
    const [placement] = await placementsOf(lockfile, amd64, store);
    expect(placement?.manifests.map((manifest) => manifest.digest)).toEqual(
      index.manifests.map((manifest) => manifest.digest),
    );
    expect(placement?.blobs).toHaveLength(index.blobs.size);
  });

  test('what is for no platform is there whole, and again at no cost', async () => {
    const chart = artifactFixture('application/vnd.cncf.helm.config.v1+json');
    const charts = bareIndexFixture([chart, artifactFixture('application/x', 'other')]);
    const cluster = await filled({ 'a.io/chart:1': chart, 'a.io/charts:1': charts });
    const { lockfile, store } = cluster;
    const placements = await placementsOf(lockfile, amd64, store);
    expect(
      placements.map(({ tag, root, manifests }) => [tag, root.digest, manifests.length]),
    ).toEqual([
      ['1', chart.root.digest, 1],
      ['1', charts.root.digest, 3],
    ]);
    expect(placements[1]?.blobs).toHaveLength(charts.blobs.size);
    const asked = cluster.calls.length;
    await cluster.fill();
    expect(cluster.calls.length).toBe(asked);
  });

  test('tag and digest go together', async () => {
    const { digest } = index.root;
    expect(await placed({ [`quay.io/a/b:v1@${digest}`]: index })).toEqual([`a/b:v1 ${digest}`]);
  });

  test('the digest of an image for one platform is that image', async () => {
    const { digest } = single.root;
    expect(await placed({ [`a.io/b@${digest}`]: single })).toEqual([
      `b:${digest.replace(':', '-')} ${digest}`,
    ]);
  });

  test('what is referred to by tag has the tag, beside the same by tag and digest', async () => {
    const { digest } = index.root;
    expect(await placed({ 'a.io/b:1': index, [`a.io/b:1@${digest}`]: index })).toEqual([
      `b:1 ${own?.digest}`,
      `b:${digest.replace(':', '-')} ${digest}`,
    ]);
  });

  test('another digest of a tag goes by its digest', async () => {
    const moved = indexFixture(['linux/amd64'], { seed: 'moved' });
    const images = { 'a.io/b:1': single, [`a.io/b:1@${moved.root.digest}`]: moved };
    expect(await placed(images)).toEqual([
      `b:1 ${single.root.digest}`,
      `b:${moved.root.digest.replace(':', '-')} ${moved.root.digest}`,
    ]);
  });

  test('of two digests of a tag one has it, always the same', async () => {
    const moved = indexFixture(['linux/amd64'], { seed: 'moved' });
    const [first, second] = [index, moved].sort((a, b) => (a.root.digest < b.root.digest ? -1 : 1));
    const names = [first, second].map((image) => [`a.io/b:1@${image?.root.digest}`, image]);
    const expected = [
      `b:1 ${first?.root.digest}`,
      `b:${second?.root.digest.replace(':', '-')} ${second?.root.digest}`,
    ];
    expect(await placed(Object.fromEntries(names))).toEqual(expected);
    expect(await placed(Object.fromEntries(names.toReversed()))).toEqual(expected);
  });

  test('the same image from two hosts is there once', async () => {
    expect(await placed({ 'quay.io/a/b:v1': single, 'docker.io/a/b:v1': single })).toEqual([
      `a/b:v1 ${single.root.digest}`,
    ]);
  });

  test('different images from two hosts under one name are an error that names both', async () => {
    const error = await failureOf(placed({ 'quay.io/a/b:v1': single, 'docker.io/a/b:v1': index }));
    expect([error.code, error.message]).toEqual([
      'CONFLICT',
      'docker.io/a/b:v1 and quay.io/a/b:v1 are different images, and both would be a/b:v1 in registry/',
    ]);
    expect(error.hint).toBeDefined();
  });

  test('an archive goes by the name it was given', async () => {
    const cluster = await filled({ 'docker.io/library/app:1': single });
    const [pin] = Object.values(cluster.lockfile.images);
    if (!pin) throw new Error('not pinned');
    const lockfile: Lockfile = {
      ...cluster.lockfile,
      images: { 'docker.io/library/app:1': { ...pin, repository: 'app' } },
    };
    const [placement] = await placementsOf(lockfile, amd64, cluster.store);
    expect([placement?.repository, placement?.tag]).toEqual(['app', '1']);
  });
});

describe('what cannot be placed', () => {
  test('because it is not pinned for the platform', async () => {
    const { lockfile, store } = await filled({ 'a.io/b:1': single });
    const error = await failureOf(placementsOf(lockfile, parsePlatform('linux/s390x'), store));
    expect([error.code, error.message]).toEqual([
      'LOCK_DRIFT',
      'a.io/b:1 is not pinned for linux/s390x',
    ]);
  });

  test('because a manifest of it is not in the store', async () => {
    const { lockfile } = await clusterOf({ 'a.io/b:1': single });
    const error = await failureOf(placementsOf(lockfile, amd64, await emptyStore()));
    expect([error.code, error.message]).toEqual([
      'NOT_FOUND',
      `a.io/b:1: manifest ${single.root.digest} is not in the store`,
    ]);
    expect(error.hint).toContain('cluster-image cache');
  });

  test('because a child is missing of an index that has to be whole', async () => {
    const byTag = await filled({ 'a.io/b:1': index });
    const byDigest = await clusterOf({ [`a.io/b@${index.root.digest}`]: index });
    const error = await failureOf(placementsOf(byDigest.lockfile, amd64, byTag.store));
    expect(error.message).toContain(`manifest ${other?.digest} is not in the store`);
  });
});

test('the placed images are a registry', async () => {
  const reference = `a.io/c@${index.root.digest}`;
  const upstream = await upstreamOf({ 'a.io/b:1': index, [reference]: index });
  const cluster = await clusterOf({ 'a.io/b:1': index, [reference]: index });
  await cache(
    cluster.lockfile,
    cluster.store,
    {
      upstream,
      tree: { entries: async function* () {}, entry: async () => undefined },
      engines: noEngines,
    },
    createContext(),
  );
  const placements = await placementsOf(cluster.lockfile, amd64, cluster.store);
  const registry = placedRegistry(placements, cluster.store);
  expect(await Array.fromAsync(registry.repositories())).toEqual(['b', 'c']);
  expect(await Array.fromAsync(registry.tags('b'))).toEqual(['1']);
  expect(await Array.fromAsync(registry.tags('none'))).toEqual([]);
  if (!own || !other) throw new Error('no children');
  expect(await registry.resolve('b', '1')).toEqual(describeManifest(own));
  expect(await registry.resolve('b', '2')).toBeUndefined();
  expect(await registry.resolve('b', index.root.digest)).toBeUndefined();
  expect((await registry.manifest('c', other.digest))?.digest).toBe(other.digest);
  expect(await registry.manifest('b', other.digest)).toBeUndefined();
  for (const [digest, body] of index.blobs) {
    const blob = await registry.blob('c', digest);
    expect(blob && new Uint8Array(await readAll(blob, body.length))).toEqual(body);
  }
  const foreign = [...index.blobs.keys()].filter((digest) => {
    const mine = own.kind === 'image' ? [own.config, ...own.layers] : [];
    return !mine.some((part) => part.digest === digest);
  });
  expect(foreign.length).toBeGreaterThan(0);
  for (const digest of foreign) expect(await registry.blob('b', digest)).toBeUndefined();
});
