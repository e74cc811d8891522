import {
  createContext,
  OciError,
  parsePlatform,
  type RegistryReader,
  readAll,
} from '@cluster-image/oci';
import { directory, imageArchive } from '@cluster-image/storage';
import { type ImageFixture, imageFixture, indexFixture } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import type { Discovery } from '../../src/discover/discovery.ts';
import { lock } from '../../src/lock/lock.ts';
import type { Lockfile } from '../../src/lock/lockfile.ts';
import { artifactFixture, bareIndexFixture } from '../artifacts.ts';
import { contextDirectory } from '../context.ts';
import { dockerSaveAll } from '../docker-save.ts';
import { failureOf } from '../failure.ts';
import { discoveryOf, noEngines, upstreamOf, watched } from '../upstream.ts';

interface Asked {
  readonly existing?: Lockfile;
  readonly platforms?: readonly string[];
  readonly update?: 'all' | readonly string[];
  readonly root?: string;
  readonly calls?: string[];
  readonly signal?: AbortSignal;
}

async function locked(
  discovery: Discovery,
  upstream: RegistryReader,
  asked: Asked = {},
): Promise<Lockfile> {
  const { platforms = ['linux/amd64'], update = [], calls = [], signal } = asked;
  const root = asked.root ?? (await contextDirectory({}));
  return lock(
    discovery,
    asked.existing,
    { upstream: watched(upstream, calls), tree: directory(root), engines: noEngines },
    { platforms: platforms.map(parsePlatform), update },
    createContext(signal && { signal }),
  );
}

const pinOf = ({ root }: ImageFixture) => ({ digest: root.digest, size: root.size });

const index = indexFixture(['linux/amd64', 'linux/arm64', 'linux/arm/v7', 'unknown/unknown']);
const [amd64, arm64, arm] = index.manifests.map(({ digest, size }) => ({ digest, size }));
const single = imageFixture({ seed: 'single' });

describe('a reference is pinned', () => {
  test('to its index, and to the manifest of each platform', async () => {
    const upstream = await upstreamOf({ 'a.io/b:1': index });
    const platforms = ['linux/arm64', 'linux/amd64', 'linux/arm'];
    expect(await locked(discoveryOf(['a.io/b:1']), upstream, { platforms })).toEqual({
      lockfileVersion: 1,
      platforms,
      images: {
        'a.io/b:1': {
          ...pinOf(index),
          mediaType: index.root.mediaType,
          manifests: { 'linux/amd64': amd64, 'linux/arm64': arm64, 'linux/arm': arm },
        },
      },
      bases: {},
    });
  });

  test('to itself where it is an image for one platform', async () => {
    const upstream = await upstreamOf({ 'a.io/b:1': single });
    const { images } = await locked(discoveryOf(['a.io/b:1']), upstream);
    expect(images['a.io/b:1']).toEqual({
      ...pinOf(single),
      mediaType: single.root.mediaType,
      manifests: { 'linux/amd64': pinOf(single) },
    });
  });

  test('with as few questions as there can be', async () => {
    const upstream = await upstreamOf({ 'a.io/b:1': index, 'a.io/c:1': single });
    const calls: string[] = [];
    const pinned = `a.io/b@${index.root.digest}`;
    await locked(discoveryOf(['a.io/b:1', pinned, 'a.io/c:1']), upstream, { calls });
    expect(calls.sort()).toEqual(
      [
        'resolve a.io/b 1',
        `manifest a.io/b ${index.root.digest}`,
        `manifest a.io/b ${index.root.digest}`,
        'resolve a.io/c 1',
        `manifest a.io/c ${single.root.digest}`,
        `blob a.io/c ${single.root.config.digest}`,
      ].sort(),
    );
  });

  test('by the digest it names, whatever its tag means', async () => {
    const upstream = await upstreamOf({ 'a.io/b:1': single, 'a.io/b:other': index });
    const reference = `a.io/b:1@${index.root.digest}`;
    const { images } = await locked(discoveryOf([reference]), upstream);
    expect(images[reference]?.digest).toBe(index.root.digest);
  });

  test('as image and as base', async () => {
    const upstream = await upstreamOf({ 'a.io/b:1': index, 'a.io/base:1': single });
    const { images, bases } = await locked(
      discoveryOf(['a.io/b:1'], ['a.io/base:1', 'a.io/b:1']),
      upstream,
    );
    expect(Object.keys(images)).toEqual(['a.io/b:1']);
    expect(Object.keys(bases)).toEqual(['a.io/base:1', 'a.io/b:1']);
  });
});

describe('what is for no platform', () => {
  const chart = artifactFixture('application/vnd.cncf.helm.config.v1+json');
  const many = ['linux/amd64', 'linux/arm64'];

  test.each([
    ['a chart', chart],
    ['a bundle of manifests', artifactFixture('application/vnd.cncf.flux.config.v1+json')],
    ['anything with an empty config', artifactFixture('application/vnd.oci.empty.v1+json')],
    ['an index of such', bareIndexFixture([chart])],
    ['an index that does not say', bareIndexFixture([single])],
  ])('fits every platform: %s', async (_, artifact) => {
    const upstream = await upstreamOf({ 'a.io/b:1': artifact });
    const calls: string[] = [];
    const { images } = await locked(discoveryOf(['a.io/b:1']), upstream, {
      platforms: many,
      calls,
    });
    expect(images['a.io/b:1']?.manifests).toEqual({
      'linux/amd64': pinOf(artifact),
      'linux/arm64': pinOf(artifact),
    });
    expect(calls.some((call) => call.startsWith('blob'))).toBe(false);
  });

  test('is no image for another platform, nor an index of none', async () => {
    const arm = imageFixture({ platform: 'linux/arm64' });
    const upstream = await upstreamOf({ 'a.io/b:1': arm, 'a.io/c:1': bareIndexFixture([]) });
    for (const reference of ['a.io/b:1', 'a.io/c:1']) {
      expect((await failureOf(locked(discoveryOf([reference]), upstream))).code).toBe('NOT_FOUND');
    }
  });
});

describe('L02: a pin', () => {
  const before = { 'a.io/b:1': index, 'a.io/c:1': index };
  const moved = indexFixture(['linux/amd64', 'linux/arm64'], { seed: 'moved' });
  const after = { 'a.io/b:1': moved, 'a.io/c:1': moved };
  const discovery = discoveryOf(['a.io/b:1', 'a.io/c:1']);
  const digests = ({ images }: Lockfile) => Object.values(images).map(({ digest }) => digest);

  test('stays, without a question, whatever upstream means now', async () => {
    const existing = await locked(discovery, await upstreamOf(before));
    const calls: string[] = [];
    expect(await locked(discovery, await upstreamOf(after), { existing, calls })).toEqual(existing);
    expect(calls).toEqual([]);
  });

  test('moves when it is to be updated, and no other does', async () => {
    const existing = await locked(discovery, await upstreamOf(before));
    const upstream = await upstreamOf(after);
    const one = await locked(discovery, upstream, { existing, update: ['a.io/c:1'] });
    expect(digests(one)).toEqual([index.root.digest, moved.root.digest]);
    const all = await locked(discovery, upstream, { existing, update: 'all' });
    expect(digests(all)).toEqual([moved.root.digest, moved.root.digest]);
  });

  test('that has not moved costs one question when it is to be updated', async () => {
    const existing = await locked(discovery, await upstreamOf(before));
    const calls: string[] = [];
    const options = { existing, calls, update: 'all' } as const;
    expect(await locked(discovery, await upstreamOf(before), options)).toEqual(existing);
    expect(calls.sort()).toEqual(['resolve a.io/b 1', 'resolve a.io/c 1']);
  });

  test('gets another platform from the image that is pinned', async () => {
    const upstream = await upstreamOf({ ...before, 'a.io/b:moved': moved });
    const existing = await locked(discoveryOf(['a.io/b:1']), upstream);
    const calls: string[] = [];
    const platforms = ['linux/amd64', 'linux/arm64'];
    const more = await locked(discoveryOf(['a.io/b:1']), upstream, { existing, platforms, calls });
    expect(more.images['a.io/b:1']?.digest).toBe(index.root.digest);
    expect(more.images['a.io/b:1']?.manifests).toEqual({
      'linux/amd64': amd64,
      'linux/arm64': arm64,
    });
    expect(calls).toEqual([`manifest a.io/b ${index.root.digest}`]);
  });

  test('loses a platform that is not wanted any more', async () => {
    const platforms = ['linux/amd64', 'linux/arm64'];
    const upstream = await upstreamOf(before);
    const existing = await locked(discovery, upstream, { platforms });
    const less = await locked(discovery, upstream, { existing });
    expect(less.platforms).toEqual(['linux/amd64']);
    expect(less.images['a.io/b:1']?.manifests).toEqual({ 'linux/amd64': amd64 });
  });

  test('goes with what referred to it', async () => {
    const existing = await locked(discovery, await upstreamOf(before));
    const fewer = await locked(discoveryOf(['a.io/c:1']), await upstreamOf({}), { existing });
    expect(Object.keys(fewer.images)).toEqual(['a.io/c:1']);
  });

  test('that is gone upstream is told, with the way on', async () => {
    const existing = await locked(discovery, await upstreamOf(before));
    const platforms = ['linux/amd64', 'linux/arm64'];
    const upstream = await upstreamOf({ 'a.io/b:1': moved, 'a.io/c:1': index });
    const error = await failureOf(locked(discovery, upstream, { existing, platforms }));
    expect([error.code, error.message]).toEqual([
      'NOT_FOUND',
      `a.io/b:1 (manifests/all.yaml:1): its registry has no ${index.root.digest}, which is pinned`,
    ]);
    expect(error.hint).toContain('--update');
  });
});

describe('an archive', () => {
  async function archived(
    fixture: ImageFixture,
    names: readonly string[] = ['app:1'],
  ): Promise<Uint8Array> {
    const registry = await upstreamOf({ 'a.io/b:1': fixture });
    const [name = ''] = names;
    const content = await imageArchive(
      registry,
      'a.io/b',
      fixture.root,
      { tag: '1', reference: name },
      fixture.root.kind === 'index' ? 'oci' : 'docker',
    );
    return readAll(content, content.size);
  }

  const found = { reference: 'docker.io/acme/app:1', archive: 'docker-archive:images/app.tar' };

  test('is pinned by what is in it, under the name it is given', async () => {
    const root = await contextDirectory({ 'images/app.tar': await archived(single) });
    const image = { ...found, repository: 'app' };
    const { images } = await locked(discoveryOf([image]), await upstreamOf({}), { root });
    expect(images).toEqual({
      'docker.io/acme/app:1': {
        archive: 'docker-archive:images/app.tar',
        repository: 'app',
        ...pinOf(single),
        mediaType: single.root.mediaType,
        manifests: { 'linux/amd64': pinOf(single) },
      },
    });
  });

  test('may hold an index', async () => {
    const root = await contextDirectory({ 'images/app.tar': await archived(index) });
    const image = { ...found, archive: 'oci-archive:images/app.tar' };
    const options = { root, platforms: ['linux/arm64'] };
    const { images } = await locked(discoveryOf([image]), await upstreamOf({}), options);
    expect(images['docker.io/acme/app:1']).toMatchObject({
      ...pinOf(index),
      manifests: { 'linux/arm64': arm64 },
    });
  });

  test('that is another one now keeps its pin until it is updated', async () => {
    const discovery = discoveryOf([found]);
    const upstream = await upstreamOf({});
    const root = await contextDirectory({ 'images/app.tar': await archived(single) });
    const existing = await locked(discovery, upstream, { root });
    const other = imageFixture({ seed: 'other' });
    const changed = await contextDirectory({ 'images/app.tar': await archived(other) });
    expect(await locked(discovery, upstream, { root: changed, existing })).toEqual(existing);
    const updated = await locked(discovery, upstream, { root: changed, existing, update: 'all' });
    expect(updated.images['docker.io/acme/app:1']?.digest).toBe(other.root.digest);
  });

  test('takes the place of a registry, and the other way round', async () => {
    const root = await contextDirectory({ 'images/app.tar': await archived(single) });
    const upstream = await upstreamOf({ 'docker.io/acme/app:1': index });
    const remote = await locked(discoveryOf([found.reference]), upstream, { root });
    const local = await locked(discoveryOf([found]), upstream, { root, existing: remote });
    expect(local.images[found.reference]).toMatchObject({
      ...pinOf(single),
      archive: found.archive,
    });
    const back = await locked(discoveryOf([found.reference]), upstream, { root, existing: local });
    expect(back).toEqual(remote);
  });

  test('with several images gives the one that is named', async () => {
    const one = imageFixture({ seed: 'one' });
    const two = imageFixture({ seed: 'two' });
    const all = await dockerSaveAll([
      [one, ['acme/app:1', 'acme/app:latest']],
      [two, ['acme/tool:1']],
    ]);
    const root = await contextDirectory({ 'images/app.tar': all });
    const pinned = async (name: string): Promise<string | undefined> => {
      const image = { ...found, archive: `docker-archive:images/app.tar${name}` };
      const { images } = await locked(discoveryOf([image]), await upstreamOf({}), { root });
      return images[found.reference]?.digest;
    };
    expect(await pinned(':acme/tool:1')).toBe(two.root.digest);
    expect(await pinned(':docker.io/acme/app:1')).toBe(one.root.digest);
    expect(await pinned(':acme/app')).toBe(one.root.digest);
    for (const name of ['', ':acme/none:1']) {
      const { code, hint } = await failureOf(pinned(name));
      expect([code, hint]).toEqual(['INPUT_INVALID', expect.stringContaining('PATH:NAME')]);
    }
  });

  test.each<[string, Record<string, string | Uint8Array>, string, RegExp]>([
    ['is not there', {}, 'NOT_FOUND', /there is no archive images\/app\.tar in the context/],
    ['is none', { 'images/app.tar': 'x'.repeat(1024) }, 'ARCHIVE_INVALID', /images\/app\.tar/],
  ])('that %s', async (_, files, code, message) => {
    const root = await contextDirectory(files);
    const error = await failureOf(locked(discoveryOf([found]), await upstreamOf({}), { root }));
    expect([error.code, error.message]).toEqual([code, expect.stringMatching(message)]);
    expect(error.message).toContain('docker.io/acme/app:1 (manifests/all.yaml:1): ');
  });
});

describe('what cannot be pinned', () => {
  test('for a platform says which there are', async () => {
    const upstream = await upstreamOf({ 'a.io/b:1': index, 'a.io/c:1': single });
    const platforms = ['linux/amd64', 'linux/s390x'];
    const [ofIndex, ofImage] = await Promise.all(
      ['a.io/b:1', 'a.io/c:1'].map((name) =>
        failureOf(locked(discoveryOf([name]), upstream, { platforms })),
      ),
    );
    expect([ofIndex?.code, ofIndex?.message]).toEqual([
      'NOT_FOUND',
      'a.io/b:1 (manifests/all.yaml:1): not there for linux/s390x, only for linux/amd64, linux/arm64, linux/arm',
    ]);
    expect(ofImage?.message).toContain('only for linux/amd64');
    expect(ofImage?.hint).toContain('--platform');
  });

  test('is listed whole, with its places, and the rest was tried', async () => {
    const upstream = await upstreamOf({ 'a.io/b:1': single });
    const calls: string[] = [];
    const discovery = discoveryOf(['a.io/none:1', 'a.io/b:1', 'a.io/gone:2'], ['a.io/base:1']);
    const error = await failureOf(locked(discovery, upstream, { calls }));
    expect([error.code, error.message]).toEqual([
      'SOME_FAILED',
      `3 of 4 failed:
  a.io/none:1 (manifests/all.yaml:1): there is no such image, or no access to it
  a.io/gone:2 (manifests/all.yaml:3): there is no such image, or no access to it
  a.io/base:1 (Kubefile:1): there is no such image, or no access to it`,
    ]);
    expect(error.hint).toContain('docker login');
    expect(calls).toContain(`manifest a.io/b ${single.root.digest}`);
  });

  test('because the run was interrupted is not asked for', async () => {
    const calls: string[] = [];
    const work = locked(discoveryOf(['a.io/b:1']), await upstreamOf({}), {
      calls,
      signal: AbortSignal.abort(),
    });
    expect((await failureOf(work)).code).toBe('ABORTED');
    expect(calls).toEqual([]);
  });

  test('because something else is wrong is not taken for absence', async () => {
    const upstream = await upstreamOf({});
    const broken: RegistryReader = {
      ...upstream,
      resolve: async () => {
        throw new OciError('UNAUTHORIZED', 'a.io: refused', { hint: 'Log in.' });
      },
    };
    const error = await failureOf(locked(discoveryOf(['a.io/b:1']), broken));
    expect([error.code, error.message, error.hint]).toEqual([
      'UNAUTHORIZED',
      'a.io/b:1 (manifests/all.yaml:1): a.io: refused',
      'Log in.',
    ]);
  });
});
