import {
  blobsOf,
  codeOf,
  describe as describeManifest,
  digestOf,
  isForeign,
  isIndex,
  manifestLimit,
  mediaTypes,
  parseManifest,
} from '@cluster-image/oci';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

const digest = `sha256:${'a'.repeat(64)}`;
const other = `sha256:${'b'.repeat(64)}`;
const config = { mediaType: mediaTypes.ociConfig, digest, size: 2 };
const layer = { mediaType: mediaTypes.ociLayerGzip, digest: other, size: 10 };
const image = { schemaVersion: 2, mediaType: mediaTypes.ociManifest, config, layers: [layer] };
const index = {
  schemaVersion: 2,
  mediaType: mediaTypes.ociIndex,
  manifests: [{ mediaType: mediaTypes.ociManifest, digest, size: 2 }],
};

const encode = (value: unknown): Uint8Array =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));

function codeFor(value: unknown, declared?: string): string | undefined {
  try {
    parseManifest(encode(value), 'test', undefined, declared);
  } catch (error) {
    return codeOf(error) ?? 'not ours';
  }
  return undefined;
}

describe('what a manifest is, its body decides', () => {
  test.each([
    ['an OCI manifest', image, 'image', mediaTypes.ociManifest],
    ['an OCI index', index, 'index', mediaTypes.ociIndex],
    [
      'a docker manifest',
      { ...image, mediaType: mediaTypes.dockerManifest },
      'image',
      mediaTypes.dockerManifest,
    ],
    [
      'a docker list',
      { ...index, mediaType: mediaTypes.dockerList },
      'index',
      mediaTypes.dockerList,
    ],
    [
      'a manifest without media type',
      { ...image, mediaType: undefined },
      'image',
      mediaTypes.ociManifest,
    ],
    [
      'an index without media type',
      { ...index, mediaType: undefined },
      'index',
      mediaTypes.ociIndex,
    ],
    ['an image without layers', { ...image, layers: [] }, 'image', mediaTypes.ociManifest],
    ['an empty index', { ...index, manifests: [] }, 'index', mediaTypes.ociIndex],
  ] as const)('%s', (_, value, kind, mediaType) => {
    const body = encode(value);
    const manifest = parseManifest(body, 'test', digestOf(body), mediaType);
    expect(manifest.kind).toBe(kind);
    expect(manifest.bytes).toBe(body);
    expect(describeManifest(manifest)).toEqual({
      mediaType,
      digest: digestOf(body),
      size: body.length,
    });
    expect(isIndex(mediaType)).toBe(kind === 'index');
  });

  test('a sha512 digest is a name for it too', () => {
    const body = encode(image);
    const expected = digestOf(body, 'sha512');
    expect(parseManifest(body, 'test', expected).digest).toBe(expected);
  });

  test('fields that nobody asked for are kept in the bytes', () => {
    const body = encode({ ...image, annotations: { a: 'b' }, custom: { deep: [1] } });
    const manifest = parseManifest(body, 'test');
    expect(manifest.annotations).toEqual({ a: 'b' });
    expect(manifest.bytes).toBe(body);
  });
});

describe('what is refused', () => {
  test.each([
    ['both layers and manifests', { ...image, ...index, mediaType: undefined }],
    ['both, as an image', { ...index, ...image }],
    ['both, as an index', { ...image, ...index }],
    ['both, one of them null', { ...image, manifests: null }],
    ['an index type on an image', { ...image, mediaType: mediaTypes.ociIndex }],
    ['an image type on an index', { ...index, mediaType: mediaTypes.ociManifest }],
    ['a docker list type on an image', { ...image, mediaType: mediaTypes.dockerList }],
    ['a config type', { ...image, mediaType: mediaTypes.ociConfig }],
    ['an empty type', { ...image, mediaType: '' }],
    ['a type that is no text', { ...image, mediaType: 1 }],
  ])('C17: a manifest with %s', (_, value) => {
    expect(codeFor(value)).toBe('MANIFEST_INVALID');
  });

  test.each([
    [mediaTypes.dockerManifest, image],
    [mediaTypes.ociIndex, image],
    [mediaTypes.ociManifest, index],
    [`${mediaTypes.dockerList}; charset=utf-8`, index],
    [mediaTypes.ociManifest, { ...image, mediaType: mediaTypes.dockerManifest }],
  ])('C17: a body that came as %s and is something else', (declared, value) => {
    expect(codeFor(value, declared)).toBe('MANIFEST_INVALID');
  });

  test('C17: a type that says nothing about manifests does not count', () => {
    for (const declared of [
      '',
      'application/json',
      'application/octet-stream',
      `${mediaTypes.ociManifest}; q=1`,
    ]) {
      expect(codeFor(image, declared)).toBeUndefined();
    }
  });

  test.each([
    ['schema 1', { schemaVersion: 1, name: 'x', tag: 'y', fsLayers: [], history: [] }],
    ['schema 1 that claims to be 2', { schemaVersion: 2, fsLayers: [] }],
  ])('%s is UNSUPPORTED', (_, value) => {
    expect(codeFor(value)).toBe('UNSUPPORTED');
  });

  const sized = (size: string): string =>
    JSON.stringify(image).replace('"size":10', `"size":${size}`);

  test.each([
    '-1',
    '-0.5',
    '10.5',
    '"10"',
    'null',
    '1e400',
    '9007199254740992',
    '9007199254740993',
    '1e300',
    '[10]',
    'true',
  ])('C21: a layer of size %s', (size) => {
    expect(codeFor(sized(size))).toBe('MANIFEST_INVALID');
  });

  test('C21: sizes up to 2^53-1 are exact', () => {
    for (const size of ['0', '10', '9007199254740991']) {
      const manifest = parseManifest(encode(sized(size)), 'test');
      expect(manifest.kind === 'image' && String(manifest.layers[0]?.size)).toBe(size);
    }
  });

  test('C21: one digest with two sizes', () => {
    expect(codeFor({ ...image, layers: [layer, { ...layer, size: 11 }] })).toBe('MANIFEST_INVALID');
    expect(codeFor({ ...image, layers: [{ ...layer, digest }] })).toBe('MANIFEST_INVALID');
    const [child] = index.manifests;
    expect(codeFor({ ...index, manifests: [child, { ...child, size: 3 }] })).toBe(
      'MANIFEST_INVALID',
    );
    expect(codeFor({ ...image, layers: [layer, layer] })).toBeUndefined();
  });

  test.each([
    ['sha256:../../../../etc/passwd'],
    [digest.toUpperCase()],
    [digest.slice(0, -1)],
    [`md5:${'a'.repeat(32)}`],
    [''],
    [null],
    [{}],
  ])('C20: a layer with the digest %j', (wrong) => {
    expect(codeFor({ ...image, layers: [{ ...layer, digest: wrong }] })).toBe('MANIFEST_INVALID');
  });

  test('C22: a body of more than 4 MiB, and none smaller', () => {
    const padded = (size: number): string => {
      const padding = size - JSON.stringify({ ...image, padding: '' }).length;
      return JSON.stringify({ ...image, padding: 'x'.repeat(padding) });
    };
    expect(codeFor(padded(manifestLimit))).toBeUndefined();
    expect(codeFor(padded(manifestLimit + 1))).toBe('MANIFEST_INVALID');
  });

  test('C22: nesting without end, quickly', () => {
    const depth = 1_000_000;
    const nested = `{"schemaVersion":2,"layers":${'['.repeat(depth)}${']'.repeat(depth)}}`;
    const started = performance.now();
    expect(codeFor(nested)).toBe('MANIFEST_INVALID');
    expect(performance.now() - started).toBeLessThan(10_000);
  });

  test.each([
    '',
    'null',
    '[]',
    '"x"',
    '1',
    '{}',
    '<html></html>',
    '{"schemaVersion":2}',
    '{"schemaVersion":3,"layers":[]}',
  ])('C16: %j, which is no manifest', (text) => {
    expect(codeFor(text)).toBe('MANIFEST_INVALID');
  });

  test('C18: bytes that are not those of the digest they were asked for by', () => {
    const body = encode(image);
    for (const expected of [digestOf(encode(index)), digestOf(encode(index), 'sha512')]) {
      expect(() => parseManifest(body, 'docker.io/library/nginx', expected)).toThrow(
        expect.objectContaining({ code: 'DIGEST_MISMATCH' }),
      );
      expect(() => parseManifest(body, 'docker.io/library/nginx', expected)).toThrow(
        'docker.io/library/nginx',
      );
    }
  });
});

test('C17: any mutation of a manifest is read or is an error of ours', () => {
  const seeds = [image, index].map((value) => JSON.stringify(value));
  const bits = [
    '{',
    '}',
    '[',
    ']',
    '"',
    ':',
    ',',
    'null',
    '-1',
    '1e99',
    '"manifests":[],',
    '"layers":[],',
    '\u0000',
    '9007199254740993',
  ];
  fc.assert(
    fc.property(
      fc.constantFrom(...seeds),
      fc.array(fc.tuple(fc.nat(), fc.nat(20), fc.constantFrom(...bits)), {
        minLength: 1,
        maxLength: 3,
      }),
      (seed, edits) => {
        let text = seed;
        for (const [at, drop, put] of edits) {
          const from = at % (text.length + 1);
          text = text.slice(0, from) + put + text.slice(from + drop);
        }
        expect([undefined, 'MANIFEST_INVALID', 'UNSUPPORTED']).toContain(codeFor(text));
      },
    ),
    { numRuns: 1000 },
  );
});

test('config and layers come once each, the config first', () => {
  const manifest = parseManifest(
    encode({ ...image, layers: [layer, { ...layer }, { ...config }] }),
    'test',
  );
  expect(manifest.kind === 'image' && blobsOf(manifest).map((blob) => blob.digest)).toEqual([
    digest,
    other,
  ]);
});

test('C23: a layer that may not be passed on is known by its media type', () => {
  const foreign = [
    'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
    'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
  ];
  const manifest = parseManifest(
    encode({
      ...image,
      layers: foreign.map((mediaType) => ({ ...layer, mediaType, urls: ['https://x'] })),
    }),
    'test',
  );
  expect(manifest.kind === 'image' && manifest.layers.map(isForeign)).toEqual([true, true]);
  expect(manifest.kind === 'image' && isForeign(manifest.config)).toBe(false);
});
