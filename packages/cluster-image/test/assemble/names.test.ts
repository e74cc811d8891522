import { type Digest, digestOf, isHost, isRepository, parsePlatform } from '@cluster-image/oci';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type NameOptions, placedNames } from '../../src/assemble/names.ts';
import type { LockedImage } from '../../src/lock/lockfile.ts';

const amd64 = parsePlatform('linux/amd64');
const one = digestOf(new TextEncoder().encode('one'));
const other = digestOf(new TextEncoder().encode('other'));

function pin(digest: Digest): LockedImage {
  const manifests = { 'linux/amd64': { digest, size: 1 } };
  return { digest, size: 1, mediaType: 'application/vnd.oci.image.manifest.v1+json', manifests };
}

/** `repository:tag` and which image it is, of each name. */
function names(
  pins: Readonly<Record<string, Digest>>,
  options?: NameOptions,
): Readonly<Record<string, string>> {
  const images = Object.fromEntries(
    Object.entries(pins).map(([reference, digest]) => [reference, pin(digest)]),
  );
  const placed = placedNames({ images }, amd64, options).map(
    ({ repository, tag, digest }) =>
      [`${repository}:${tag}`, digest === one ? 'one' : 'other'] as const,
  );
  expect(new Set(placed.map(([name]) => name)).size).toBe(placed.length);
  return Object.fromEntries(placed);
}

const keepHosts = true;

describe('with hosts kept', () => {
  test('an image has both names', () => {
    expect(names({ 'docker.io/library/nginx:1': one }, { keepHosts })).toEqual({
      'docker.io/library/nginx:1': 'one',
      'library/nginx:1': 'one',
    });
  });

  test('two images that would share a name have only the whole one', () => {
    const pins = { 'docker.io/a/b:v1': one, 'quay.io/a/b:v1': other, 'quay.io/a/b:v2': one };
    expect(names(pins, { keepHosts })).toEqual({
      'a/b:v2': 'one',
      'docker.io/a/b:v1': 'one',
      'quay.io/a/b:v1': 'other',
      'quay.io/a/b:v2': 'one',
    });
  });

  test('and only so, one that no other has the name of has one name', () => {
    const pins = { 'docker.io/a/b:v1': one, 'quay.io/a/b:v1': other, 'quay.io/c:v2': one };
    expect(names(pins, { keepHosts: 'only' })).toEqual({
      'docker.io/a/b:v1': 'one',
      'quay.io/a/b:v1': 'other',
      'quay.io/c:v2': 'one',
    });
  });

  test('one image on two hosts has all three names', () => {
    const pins = { 'docker.io/a/b:v1': one, 'quay.io/a/b:v1': one };
    expect(Object.keys(names(pins, { keepHosts }))).toEqual([
      'a/b:v1',
      'docker.io/a/b:v1',
      'quay.io/a/b:v1',
    ]);
  });

  test('one that is pinned by digest gives way, with its host too', () => {
    const tag = other.replace(':', '-');
    const pins = { 'quay.io/a/b:v1': one, [`quay.io/a/b:v1@${other}`]: other };
    expect(names(pins, { keepHosts })).toEqual({
      'a/b:v1': 'one',
      [`a/b:${tag}`]: 'other',
      'quay.io/a/b:v1': 'one',
      [`quay.io/a/b:${tag}`]: 'other',
    });
  });

  test.each([
    ['localhost:5000/x:1', 'localhost_5000/x:1'],
    ['Reg.Example/x:1', 'reg.example/x:1'],
    ['[::1]:5000/x:1', 'ipv6---1_5000/x:1'],
    ['[fd00::]/x:1', 'ipv6-fd00--0/x:1'],
  ])('%s becomes %s', (reference, name) => {
    expect(names({ [reference]: one }, { keepHosts })).toEqual({ [name]: 'one', 'x:1': 'one' });
  });

  test('every host makes a repository', () => {
    const hosts = fc.oneof(
      fc.tuple(fc.domain(), fc.option(fc.nat(65535))),
      fc.tuple(
        fc.ipV6().map((address) => `[${address}]`),
        fc.option(fc.nat(65535)),
      ),
    );
    fc.assert(
      fc.property(hosts, ([name, port]) => {
        const host = port === null ? name : `${name}:${port}`;
        fc.pre(isHost(host) && host.length < 200 && /[.:]/.test(host));
        const images = { [`${host}/x:1`]: pin(one) };
        const placed = placedNames({ images }, amd64, { keepHosts });
        expect(placed).toHaveLength(2);
        for (const { repository } of placed) expect(isRepository(repository)).toBe(true);
      }),
    );
  });
});

test('without, two images of one name are an error that names both, and the way out', () => {
  const pins = { 'docker.io/a/b:v1': one, 'quay.io/a/b:v1': other };
  expect(() => names(pins)).toThrow(
    expect.objectContaining({
      code: 'CONFLICT',
      message: expect.stringMatching(/docker\.io\/a\/b:v1 and quay\.io\/a\/b:v1/),
      hint: expect.stringContaining('keepHosts'),
    }),
  );
});

test('an archive has the name it was given, and with the host the one it is asked for by', () => {
  const images = { 'docker.io/library/app:1': { ...pin(one), repository: 'app' } };
  const placed = placedNames({ images }, amd64, { keepHosts });
  expect(placed.map(({ repository }) => repository)).toEqual(['app', 'docker.io/library/app']);
});
