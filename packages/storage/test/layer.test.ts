import { createHash } from 'node:crypto';
import {
  bytes,
  codeOf,
  type Digest,
  digestContent,
  digestOf,
  fileOf,
  readAll,
} from '@cluster-image/oci';
import {
  type BlobSource,
  isLayerPath,
  type LayerPlan,
  layer,
  parseLayerPlan,
  tarTree,
} from '@cluster-image/storage';
import { noise } from '@cluster-image/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

const blobs = new Map<Digest, Uint8Array>(
  ['small', 'block', 'large'].map((seed, at) => {
    const body = noise(seed, [10, 512, 70_000][at] ?? 0);
    return [digestOf(body), body];
  }),
);
const [small, block, large] = [...blobs.keys()];
if (!small || !block || !large) throw new Error('no blobs');

const source: BlobSource = async (digest) => {
  const body = blobs.get(digest);
  return body && bytes(body);
};

const path = (digest: Digest): string =>
  `registry/docker/registry/v2/blobs/sha256/${digest.slice(7, 9)}/${digest.slice(7)}/data`;

const plan: LayerPlan = {
  formatVersion: 1,
  entries: [
    { type: 'directory', path: 'registry', mode: 0o755 },
    { type: 'file', path: path(small), mode: 0o644, digest: small, size: 10 },
    { type: 'file', path: path(block), mode: 0o644, digest: block, size: 512 },
    { type: 'text', path: 'registry/link', mode: 0o644, text: `sha256:${'é'.repeat(3)}` },
    {
      type: 'file',
      path: path(large),
      mode: 0o755,
      owner: { uid: 1, gid: 2 },
      digest: large,
      size: 70_000,
    },
    { type: 'symlink', path: 'bin/sh', target: 'busybox' },
  ],
};

test('T11: the bytes of a layer are these, until the format changes', async () => {
  expect(await digestContent(layer(plan, source))).toBe(
    'sha256:0f2d61e77b3341c03fe69e870c33b7cbfc7b9c5afbf7dc5163f7de6c3c52c94d',
  );
  expect(layer(plan, source).size).toBe(75_776);
});

test('any range of a layer is what a slice of it is', async () => {
  const content = layer(plan, source);
  const all = Buffer.from(await readAll(content, 1e6));
  await fc.assert(
    fc.asyncProperty(fc.nat(all.length), fc.nat(all.length), async (a, b) => {
      const range = { start: Math.min(a, b), end: Math.max(a, b) };
      const read = Buffer.concat(await Array.fromAsync(content.open(range)));
      expect(read.equals(all.subarray(range.start, range.end))).toBe(true);
    }),
  );
});

test('a layer is the tree that its plan says', async () => {
  const tree = await tarTree(layer(plan, source), 'layer');
  const content = await fileOf(tree, path(large));
  expect(content && (await readAll(content, 1e6))).toEqual(blobs.get(large));
  expect(await tree.entry(path(large))).toMatchObject({ mode: 0o755 });
  expect(await tree.entry('bin/sh')).toMatchObject({ type: 'symlink', target: 'busybox' });
  expect((await Array.fromAsync(tree.entries())).length).toBe(plan.entries.length);
});

test('a blob is looked for only when its bytes are read', async () => {
  const asked: Digest[] = [];
  const content = layer(plan, async (digest, size) => {
    asked.push(digest);
    return source(digest, size);
  });
  await Array.fromAsync(content.open({ start: 0, end: 1024 }));
  expect(asked).toEqual([]);
  await Array.fromAsync(content.open({ start: content.size - 1536, end: content.size }));
  expect(asked).toEqual([]);
  await Array.fromAsync(content.open());
  expect(asked).toEqual([small, block, large]);
});

test.each([
  ['is nowhere', undefined],
  ['has another size', bytes('other')],
])('a blob that %s is NOT_FOUND, naming it', async (_, found) => {
  const failure = await Array.fromAsync(layer(plan, async () => found).open()).catch(
    (error) => error,
  );
  expect(codeOf(failure)).toBe('NOT_FOUND');
  expect(String(failure)).toContain(small);
});

describe('a plan', () => {
  test('is read back as it was written', () => {
    expect(parseLayerPlan(JSON.stringify(plan), 'here')).toEqual(plan);
    expect(parseLayerPlan(Buffer.from(JSON.stringify(plan)), 'here')).toEqual(plan);
  });

  const entry = { type: 'file', path: 'a', mode: 0o644, digest: small, size: 10 };
  const link = { type: 'symlink', path: 'a', target: 'b' };

  test.each([
    ['is no JSON', '{'],
    ['has another version', { formatVersion: 2, entries: [] }],
    ['has a field that nobody knows', { formatVersion: 1, entries: [], more: 1 }],
    ['has an entry with such a field', { ...entry, more: 1 }],
    ['has an entry of another kind', { ...entry, type: 'device' }],
    ['has a path that climbs', { ...entry, path: '../a' }],
    ['has an absolute path', { ...entry, path: '/a' }],
    ['has a path in a second spelling', { ...entry, path: 'a//b' }],
    ['has a path with a NUL', { ...entry, path: 'a\0' }],
    ['has a path that is too long', { ...entry, path: 'a'.repeat(4097) }],
    ['has a digest that climbs', { ...entry, digest: 'sha256:../../etc' }],
    ['has a size below zero', { ...entry, size: -1 }],
    ['has a size that is not exact', { ...entry, size: 2 ** 53 }],
    ['has a mode that is none', { ...entry, mode: 0o10000 }],
    ['has an owner below zero', { ...entry, owner: { uid: -1, gid: 0 } }],
    ['has a target with a NUL', { ...link, target: 'a\0b' }],
    ['has no target', { ...link, target: '' }],
  ])('N01: that %s is INPUT_INVALID, naming where it came from', (_, value) => {
    const isEntry = typeof value === 'object' && 'type' in value;
    const whole = isEntry ? { formatVersion: 1, entries: [value] } : value;
    const text = typeof whole === 'string' ? whole : JSON.stringify(whole);
    let failure: unknown;
    try {
      parseLayerPlan(text, 'plans/x.json');
    } catch (error) {
      failure = error;
    }
    expect(codeOf(failure)).toBe('INPUT_INVALID');
    expect(String(failure)).toContain('plans/x.json');
  });

  test('T11: gives the same bytes whatever the order of its fields', async () => {
    const turned = {
      entries: plan.entries.map((entry) => Object.fromEntries(Object.entries(entry).reverse())),
      formatVersion: 1,
    };
    const parsed = parseLayerPlan(JSON.stringify(turned), 'here');
    const hash = async (plan: LayerPlan): Promise<string> =>
      createHash('sha256')
        .update(await readAll(layer(plan, source), 1e6))
        .digest('hex');
    expect(await hash(parsed)).toBe(await hash(plan));
  });
});

test('T01: a path of a layer is relative and in its one spelling', () => {
  for (const path of ['a', 'a/b', '...', '.a', 'a..', 'a b', 'é', '\\', '-rf'])
    expect(isLayerPath(path)).toBe(true);
  for (const path of [
    '',
    '/',
    '/a',
    'a/',
    'a//b',
    '.',
    './a',
    'a/.',
    '..',
    '../a',
    'a/../b',
    'a\0',
  ]) {
    expect(isLayerPath(path)).toBe(false);
  }
});
