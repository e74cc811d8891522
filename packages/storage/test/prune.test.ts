import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import {
  bytes,
  createContext,
  type Digest,
  digestOf,
  parseReference,
  type Reference,
} from '@cluster-image/oci';
import {
  distributionLayout,
  type FileSystem,
  layoutPaths,
  openStore,
  type Pruned,
  type PruneOptions,
  type Store,
  type VirtualImage,
  verifyLayout,
} from '@cluster-image/storage';
import {
  type ImageFixture,
  imageFixture,
  indexFixture,
  noise,
  putFixture,
  temporaryDirectory,
} from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { aged, allAged, day, hour } from './aged.ts';
import { faulty } from './faulty.ts';
import { random } from './random.ts';
import { simulatedDisk } from './simulated-disk.ts';
import { unsynced } from './unsynced.ts';
import { digestsBelow, expectSound, pathsBelow, wholeTag } from './wreck.ts';

/** There are hundreds of moments to die at, in milliseconds. */
const timeout = 60_000;

const shared = noise('shared', 3000);
const one = imageFixture({ seed: 'one', layers: [shared, 2000] });
const two = imageFixture({ seed: 'two', layers: [shared, 4000] });
const index = indexFixture(['linux/amd64', 'linux/arm64'], { seed: 'index' });
const [amd64, arm64] = index.manifests;

function prune(
  store: Store,
  options: Partial<PruneOptions> = {},
  fs: FileSystem = unsynced,
): Promise<Pruned> {
  return openStore(store.root, fs).prune({ grace: 0, ...options }, createContext());
}

async function storeOf(images: Readonly<Record<string, ImageFixture>> = {}): Promise<Store> {
  const store = openStore(join(await temporaryDirectory(), 'store'), unsynced);
  for (const [name, image] of Object.entries(images)) {
    const { tag, ...named } = parseReference(name);
    await putFixture(store.registry, `${named.host}/${named.repository}`, image, tag);
  }
  return store;
}

/** The digests of the blobs that a store has, manifests among them. */
async function blobsIn({ root }: Pick<Store, 'root'>): Promise<readonly string[]> {
  const paths = await pathsBelow(join(root, layoutPaths.blobs));
  return paths
    .filter((path) => path.endsWith('/data'))
    .map((path) => path.split('/'))
    .map(([algorithm, , hex]) => `${algorithm}:${hex}`)
    .sort();
}

function partsOf(...images: readonly ImageFixture[]): readonly Digest[] {
  const parts = images.flatMap(({ blobs, manifests }) => [
    ...blobs.keys(),
    ...manifests.map(({ digest }) => digest),
  ]);
  return [...new Set(parts)].sort();
}

async function expectWellKept(store: Store, ...images: readonly ImageFixture[]): Promise<void> {
  expect(await blobsIn(store)).toEqual(partsOf(...images));
  expect((await verifyLayout(store.registry, { sparse: true })).problems).toEqual([]);
  await expectSound(store.root);
}

/** A lockfile that is there. */
async function lockfile(name = 'lock.json'): Promise<string> {
  const path = join(await temporaryDirectory(), name);
  writeFileSync(path, '');
  return path;
}

/** Makes what lockfiles pin used last so long ago, in milliseconds. */
function ageRoots({ root }: Store, age: number, isMeant: (text: string) => boolean): void {
  for (const name of readdirSync(join(root, 'roots'))) {
    const path = join(root, 'roots', name);
    const text = readFileSync(path, 'utf8');
    if (!isMeant(text)) continue;
    const usedAt = new Date(Date.now() - age).toISOString();
    writeFileSync(path, JSON.stringify({ ...JSON.parse(text), usedAt }));
  }
}

/** A built image: one layer with a plan, made of these blobs. */
function built(name: string, digests: readonly (readonly [Digest, number])[]): VirtualImage {
  const { root, blobs } = imageFixture({ seed: name, layers: [100] });
  const [layer] = root.layers;
  const config = blobs.get(root.config.digest);
  if (!layer || !config) throw new Error('no layer');
  const entries = digests.map(([digest, size], at) => ({
    ...{ type: 'file' as const, path: `${at}`, mode: 0o644, digest, size },
  }));
  return {
    name,
    root,
    manifests: new Map([[root.digest, root]]),
    configs: new Map([[root.config.digest, config]]),
    plans: new Map([[layer.digest, { formatVersion: 1, entries }]]),
  };
}

describe('what is kept', () => {
  test('is what has a name; what had one goes', async () => {
    const store = await storeOf({ 'a.io/app:1': one, 'a.io/other:1': index });
    await putFixture(store.registry, 'a.io/app', two, '1');
    const before = await blobsIn(store);
    const { blobs, released, problems } = await prune(store);
    expect({ blobs, released, problems }).toEqual({
      blobs: before.length - partsOf(two, index).length,
      released: [],
      problems: [],
    });
    await expectWellKept(store, two, index);
    expect(await wholeTag(store.registry, 'a.io/app', '1')).toBe(two.root.digest);
    expect(await wholeTag(store.registry, 'a.io/other', '1')).toBe(index.root.digest);
  });

  test('is each repository by itself: links of one do not hold those of another', async () => {
    const store = await storeOf({ 'a.io/app:1': one });
    await putFixture(store.registry, 'a.io/untagged', one);
    await prune(store);
    await expectWellKept(store, one);
    expect(await Array.fromAsync(store.registry.repositories())).toEqual(['a.io/app']);
    expect(existsSync(join(store.root, layoutPaths.repositories, 'a.io/untagged'))).toBe(false);
  });

  test('is, of an index that a lockfile pins, the children that it pins', async () => {
    for (const children of [amd64 && [amd64.digest], undefined]) {
      const store = await storeOf();
      await putFixture(store.registry, 'a.io/app', index);
      const pin = { repository: 'a.io/app', digest: index.root.digest, children };
      await store.remember({ path: await lockfile(), pins: [pin] });
      await prune(store);
      const there = await Array.fromAsync(
        index.manifests,
        async ({ digest }) => (await store.registry.manifest('a.io/app', digest)) !== undefined,
      );
      expect(there).toEqual([true, children === undefined, true]);
      expect((await verifyLayout(store.registry, { sparse: true })).problems).toEqual([]);
    }
  });

  test('is what lies in the layers of images that were built, and what their plans came to', async () => {
    const store = await storeOf();
    const [body, waste] = [noise('file', 700), noise('waste', 800)];
    for (const each of [body, waste]) await store.registry.putContent(digestOf(each), bytes(each));
    const kept = built('x.io/cluster:1', [[digestOf(body), body.length]]);
    const plans = [...kept.plans.values()];
    await store.putImage(parseReference('x.io/cluster:1'), kept);
    await store.layers.describe(plans, new AbortController().signal);
    const other = built('waste', [[digestOf(waste), waste.length]]);
    await store.layers.describe([...other.plans.values()], new AbortController().signal);
    expect(readdirSync(join(store.root, 'layers/sha256'))).toHaveLength(2);
    await prune(store);
    expect(await blobsIn(store)).toEqual([digestOf(body)]);
    expect(await store.image(parseReference('x.io/cluster:1'))).toEqual(kept);
    expect(readdirSync(join(store.root, 'layers/sha256'))).toEqual([
      digestOf(Buffer.from(JSON.stringify(plans[0]))).slice('sha256:'.length),
    ]);
  });

  test('is what a note of an image names, as long as the image is here or the note was used', async () => {
    const store = await storeOf();
    const body = noise('file', 700);
    await store.registry.putContent(digestOf(body), bytes(body));
    await store.putNote(one.root.digest, JSON.stringify([['link', digestOf(body)]]));
    await prune(store, { grace: hour });
    expect(await blobsIn(store)).toEqual([digestOf(body)]);
    await putFixture(store.registry, 'a.io/app', one, '1');
    await prune(store);
    expect(await blobsIn(store)).toEqual([digestOf(body), ...partsOf(one)].sort());
    rmSync(join(store.root, layoutPaths.blob(one.root.digest)));
    await prune(store);
    expect(await blobsIn(store)).not.toContain(digestOf(body));
    expect(await store.note(one.root.digest)).toBeUndefined();
  });

  test('is what is no part of a store, and nothing outside is reached through a link', async () => {
    const store = await storeOf({ 'a.io/app:1': one });
    const outside = join(store.root, '../outside');
    mkdirSync(join(outside, 'sha256/aa'), { recursive: true });
    const places = [
      'README',
      'docker/registry/v2/other',
      join(layoutPaths.blobs, 'sha256/aa/note'),
      join(layoutPaths.repositories, 'a.io/app/_uploads/x/data'),
      'images/x.io/note',
      'empty/directory/of/others/x',
      `layers/sha256/${'a'.repeat(63)}`,
      'roots/note.json',
    ];
    for (const place of places) {
      mkdirSync(join(store.root, place, '..'), { recursive: true });
      writeFileSync(join(store.root, place), 'x');
    }
    mkdirSync(join(store.root, 'mine'));
    writeFileSync(join(outside, 'sha256/aa/data'), 'x');
    symlinkSync(outside, join(store.root, 'images/x.io/_tags'));
    symlinkSync(join(outside, 'sha256'), join(store.root, 'layers/sha512'));
    const hex = 'ab'.repeat(32);
    mkdirSync(join(store.root, layoutPaths.blobs, 'sha256/ab', hex), { recursive: true });
    const blob = join(store.root, layoutPaths.blobs, 'sha256/ab', hex, 'data');
    symlinkSync(join(outside, 'sha256/aa/data'), blob);
    const before = await pathsBelow(outside);
    await prune(store, { unusedFor: 0 });
    for (const place of places)
      expect(`${place} ${existsSync(join(store.root, place))}`).toBe(`${place} true`);
    expect(readlinkSync(join(store.root, 'images/x.io/_tags'))).toBe(outside);
    expect(readdirSync(store.root)).toContain('mine');
    expect(await pathsBelow(outside)).toEqual(before);
    // The link itself was a blob that nothing needs.
    expect(existsSync(join(blob, '..'))).toBe(false);
    expect(await blobsIn(store)).toEqual([]);
  });
});

describe('what a lockfile pins', () => {
  const pinned = { repository: 'a.io/app', tag: '1', digest: one.root.digest };

  test('stays while there is the lockfile, and goes with it and with the names it came under', async () => {
    const store = await storeOf({ 'a.io/app:1': one });
    const path = await lockfile();
    await store.remember({ path, pins: [pinned] });
    expect((await prune(store)).released).toEqual([]);
    await expectWellKept(store, one);
    rmSync(path);
    expect((await prune(store, { grace: hour })).released).toEqual([]);
    await expectWellKept(store, one);
    expect((await prune(store)).released).toEqual([path]);
    await expectWellKept(store);
    expect(readdirSync(store.root)).toEqual([]);
  });

  test('does not take along a name that means something else by now', async () => {
    const store = await storeOf({ 'a.io/app:1': one });
    await store.remember({ path: '/nowhere/lock.json', pins: [pinned] });
    await putFixture(store.registry, 'a.io/app', two, '1');
    await prune(store);
    await expectWellKept(store, two);
  });

  test('and pinned before stays until it was not used for the grace period', async () => {
    const store = await storeOf();
    for (const image of [one, two]) await putFixture(store.registry, 'a.io/app', image);
    const path = await lockfile();
    const isFirst = (text: string): boolean => text.includes(one.root.digest);
    for (const { root } of [one, two]) {
      await store.remember({ path, pins: [{ repository: 'a.io/app', digest: root.digest }] });
    }
    ageRoots(store, 2 * hour, isFirst);
    ageRoots(store, 1 * hour, (text) => !isFirst(text));
    const old = allAged(day, unsynced);
    await prune(store, { grace: 3 * hour }, old);
    await expectWellKept(store, one, two);
    expect((await prune(store, { grace: hour / 2 }, old)).released).toEqual([]);
    await expectWellKept(store, two);
    expect(readdirSync(join(store.root, 'roots'))).toHaveLength(1);
  });

  test('is remembered once, however often', async () => {
    const store = await storeOf();
    for (const _ of [1, 2]) await store.remember({ path: '/a', pins: [pinned] });
    await store.remember({ path: '/b', pins: [pinned] });
    expect(readdirSync(join(store.root, 'roots'))).toHaveLength(2);
  });

  test('and a later release remembered stops everything: who prunes has to know what to keep', async () => {
    const store = await storeOf({ 'a.io/app:1': one });
    await putFixture(store.registry, 'a.io/app', two);
    await store.remember({ path: '/a', pins: [] });
    const [name = ''] = readdirSync(join(store.root, 'roots'));
    writeFileSync(join(store.root, 'roots', name), '{"formatVersion":2}');
    await expect(prune(store)).rejects.toMatchObject({ code: 'UNSUPPORTED' });
    await expectWellKept(store, one, two);
  });
});

describe('the grace period', () => {
  const old = aged((path) => (path.endsWith('/data') ? day : undefined), unsynced);

  test('keeps what is young with all that it needs, though that is old', async () => {
    const store = await storeOf();
    await putFixture(store.registry, 'a.io/app', index);
    await store.registry.putBlob('a.io/layers', digestOf(shared), bytes(shared));
    await store.registry.putContent(digestOf(noise('old', 10)), bytes(noise('old', 10)));
    await prune(store, { grace: hour }, old);
    const expected = [...partsOf(index), digestOf(shared)].sort();
    expect(await blobsIn(store)).toEqual(expected);
    expect((await verifyLayout(store.registry, { sparse: true })).problems).toEqual([]);
  });

  test('keeps a tag that is on its way', async () => {
    const store = await storeOf({ 'a.io/app:1': one });
    rmSync(join(store.root, layoutPaths.tag('a.io/app', '1')));
    const tagged = join(store.root, layoutPaths.tagged('a.io/app', '1', one.root.digest));
    await prune(
      store,
      { grace: hour },
      aged((path) => (path === tagged ? undefined : day), unsynced),
    );
    await expectWellKept(store, one);
    expect(existsSync(tagged)).toBe(true);
    await prune(store);
    await expectWellKept(store);
  });

  test('keeps parts of blobs that broke off, and then they go', async () => {
    const store = await storeOf({ 'a.io/app:1': one });
    mkdirSync(join(store.root, '.staging'), { recursive: true });
    const part = join(store.root, '.staging', `sha256-${'a'.repeat(64)}~x`);
    writeFileSync(part, 'x');
    await prune(store, { grace: hour });
    expect(existsSync(part)).toBe(true);
    await prune(store);
    expect(existsSync(join(store.root, '.staging'))).toBe(false);
  });

  test('D15: keeps what is from the future', async () => {
    const store = await storeOf();
    await putFixture(store.registry, 'a.io/app', one);
    await prune(store, { grace: hour }, allAged(-day, unsynced));
    await expectWellKept(store, one);
  });
});

describe('names that were not used', () => {
  const names = ['a.io/one:1', 'a.io/two:1', 'a.io/index:1'] as const;
  const ages = new Map([
    ['one', 3 * day],
    ['two', 1 * day],
    ['index', 2 * day],
  ]);
  const dated = aged((path) => {
    const [, name = ''] = /repositories\/a\.io\/(\w+)\//.exec(path) ?? [];
    return path.endsWith('/current/link') ? ages.get(name) : 9 * day;
  }, unsynced);
  const filled = (): Promise<Store> =>
    storeOf({ [names[0]]: one, [names[1]]: two, [names[2]]: index });

  test('for so long are let go of', async () => {
    const store = await filled();
    const { released } = await prune(store, { unusedFor: 2.5 * day }, dated);
    expect(released).toEqual([names[0]]);
    await expectWellKept(store, two, index);
    await prune(store, { unusedFor: 0, grace: 1.5 * day }, dated);
    await expectWellKept(store, two);
  });

  test('most recently stay as long as there is room, and the store fits to the byte', async () => {
    const sizes = new Set<number>();
    for (const kept of [[two], [two, index], [two, index, one]]) {
      const store = await filled();
      const all = await prune(store, { isDry: true }, dated);
      const keep = kept.length;
      const limits = [all.size];
      for (let count = 3; count > keep; count--) {
        const { size } = await prune(
          store,
          { isDry: true, limit: (limits.at(-1) ?? 0) - 1 },
          dated,
        );
        limits.push(size);
      }
      const limit = limits.at(-1) ?? 0;
      const { size } = await prune(store, { limit }, dated);
      expect(size).toBe(limit);
      expect(diskUsage(store.root)).toBe(limit);
      await expectWellKept(store, ...kept);
      sizes.add(limit);
    }
    expect(sizes.size).toBe(3);
  });

  test('go all where there is room for none, but for those in the grace period', async () => {
    const store = await filled();
    const { released, size } = await prune(store, { limit: 1, grace: 1.5 * day }, dated);
    expect(released).toEqual([names[2], names[0]]);
    expect(size).toBeGreaterThan(1);
    await expectWellKept(store, two);
  });

  test.each<[string, (store: Store) => Promise<unknown>]>([
    ['asked for', (store) => store.registry.resolve('a.io/app', '1')],
    ['pulled again', (store) => store.registry.putManifest('a.io/app', one.root, '1')],
    ['built', (store) => store.image(reference('x.io/built:1'))],
    ['unpacked', (store) => store.note(one.root.digest)],
  ])('are used when they are %s', async (_, use) => {
    const store = await storeOf({ 'a.io/app:1': one });
    await store.putImage(reference('x.io/built:1'), built('x.io/built:1', []));
    await store.putNote(one.root.digest, '[]');
    await store.registry.disk.flush();
    const changes = async (): Promise<number> => {
      await new Promise((resolve) => setTimeout(resolve, 20));
      const paths = [
        layoutPaths.tag('a.io/app', '1'),
        'images/x.io/built/_tags/1/index.json',
        `unpacked/sha256/${one.root.digest.slice(7)}`,
      ];
      return paths.reduce((sum, path) => sum + statSync(join(store.root, path)).ctimeMs, 0);
    };
    const before = await changes();
    await store.registry.resolve('a.io/app', one.root.digest);
    await store.registry.putManifest('a.io/app', one.root);
    expect(await changes()).toBe(before);
    await use(store);
    expect(await changes()).toBeGreaterThan(before);
  });
});

describe('what is damaged', () => {
  test('does not stop it, and what it may need stays', async () => {
    const store = await storeOf({ 'a.io/app:1': one, 'b.io/tag:1': two, 'c.io/c:1': index });
    await putFixture(store.registry, 'd.io/waste', imageFixture({ seed: 'waste' }));
    await store.putImage(reference('x.io/built:1'), built('x.io/built:1', []));
    const manifest = layoutPaths.blob(one.root.digest);
    const tag = layoutPaths.tag('b.io/tag', '1');
    const image = 'images/x.io/built/_tags/1';
    await store.remember({ path: '/a', pins: [] });
    const [name = ''] = readdirSync(join(store.root, 'roots'));
    for (const path of [manifest, tag, `${image}/index.json`, `roots/${name}`]) {
      rmSync(join(store.root, path));
      writeFileSync(join(store.root, path), '{');
    }
    const { problems } = await prune(store);
    expect(problems.map(({ path }) => path).sort()).toEqual(
      [layoutPaths.revision('a.io/app', one.root.digest), tag, image, `roots/${name}`].sort(),
    );
    expect(await blobsIn(store)).toEqual(partsOf(one, two, index));
    expect(existsSync(join(store.root, image, 'index.json'))).toBe(true);
    expect(existsSync(join(store.root, 'roots'))).toBe(false);
  });

  test('is a manifest that is missing as well', async () => {
    const store = await storeOf({ 'a.io/app:1': one });
    rmSync(join(store.root, layoutPaths.blob(one.root.digest)));
    const { problems } = await prune(store);
    expect(problems).toEqual([
      {
        path: layoutPaths.revision('a.io/app', one.root.digest),
        why: expect.stringContaining('missing'),
      },
    ]);
    expect(await blobsIn(store)).toEqual([...one.blobs.keys()].sort());
  });
});

describe('what is told', () => {
  /** A store with waste beside what is kept, and a registry directory made of all of it. */
  async function linked(): Promise<{ base: string; store: Store; registry: string }> {
    const store = await storeOf({ 'a.io/app:1': one });
    await putFixture(store.registry, 'b.io/team/waste', two);
    await store.registry.putContent(digestOf(noise('w', 90_000)), bytes(noise('w', 90_000)));
    const registry = join(store.root, '../registry');
    const directory = distributionLayout(registry, { fs: unsynced });
    for (const [digest] of two.blobs) {
      const blob = await store.blobs(digest, 0);
      if (blob) await directory.putBlob('waste', digest, blob);
    }
    await directory.putManifest('waste', two.root, '1');
    return { base: join(store.root, '..'), store, registry };
  }

  test('is what the disk has more room for, as du counts, and what is left', async () => {
    const { base, store } = await linked();
    const before = diskUsage(base);
    const { freed, size } = await prune(store);
    expect(freed).toBeGreaterThan(90_000);
    expect(freed).toBe(before - diskUsage(base));
    expect(size).toBe(diskUsage(store.root));
  });

  test('is the same before, and nothing is touched for that', async () => {
    const { store } = await linked();
    const paths = await pathsBelow(store.root);
    const before = await digestsBelow(store.root);
    const told = await prune(store, { isDry: true });
    expect(await digestsBelow(store.root)).toEqual(before);
    expect(await pathsBelow(store.root)).toEqual(paths);
    expect(await prune(store)).toEqual(told);
    expect(await prune(store)).toEqual({ ...told, freed: 0, blobs: 0 });
  });

  test('is nothing of a store that is not there, and it is not made', async () => {
    const store = await storeOf();
    expect(await prune(store)).toEqual({ freed: 0, size: 0, blobs: 0, released: [], problems: [] });
    expect(existsSync(store.root)).toBe(false);
    writeFileSync(store.root, '');
    await expect(prune(store)).rejects.toMatchObject({ code: 'FILE_SYSTEM' });
  });
});

test('D11: a registry directory that was made of the store stays as it is', async () => {
  const store = await storeOf({ 'a.io/app:1': one });
  const root = join(store.root, '../registry');
  const registry = distributionLayout(root, { fs: unsynced });
  for (const [digest] of one.blobs) {
    const blob = await store.blobs(digest, 0);
    if (blob) await registry.putBlob('app', digest, blob);
  }
  await registry.putManifest('app', one.root, '1');
  const before = await digestsBelow(root);
  await prune(store, { unusedFor: 0 });
  expect(await blobsIn(store)).toEqual([]);
  expect(await digestsBelow(root)).toEqual(before);
  expect(await wholeTag(registry, 'app', '1')).toBe(one.root.digest);
});

describe('a store in which something goes', () => {
  const root = '/disk';
  const lost = {
    path: '/lost/lock.json',
    pins: [{ repository: 'a.io/lost', tag: '1', digest: two.root.digest }],
  };

  async function fill(fs: FileSystem): Promise<void> {
    const store = openStore(root, fs);
    await putFixture(store.registry, 'a.io/app', one, '1');
    await putFixture(store.registry, 'a.io/lost', two, '1');
    await putFixture(store.registry, 'a.io/app', index);
    await store.remember(lost);
    await store.putNote(arm64?.digest ?? one.root.digest, index.root.digest);
  }

  async function check(fs: FileSystem): Promise<void> {
    const store = openStore(root, fs);
    await expectSound(root, fs);
    expect((await verifyLayout(store.registry, { sparse: true })).problems).toEqual([]);
    expect(await wholeTag(store.registry, 'a.io/app', '1')).toBe(one.root.digest);
    const tagged = await wholeTag(store.registry, 'a.io/lost', '1');
    expect([undefined, two.root.digest]).toContain(tagged);
  }

  test('P1: is sound whenever it stops, and the next one finishes', { timeout }, async () => {
    const template = simulatedDisk();
    await fill(template.fs);
    for (let at = 1; ; at++) {
      const disk = template.copy();
      const broken = faulty('death', at, disk.fs);
      await openStore(root, broken.fs)
        .prune({ grace: 0 }, createContext())
        .catch(() => {});
      await check(disk.fs);
      // Of the same process, which is not gone.
      for (const path of await pathsBelow(`${root}/.uses`, disk.fs)) {
        await disk.fs.rm(`${root}/.uses/${path}`, { force: true });
      }
      await openStore(root, disk.fs).prune({ grace: 0 }, createContext());
      await check(disk.fs);
      expect(await wholeTag(openStore(root, disk.fs).registry, 'a.io/lost', '1')).toBeUndefined();
      if (broken.hit() === undefined) return;
    }
  });

  test('D02: is sound whenever the power is lost', { timeout }, async () => {
    const template = simulatedDisk();
    await fill(template.fs);
    for (let at = 1; ; at++) {
      const disk = template.copy();
      const broken = faulty('death', at, disk.fs);
      await openStore(root, broken.fs)
        .prune({ grace: 0 }, createContext())
        .catch(() => {});
      for (const lasts of [() => false, () => true, random(at).chance, random(-at).chance]) {
        await check(disk.afterPowerLoss(lasts).fs);
      }
      if (broken.hit() === undefined) return;
    }
  });

  test('D03: is sound where something cannot be removed, which is told', { timeout }, async () => {
    const template = simulatedDisk();
    await fill(template.fs);
    let failed = 0;
    for (let at = 1; ; at++) {
      const disk = template.copy();
      const broken = faulty('EACCES', at, disk.fs);
      const failure = await openStore(root, broken.fs)
        .prune({ grace: 0 }, createContext())
        .then(
          () => undefined,
          (error: unknown) => error,
        );
      await check(disk.fs);
      if (failure !== undefined) {
        failed += 1;
        expect(failure).toMatchObject({
          code: 'FILE_SYSTEM',
          message: expect.stringContaining(root),
        });
      }
      if (broken.hit() === undefined) break;
    }
    expect(failed).toBeGreaterThan(20);
  });

  test('X04: is sound where it is interrupted', async () => {
    const disk = simulatedDisk();
    await fill(disk.fs);
    const controller = new AbortController();
    let left = 5;
    const fs: FileSystem = {
      ...disk.fs,
      async rm(path, options) {
        left -= 1;
        if (left === 0) controller.abort();
        await disk.fs.rm(path, options);
      },
    };
    const context = createContext({ signal: controller.signal });
    await expect(openStore(root, fs).prune({ grace: 0 }, context)).rejects.toMatchObject({
      code: 'ABORTED',
    });
    await check(disk.fs);
    expect(await pathsBelow(root, disk.fs)).not.toContain('.uses/');
  });
});

test('two projects with one store hold each blob once', async () => {
  const store = await storeOf({ 'a.io/app:1': one, 'b.io/team/app:1': one });
  const inodes = new Set<number>();
  for (const project of ['p', 'q']) {
    const registry = distributionLayout(join(store.root, '..', project), { fs: unsynced });
    for (const [digest, body] of one.blobs) {
      const blob = await openStore(store.root).blobs(digest, body.length);
      if (blob) await registry.putBlob('app', digest, blob);
      inodes.add(statSync(join(registry.disk.root, layoutPaths.blob(digest))).ino);
    }
  }
  expect(inodes.size).toBe(one.blobs.size);
  const nlinks = [...one.blobs.keys()].map(
    (digest) => statSync(join(store.root, layoutPaths.blob(digest))).nlink,
  );
  expect(nlinks).toEqual(nlinks.map(() => 3));
});

function reference(text: string): Reference {
  return parseReference(text);
}

/** What a directory takes on the disk, in bytes. */
function diskUsage(path: string): number {
  return Number(execFileSync('du', ['-s', '-B1', path], { encoding: 'utf8' }).split('\t')[0]);
}
