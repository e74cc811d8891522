import { createHash } from 'node:crypto';
import {
  codeOf,
  digestAlgorithm,
  digestHex,
  digestOf,
  hasher,
  isDigest,
  parseDigest,
} from '@cluster-image/oci';
import fc from 'fast-check';
import { expect, test } from 'vitest';

const hex = (length: number) =>
  fc.string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: length, maxLength: length });

test('a digest is sha256 and 64, or sha512 and 128, lower-case hexadecimal digits', () => {
  fc.assert(
    fc.property(hex(64), hex(128), (short, long) => {
      for (const [algorithm, digits] of [
        ['sha256', short],
        ['sha512', long],
      ] as const) {
        const digest = parseDigest(`${algorithm}:${digits}`);
        expect(digestAlgorithm(digest)).toBe(algorithm);
        expect(digestHex(digest)).toBe(digits);
      }
      expect(isDigest(`sha256:${long}`)).toBe(false);
      expect(isDigest(`sha512:${short}`)).toBe(false);
    }),
  );
});

/** Any character that UTF-8 has. */
const character = fc
  .oneof(fc.integer({ min: 0, max: 0xd7ff }), fc.integer({ min: 0xe000, max: 0x10ffff }))
  .map((point) => String.fromCodePoint(point));

const right = `sha256:${'a'.repeat(64)}`;

test.each([
  ['nothing', ''],
  ['no algorithm', 'a'.repeat(64)],
  ['an empty algorithm', `:${'a'.repeat(64)}`],
  ['63 digits', right.slice(0, -1)],
  ['65 digits', `${right}a`],
  ['an upper-case digit', `sha256:${'a'.repeat(63)}A`],
  ['an upper-case algorithm', right.toUpperCase()],
  ['a letter beyond f', `sha256:${'g'.repeat(64)}`],
  ['md5', `md5:${'a'.repeat(32)}`],
  ['sha1', `sha1:${'a'.repeat(40)}`],
  ['sha384', `sha384:${'a'.repeat(96)}`],
  ['a path', 'sha256:../../../../etc/passwd'],
  ['a path as long as a digest', `sha256:../${'a'.repeat(61)}`],
  ['a newline behind', `${right}\n`],
  ['a newline before', `\n${right}`],
  ['a carriage return behind', `${right}\r\n`],
  ['a NUL behind', `${right}\0`],
  ['a byte order mark before', `\uFEFF${right}`],
  ['full-width digits', `sha256:${'\uFF11'.repeat(64)}`],
  ['the multibase form', `sha256+b64:${'a'.repeat(64)}`],
])('C20: %s is no digest', (_, text) => {
  expect(isDigest(text)).toBe(false);
  let failure: unknown;
  try {
    parseDigest(text);
  } catch (error) {
    failure = error;
  }
  expect(codeOf(failure)).toBe('DIGEST_INVALID');
});

test('C20: one changed character makes it no digest, or another one', () => {
  fc.assert(
    fc.property(
      hex(64),
      fc.nat(70),
      fc.string({ unit: character, minLength: 1, maxLength: 1 }),
      (digits, at, put) => {
        const text = `sha256:${digits}`;
        const changed = text.slice(0, at) + put + text.slice(at + 1);
        expect(isDigest(changed)).toBe(at >= 7 && /^[0-9a-f]$/.test(put) ? true : changed === text);
      },
    ),
  );
});

test('bytes are hashed in one go and in pieces alike', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array()),
      fc.constantFrom('sha256', 'sha512'),
      (parts, algorithm) => {
        const hash = hasher(algorithm);
        for (const part of parts) hash.update(part);
        const all = Buffer.concat(parts);
        const expected = `${algorithm}:${createHash(algorithm).update(all).digest('hex')}`;
        expect(hash.digest()).toBe(expected);
        expect(digestOf(all, algorithm)).toBe(expected);
      },
    ),
  );
});
