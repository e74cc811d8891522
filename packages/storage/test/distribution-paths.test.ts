import { posix } from 'node:path';
import { codeOf, digestOf } from '@cluster-image/oci';
import { layoutPaths } from '@cluster-image/storage';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseLink } from '../src/distribution-paths.ts';

const digest = digestOf(Buffer.from('x'));
const hex = digest.slice(7);

const word = fc.string({ unit: fc.constantFrom(...'abz09'), minLength: 1, maxLength: 5 });
const separator = fc.constantFrom('.', '_', '__', '-', '/');
const path = fc
  .tuple(word, fc.array(fc.tuple(separator, word), { maxLength: 4 }))
  .map(([first, rest]) => first + rest.flat().join(''));
const host = fc.constantFrom('', '', 'docker.io/', 'localhost:5000/', '[::1]:5000/', 'Quay.IO/');
const name = fc.tuple(host, path).map(([host, path]) => host + path);
const tag = fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,10}$/);
const digests = fc.uint8Array({ maxLength: 3 }).map((seed) => digestOf(seed));

test('every path is inside the directory, and no two things have the same', () => {
  const thing = fc.record({ name, tag, digest: digests });
  fc.assert(
    fc.property(thing, thing, (a, b) => {
      const [one, two] = [a, b].map(({ name, tag, digest }) => [
        layoutPaths.blob(digest),
        layoutPaths.layer(name, digest),
        layoutPaths.revision(name, digest),
        layoutPaths.tag(name, tag),
        layoutPaths.tagged(name, tag, digest),
      ]);
      for (const path of one ?? []) {
        expect(posix.normalize(path)).toBe(path);
        expect(path.startsWith('docker/registry/v2/')).toBe(true);
      }
      expect(new Set(one).size).toBe(5);
      expect([0, 1, 2, 3, 4].map((at) => one?.[at] === two?.[at])).toEqual([
        a.digest === b.digest,
        a.name === b.name && a.digest === b.digest,
        a.name === b.name && a.digest === b.digest,
        a.name === b.name && a.tag === b.tag,
        a.name === b.name && a.tag === b.tag && a.digest === b.digest,
      ]);
    }),
    { numRuns: 300 },
  );
});

describe('T01: no path is made of', () => {
  test.each([
    '',
    '.',
    '..',
    '../x',
    'a/../b',
    'a/..',
    './a',
    '/a',
    'a/',
    'a//b',
    'a\\..\\b',
    'a\0b',
    'a\nb',
    '_layers',
    'a/_layers',
    'a/_manifests/tags',
    '_uploads/x',
    '.staging/x',
    '..:80/x',
    'UPPER',
    'host/UPPER',
    'a b',
    '%2e%2e/x',
    'docker.io/',
    'docker.io/../x',
    ':80/x',
    `${'a/'.repeat(130)}a`,
  ])('the repository %j', (name) => {
    expect(code(() => layoutPaths.repository(name))).toBe('REFERENCE_INVALID');
    expect(code(() => layoutPaths.layer(name, digest))).toBe('REFERENCE_INVALID');
    expect(code(() => layoutPaths.tag(name, 'latest'))).toBe('REFERENCE_INVALID');
  });

  test.each([
    '',
    '.',
    '..',
    '../x',
    'a/b',
    '-a',
    '.a',
    'a b',
    'a\0',
    'a\n',
    'é',
    `${'t'.repeat(129)}`,
  ])('S03: the tag %j', (tag) => {
    expect(code(() => layoutPaths.tag('a', tag))).toBe('REFERENCE_INVALID');
    expect(code(() => layoutPaths.tagged('a', tag, digest))).toBe('REFERENCE_INVALID');
  });
});

test.each([
  ['with a newline', `${digest}\n`],
  ['with a carriage return', `${digest}\r\n`],
  ['with a byte order mark', `\uFEFF${digest}`],
  ['of no bytes', ''],
  ['in upper case', digest.toUpperCase()],
  ['without its algorithm', hex],
])('D08: a link %s is DIGEST_INVALID, naming the file', (_, text) => {
  expect(code(() => parseLink(text, 'some/link'))).toBe('DIGEST_INVALID');
  expect(() => parseLink(text, 'some/link')).toThrow('some/link');
});

function code(act: () => unknown): string | undefined {
  try {
    act();
  } catch (error) {
    return codeOf(error);
  }
  return 'accepted';
}
