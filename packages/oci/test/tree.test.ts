import {
  bytes,
  compareBytes,
  fileOf,
  readAll,
  type Tree,
  type TreeEntry,
} from '@cluster-image/oci';
import fc from 'fast-check';
import { expect, test } from 'vitest';

/** Any character that UTF-8 has. */
const character = fc
  .oneof(fc.integer({ min: 0, max: 0xd7ff }), fc.integer({ min: 0xe000, max: 0x10ffff }))
  .map((point) => String.fromCodePoint(point));

test('strings are compared as their UTF-8 bytes are', () => {
  const text = fc.string({ unit: character });
  fc.assert(
    fc.property(text, text, (a, b) => {
      const expected = Buffer.compare(Buffer.from(a), Buffer.from(b));
      expect(Math.sign(compareBytes(a, b))).toBe(expected);
      expect(Math.sign(compareBytes(a + b, a))).toBe(b === '' ? 0 : 1);
    }),
    { numRuns: 1000 },
  );
});

test('what lies beyond U+FFFF comes after all that lies before', () => {
  expect(['\u{1F433}', '\uE000', '\uFFFD', 'z', 'é'].sort(compareBytes)).toEqual([
    'z',
    'é',
    '\uE000',
    '\uFFFD',
    '\u{1F433}',
  ]);
});

test('only a file has a content', async () => {
  const entries: readonly TreeEntry[] = [
    { type: 'directory', path: 'd', mode: 0o755 },
    { type: 'file', path: 'd/f', mode: 0o644, content: bytes('text') },
    { type: 'symlink', path: 'l', mode: 0o777, target: 'd/f' },
  ];
  const tree: Tree = {
    async *entries() {
      yield* entries;
    },
    entry: async (path) => entries.find((entry) => entry.path === path),
  };
  expect(await fileOf(tree, 'd')).toBeUndefined();
  expect(await fileOf(tree, 'l')).toBeUndefined();
  expect(await fileOf(tree, 'none')).toBeUndefined();
  const content = await fileOf(tree, 'd/f');
  expect(content && Buffer.from(await readAll(content, 4)).toString()).toBe('text');
});
