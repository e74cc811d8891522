import { gzipSync, zstdCompressSync } from 'node:zlib';
import { bytes, type Content, type Descriptor, digestOf, readAll } from '@cluster-image/oci';
import { type TarEntry, tarball } from '@cluster-image/storage';
import { noise } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { baseFiles } from '../../src/assemble/base-files.ts';

async function tar(paths: readonly string[], size = 0): Promise<Uint8Array> {
  const entries = paths.map((path): TarEntry => {
    if (path.endsWith('/')) return { type: 'directory', path: path.slice(0, -1), mode: 0o755 };
    const [name = '', target] = path.split(' -> ');
    if (target !== undefined) return { type: 'symlink', path: name, target };
    return { type: 'file', path: name, mode: 0o644, content: bytes(noise(name, size)) };
  });
  const content = tarball(entries);
  return readAll(content, content.size);
}

function image(...layers: readonly Uint8Array[]) {
  const opened: string[] = [];
  const blobs = new Map(layers.map((layer) => [digestOf(layer), layer]));
  const descriptors = layers.map(
    (layer): Descriptor => ({ mediaType: 'x', digest: digestOf(layer), size: layer.length }),
  );
  const look = baseFiles(
    descriptors,
    async (digest): Promise<Content | undefined> => {
      opened.push(digest);
      const found = blobs.get(digest);
      return found && bytes(found);
    },
    'a.io/base:1',
  );
  return { look, opened, descriptors };
}

const formats: readonly (readonly [string, (body: Uint8Array) => Uint8Array])[] = [
  ['plain', (body) => body],
  ['gzip', (body) => gzipSync(body)],
  ['zstd', (body) => zstdCompressSync(body)],
];

describe.each(formats)('a base image with %s layers', (_, pack) => {
  test('says what is at a path, the upper layers first', async () => {
    const { look } = image(
      pack(await tar(['etc/', 'etc/a', 'link -> etc', 'gone/', 'gone/x', 'opaque/', 'opaque/x'])),
      pack(await tar(['etc/', 'etc/a/', 'gone', 'opaque/', 'opaque/.wh..wh..opq', 'opaque/y'])),
      pack(await tar(['.wh.link', 'etc/', 'etc/.wh.b', 'new/'])),
    );
    expect(await look('etc')).toBe('directory');
    expect(await look('etc/a')).toBe('directory');
    expect(await look('gone')).toBe('file');
    expect(await look('gone/x')).toBeUndefined();
    expect(await look('opaque/y')).toBe('file');
    expect(await look('opaque/x')).toBeUndefined();
    expect(await look('link')).toBeUndefined();
    expect(await look('new')).toBe('directory');
    expect(await look('none')).toBeUndefined();
  });

  test('is read past large files and long names', async () => {
    const long = `${'d'.repeat(120)}/${'f'.repeat(150)}`;
    const { look } = image(pack(await tar(['first', long, 'last/'], 700_000)));
    expect(await look(long)).toBe('file');
    expect(await look('last')).toBe('directory');
  });

  test('is read once, and only as far down as needed', async () => {
    const { look, opened, descriptors } = image(
      pack(await tar(['below/'])),
      pack(await tar(['above/'])),
    );
    await look('above');
    await look('above');
    expect(opened).toEqual([descriptors[1]?.digest]);
    await Promise.all([look('below'), look('below')]);
    expect(opened).toEqual([descriptors[1]?.digest, descriptors[0]?.digest]);
  });
});

describe('a base image that cannot be read', () => {
  test.each<[string, (body: Uint8Array) => Uint8Array, string]>([
    ['breaks off', (body) => gzipSync(body).subarray(0, 60), 'ARCHIVE_INVALID'],
    [
      'is damaged',
      (body) => Buffer.concat([gzipSync(body).subarray(0, 40), noise('x', 99)]),
      'ARCHIVE_INVALID',
    ],
    ['is compressed otherwise', () => Buffer.from('fd377a585a0000000000', 'hex'), 'UNSUPPORTED'],
  ])('because a layer %s', async (_, spoil, code) => {
    const { look } = image(spoil(await tar(['a', 'b', 'c'], 2000)));
    await expect(look('x')).rejects.toMatchObject({
      code,
      message: expect.stringContaining('of a.io/base:1'),
    });
  });

  test('because a layer is not in the store', async () => {
    const look = baseFiles(
      [{ mediaType: 'x', digest: digestOf(bytesOf('x')), size: 1 }],
      async () => undefined,
      'a.io/base:1',
    );
    await expect(look('x')).rejects.toMatchObject({
      code: 'NOT_FOUND',
      hint: expect.stringContaining('cluster-image cache'),
    });
  });
});

function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
