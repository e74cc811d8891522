import { formatRoute, parseRoute, type Route } from '@cluster-image/distribution';
import { codeOf, digestOf, isDigest, isRepository, isTag } from '@cluster-image/oci';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

const digest = digestOf(Buffer.from('x'));

const letter = fc.constantFrom(...'abcdefghijklmnopqrstuvwxyz0123456789');
const word = fc.string({ unit: letter, minLength: 1, maxLength: 6 });
const component = fc
  .tuple(
    word,
    fc.array(fc.tuple(fc.constantFrom('.', '_', '__', '-', '--'), word), { maxLength: 2 }),
  )
  .map(([first, rest]) => first + rest.flat().join(''));
/** Names that could be taken for parts of a path, too. */
const repository = fc
  .array(
    fc.oneof(component, fc.constantFrom('manifests', 'blobs', 'uploads', 'tags', 'list', 'v2')),
    {
      minLength: 1,
      maxLength: 5,
    },
  )
  .map((parts) => parts.join('/'));
const tag = fc
  .string({ unit: fc.constantFrom(...'abcXYZ019_.-'), minLength: 1, maxLength: 128 })
  .filter(isTag);
const blob = fc
  .tuple(fc.uint8Array(), fc.constantFrom('sha256' as const, 'sha512' as const))
  .map(([body, algorithm]) => digestOf(body, algorithm));
const page = fc.record(
  { n: fc.integer({ min: 0, max: 1000 }), last: fc.string({ maxLength: 100 }) },
  { requiredKeys: [] },
);

const route: fc.Arbitrary<Route> = fc.oneof(
  fc.constant({ kind: 'ping' as const }),
  fc.record({ kind: fc.constant('catalog' as const), page }),
  fc.record({ kind: fc.constant('tags' as const), repository, page }),
  fc.record(
    {
      kind: fc.constant('manifest' as const),
      repository,
      reference: fc.oneof(tag, blob),
      tags: fc.array(tag, { minLength: 1, maxLength: 5 }),
    },
    { requiredKeys: ['kind', 'repository', 'reference'] },
  ),
  fc.record({ kind: fc.constant('blob' as const), repository, digest: blob }),
  fc.record(
    {
      kind: fc.constant('uploads' as const),
      repository,
      mount: blob,
      from: repository,
      digest: blob,
    },
    { requiredKeys: ['kind', 'repository'] },
  ),
  fc.record(
    { kind: fc.constant('upload' as const), repository, id: fc.uuid(), digest: blob },
    { requiredKeys: ['kind', 'repository', 'id'] },
  ),
  fc.record(
    {
      kind: fc.constant('referrers' as const),
      repository,
      digest: blob,
      artifactType: fc.string({ maxLength: 100 }),
    },
    { requiredKeys: ['kind', 'repository', 'digest'] },
  ),
);

describe('a route', () => {
  test('is read back as it was written', () => {
    fc.assert(
      fc.property(route, (given) => {
        expect(parseRoute(formatRoute(given))).toEqual(given);
      }),
      { numRuns: 500 },
    );
  });

  test('is a path that no URL parser changes', () => {
    fc.assert(
      fc.property(route, (given) => {
        const target = formatRoute(given);
        const url = new URL(target, 'http://registry');
        expect(url.origin).toBe('http://registry');
        expect(url.pathname + url.search).toBe(target);
      }),
    );
  });

  test.each(['..', 'a/../b', 'A', '', 'a?b'])('to %j is none', (name) => {
    for (const given of [
      { kind: 'tags', repository: name, page: {} },
      { kind: 'manifest', repository: name, reference: 'latest' },
      { kind: 'blob', repository: name, digest },
      { kind: 'uploads', repository: name },
    ] as const) {
      expect(codeOf(thrownBy(() => formatRoute(given)))).toBe('REFERENCE_INVALID');
    }
  });
});

describe('P7 S01 any path', () => {
  const piece = fc.constantFrom(
    ...['/', '//', '.', '..', '%2e', '%2e%2e', '%2f', '%5c', '\\', '\0', '%00', 'v2', '/v2/', 'a'],
    ...['A', '_layers', 'manifests', 'blobs', 'uploads', 'tags', 'list', '_catalog', ':', '@', '?'],
    ...[
      'referrers',
      '?mount=',
      '&from=',
      '?digest=',
      '&tag=',
      '#',
      ';',
      '&n=',
      '?last=',
      'sha256:',
      digest,
      'latest',
      'http://evil/',
      '\u2025',
      '٠',
      ' ',
    ],
  );
  const target = fc.oneof(
    fc.array(piece, { maxLength: 12 }).map((pieces) => pieces.join('')),
    fc.array(piece, { maxLength: 8 }).map((pieces) => `/v2/${pieces.join('/')}`),
    fc.string(),
  );

  test('is no route, is refused, or names only what the grammar allows', () => {
    fc.assert(
      fc.property(target, (given) => {
        let found: Route | undefined;
        try {
          found = parseRoute(given);
        } catch (error) {
          expect(codeOf(error)).toMatch(/^(REFERENCE|DIGEST)_INVALID$/);
        }
        if (!found) return;
        if ('repository' in found) expect(isRepository(found.repository)).toBe(true);
        const digests = [field(found, 'digest'), field(found, 'mount')];
        for (const given of digests) if (given !== undefined) expect(isDigest(given)).toBe(true);
        const from = field(found, 'from');
        if (from !== undefined) expect(isRepository(from)).toBe(true);
        const id = field(found, 'id');
        if (id !== undefined) expect(id).toMatch(/^[\w-]+$/);
        if ('reference' in found) {
          expect(isTag(found.reference) || isDigest(found.reference)).toBe(true);
        }
        const path = given.replace(/\?.*$/s, '');
        expect(formatRoute(found).replace(/\?.*$/s, '')).toBe(path === '/v2' ? '/v2/' : path);
      }),
      { numRuns: 20_000 },
    );
  });

  test.each([
    '/v2/../../etc/passwd',
    '/v2/a/../../etc/passwd',
    '//evil/v2/',
    '//evil/x',
    'http://evil/v2/',
    '/',
    '',
    '*',
    '/v2//',
    '/v2/_catalog/',
    '/v2/a/tags',
    '/v3/a/tags/list',
    '/%76%32/',
    `/v2/${'a/'.repeat(32_768)}tags/list`,
  ])('is no route: %j', (given) => {
    expect(parseRoute(given)).toBeUndefined();
  });

  test.each([
    ['/v2/../x/manifests/latest', 'REFERENCE_INVALID'],
    ['/v2/%2e%2e/x/manifests/latest', 'REFERENCE_INVALID'],
    ['/v2/a%2f..%2fb/tags/list', 'REFERENCE_INVALID'],
    ['/v2/a\\b/tags/list', 'REFERENCE_INVALID'],
    ['/v2/a%5cb/tags/list', 'REFERENCE_INVALID'],
    ['/v2/a\0/tags/list', 'REFERENCE_INVALID'],
    ['/v2/A/tags/list', 'REFERENCE_INVALID'],
    ['/v2/_layers/tags/list', 'REFERENCE_INVALID'],
    ['/v2/a/_layers/tags/list', 'REFERENCE_INVALID'],
    [`/v2/${'a'.repeat(256)}/tags/list`, 'REFERENCE_INVALID'],
    ['/v2/a/manifests/..', 'REFERENCE_INVALID'],
    ['/v2/a/manifests/-x', 'REFERENCE_INVALID'],
    [`/v2/a/manifests/${'x'.repeat(129)}`, 'REFERENCE_INVALID'],
    ['/v2/a/manifests/sha256:bad', 'DIGEST_INVALID'],
    ['/v2/a/blobs/..', 'DIGEST_INVALID'],
    ['/v2/a/blobs/sha256:..', 'DIGEST_INVALID'],
    [`/v2/a/blobs/${digest.toUpperCase()}`, 'DIGEST_INVALID'],
    ['/v2/a/blobs/uploads/?mount=sha256:bad', 'DIGEST_INVALID'],
    ['/v2/a/blobs/uploads/?from=../b', 'REFERENCE_INVALID'],
    ['/v2/a/blobs/uploads/?digest=', 'DIGEST_INVALID'],
    ['/v2/a/blobs/uploads/..', 'REFERENCE_INVALID'],
    ['/v2/a/blobs/uploads/%2e%2e', 'REFERENCE_INVALID'],
    ['/v2/a/blobs/uploads/a.b', 'REFERENCE_INVALID'],
    [`/v2/a/blobs/uploads/${'x'.repeat(65)}`, 'REFERENCE_INVALID'],
    ['/v2/a/blobs/uploads/x?digest=sha256:bad', 'DIGEST_INVALID'],
    ['/v2/a/referrers/latest', 'DIGEST_INVALID'],
    ['/v2/a/referrers/sha256:bad', 'DIGEST_INVALID'],
    ['/v2/a/manifests/latest?tag=..', 'REFERENCE_INVALID'],
    [`/v2/a/manifests/${digest}?tag=ok&tag=-x`, 'REFERENCE_INVALID'],
  ])('S02 S03 breaks the grammar: %j', (given, code) => {
    expect(codeOf(thrownBy(() => parseRoute(given)))).toBe(code);
  });

  test.each([
    ['/v2/foo/manifests/bar/manifests/x', { repository: 'foo/manifests/bar', reference: 'x' }],
    [`/v2/foo/blobs/bar/blobs/${digest}`, { repository: 'foo/blobs/bar', digest }],
    [`/v2/a/manifests/b/blobs/${digest}`, { repository: 'a/manifests/b', digest }],
    ['/v2/a/tags/list/tags/list', { repository: 'a/tags/list' }],
    ['/v2/a/blobs/uploads/manifests/x', { repository: 'a/blobs/uploads', reference: 'x' }],
    [`/v2/a/referrers/b/referrers/${digest}`, { repository: 'a/referrers/b', digest }],
    [`/v2/a/blobs/uploads/b/blobs/uploads/`, { repository: 'a/blobs/uploads/b' }],
    ['/v2/a__b/manifests/x', { repository: 'a__b', reference: 'x' }],
  ])('S02 is read by its last keyword: %j', (given, expected) => {
    expect(parseRoute(given)).toMatchObject(expected);
  });

  test.each([
    ['n=99999999', { n: 1000 }],
    ['n=1000', { n: 1000 }],
    ['n=0', { n: 0 }],
    ['n=-1', {}],
    ['n=abc', {}],
    ['n=1.5', {}],
    ['n=1e2', {}],
    ['n=', {}],
    ['last=', { last: '' }],
    ['last=%2e%2e&n=1', { n: 1, last: '..' }],
  ])('S04 with %s is a page', (query, expected) => {
    expect(parseRoute(`/v2/_catalog?${query}`)).toEqual({ kind: 'catalog', page: expected });
  });
});

/** A field that only some routes have. */
function field(route: Route, name: string): string | undefined {
  const found = Object.entries(route).find(([key]) => key === name)?.[1];
  return typeof found === 'string' ? found : undefined;
}

function thrownBy(deed: () => unknown): unknown {
  try {
    deed();
  } catch (error) {
    return error;
  }
  return undefined;
}
