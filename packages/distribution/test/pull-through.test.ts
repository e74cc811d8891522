import {
  bytes,
  type Content,
  codeOf,
  createContext,
  type Digest,
  digestOf,
  memory,
  type RegistryReader,
  readAll,
} from '@cluster-image/oci';
import {
  type FaultRule,
  faultRegistry,
  imageFixture,
  indexFixture,
  noise,
  putFixture,
} from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { type PullThroughOptions, pullThrough } from '../src/pull-through.ts';
import { clientOf, read } from './client.ts';

const name = 'a.io/team/app';
const image = imageFixture({ layers: [1000, 300_000] });
const index = indexFixture(['linux/amd64', 'linux/arm64'], { seed: 'index' });

/** A pull-through of a registry over HTTP that has both images; requests are `METHOD path`. */
async function setUp(options: Partial<PullThroughOptions> = {}, rules: readonly FaultRule[] = []) {
  const server = await faultRegistry({ rules });
  await putFixture(server.registry, name, image, '1');
  await putFixture(server.registry, name, index, 'many');
  const cache = memory();
  const upstream = clientOf(server).registry();
  const make = (more: Partial<PullThroughOptions> = {}): RegistryReader =>
    pullThrough({ cache, upstream, context: createContext(), ...options, ...more });
  let told = 0;
  /** What was asked since the last time. */
  const asked = (): readonly string[] => {
    const news = server.log.slice(told);
    told = server.log.length;
    return news.map(({ method, kind }) => `${method} ${kind}`);
  };
  return { server, cache, make, reader: make(), asked };
}

/** All that a client reads of an image: its manifest, and every blob. */
async function pull(reader: RegistryReader, reference: string): Promise<Digest> {
  const found = await reader.resolve(name, reference);
  if (!found) throw new Error(`no ${reference}`);
  const manifest = await reader.manifest(name, found.digest);
  const parts = manifest?.kind === 'image' ? [manifest.config, ...manifest.layers] : [];
  for (const { digest, size } of parts) {
    const content = await reader.blob(name, digest);
    if (!content) throw new Error(`no ${digest}`);
    expect(digestOf(await readAll(content, size))).toBe(digest);
  }
  return found.digest;
}

describe('what is asked of an upstream', () => {
  test('once each when it is pulled for the first time, and by digest never again', async () => {
    const { reader, asked, make, cache } = await setUp();
    expect(await pull(reader, '1')).toBe(image.root.digest);
    expect(asked().toSorted()).toEqual([
      'GET blob',
      'GET blob',
      'GET blob',
      'GET manifest',
      'HEAD manifest',
    ]);
    await pull(reader, image.root.digest);
    await pull(make(), image.root.digest);
    expect(asked()).toEqual([]);
    expect(await cache.resolve(name, '1')).toMatchObject({ digest: image.root.digest });
  });

  test('by tag one HEAD, and none where it was looked up a moment ago', async () => {
    let clock = 0;
    const { reader, asked, make } = await setUp({ now: () => clock });
    await pull(reader, '1');
    asked();
    await pull(reader, '1');
    expect(asked()).toEqual(['HEAD manifest']);
    const believing = make({ maxAge: 1000 });
    await pull(believing, '1');
    clock = 999;
    await pull(believing, '1');
    expect(asked()).toEqual(['HEAD manifest']);
    clock = 1000;
    await pull(believing, '1');
    expect(asked()).toEqual(['HEAD manifest']);
  });

  test('of an index only what somebody wants', async () => {
    const { reader, asked, cache } = await setUp();
    const [own] = index.manifests;
    if (!own) throw new Error('no child');
    await pull(reader, 'many');
    await pull(reader, own.digest);
    const kinds = asked();
    expect(kinds.filter((kind) => kind === 'GET manifest')).toHaveLength(2);
    const blobs = own.kind === 'image' ? own.layers.length + 1 : 0;
    expect(kinds.filter((kind) => kind === 'GET blob')).toHaveLength(blobs);
    expect(await cache.resolve(name, 'many')).toMatchObject({ digest: index.root.digest });
    expect(await cache.resolve(name, own.digest)).toMatchObject({ digest: own.digest });
  });

  test('nothing offline, and what is there is served', async () => {
    const { reader, asked, make } = await setUp();
    await pull(reader, '1');
    asked();
    const offline = make({ offline: true });
    expect(await pull(offline, '1')).toBe(image.root.digest);
    expect(await offline.resolve(name, 'many')).toBeUndefined();
    expect(await offline.manifest(name, index.root.digest)).toBeUndefined();
    expect(await offline.blob(name, digestOf(noise('none', 1)))).toBeUndefined();
    expect(await Array.fromAsync(offline.tags(name))).toEqual(['1']);
    expect(asked()).toEqual([]);
  });

  test('a blob that the cache has in another repository, for an image that names it, never', async () => {
    const { make, asked, cache } = await setUp();
    const layer = image.root.layers[1];
    if (!layer) throw new Error('no layer');
    const body = image.blobs.get(layer.digest) ?? new Uint8Array();
    await cache.putBlob('other/one', layer.digest, bytes(body));
    const blobs = (digest: Digest): Promise<Content | undefined> => cache.blob('other/one', digest);
    await pull(make({ blobs }), '1');
    expect(asked().filter((kind) => kind === 'GET blob')).toHaveLength(2);
    // Nobody says that it belongs there.
    const fresh = make({ blobs });
    expect(await fresh.blob('a.io/team/secret', layer.digest)).toBeUndefined();
  });
});

test('an image is kept at once where other repositories have all of its parts', async () => {
  const { make, cache } = await setUp();
  for (const [digest, body] of image.blobs) await cache.putBlob('other/one', digest, bytes(body));
  const blobs = (digest: Digest): Promise<Content | undefined> => cache.blob('other/one', digest);
  const reader = make({ blobs });
  const found = await reader.resolve(name, '1');
  await reader.manifest(name, found?.digest ?? image.root.digest);
  expect(await cache.resolve(name, '1')).toMatchObject({ digest: image.root.digest });
});

describe('a tag', () => {
  test('that moves is fetched anew', async () => {
    const { reader, server } = await setUp();
    await pull(reader, '1');
    const moved = imageFixture({ seed: 'moved' });
    await putFixture(server.registry, name, moved, '1');
    expect(await pull(reader, '1')).toBe(moved.root.digest);
  });

  test('that moves back to what is cached moves in the cache, too', async () => {
    const { reader, server, cache, make } = await setUp();
    await pull(reader, '1');
    await putFixture(server.registry, name, imageFixture({ seed: 'moved' }), '1');
    await pull(reader, '1');
    await putFixture(server.registry, name, image, '1');
    await pull(reader, '1');
    expect(await cache.resolve(name, '1')).toMatchObject({ digest: image.root.digest });
    expect(await pull(make({ offline: true }), '1')).toBe(image.root.digest);
  });

  test('S10: means what it meant last while the upstream is out of order, and that is told', async () => {
    let isOut = false;
    const { reader } = await setUp({}, [
      { match: {}, fault: { answer: (right) => (isOut ? { ...right, status: 503 } : right) } },
    ]);
    await pull(reader, '1');
    isOut = true;
    expect(await pull(reader, '1')).toBe(image.root.digest);
    await expect(reader.resolve(name, 'many')).rejects.toMatchObject({ code: 'UPSTREAM' });
  });

  test('is not looked up again for a minute at a host that is out of order', async () => {
    let clock = 0;
    let isOut = false;
    const { server, make, asked } = await setUp({}, [
      { match: {}, fault: { answer: (right) => (isOut ? { ...right, status: 503 } : right) } },
    ]);
    const reader = make({ now: () => clock });
    await putFixture(server.registry, 'a.io/other', image, '1');
    for (const each of [name, 'a.io/other']) {
      await reader.resolve(each, '1');
      await reader.manifest(each, image.root.digest);
      for (const { digest } of [image.root.config, ...image.root.layers]) {
        await read(await reader.blob(each, digest));
      }
    }
    isOut = true;
    expect(await reader.resolve(name, '1')).toBeDefined();
    asked();
    expect(await reader.resolve('a.io/other', '1')).toBeDefined();
    expect(asked()).toEqual([]);
    clock = 60_000;
    isOut = false;
    expect(await reader.resolve(name, '1')).toBeDefined();
    expect(asked()).toEqual(['HEAD manifest']);
  });

  test('that is gone upstream is gone', async () => {
    const { reader, make } = await setUp();
    await pull(reader, '1');
    const emptied = make({ upstream: memory() });
    expect(await emptied.resolve(name, '1')).toBeUndefined();
    expect(await emptied.resolve(name, image.root.digest)).toBeDefined();
  });
});

describe('tags', () => {
  test('are those of the upstream in order, or the known ones while it is out of order', async () => {
    let isOut = false;
    const { server, reader } = await setUp({}, [
      { match: {}, fault: { answer: (right) => (isOut ? { ...right, status: 503 } : right) } },
    ]);
    await putFixture(server.registry, name, image, '0');
    await putFixture(server.registry, 'a.io/other', image, '1');
    await pull(reader, '1');
    expect(await Array.fromAsync(reader.tags(name))).toEqual(['0', '1', 'many']);
    isOut = true;
    expect(await Array.fromAsync(reader.tags(name))).toEqual(['1']);
    const unknown = Array.fromAsync(reader.tags('a.io/other'));
    await expect(unknown).rejects.toMatchObject({ code: 'UPSTREAM' });
  });

  test('are given in order, whatever order the upstream has', async () => {
    const upstream: RegistryReader = {
      ...memory(),
      async *tags() {
        yield* ['b', 'a', 'A', '10', '9'];
      },
    };
    const reader = pullThrough({ cache: memory(), upstream, context: createContext() });
    expect(await Array.fromAsync(reader.tags(name))).toEqual(['10', '9', 'A', 'a', 'b']);
  });
});

test('manifests whose blobs nobody asks for are held only so far', async () => {
  const big = { annotations: { text: 'x'.repeat(3_000_000) } };
  const images = Array.from({ length: 30 }, (_, at) => imageFixture({ ...big, seed: `${at}` }));
  const source = memory();
  for (const each of images) await putFixture(source, name, each);
  let fetched = 0;
  const upstream: RegistryReader = {
    ...source,
    manifest: (repository, digest) => {
      fetched += 1;
      return source.manifest(repository, digest);
    },
  };
  const reader = pullThrough({ cache: memory(), upstream, context: createContext() });
  const ask = async (): Promise<void> => {
    for (const { root } of images.toReversed()) await reader.manifest(name, root.digest);
  };
  await ask();
  expect(fetched).toBe(30);
  for (const { root } of images.slice(0, 20)) await reader.manifest(name, root.digest);
  expect(fetched).toBe(30);
  await reader.manifest(name, images[29]?.root.digest ?? image.root.digest);
  expect(fetched).toBe(31);
});

describe('many clients at once', () => {
  test('cause one fetch of each blob and manifest, and each gets every byte', async () => {
    const { reader, asked } = await setUp({}, [
      { match: { kind: 'blob' }, fault: { drip: 10_000 } },
    ]);
    const all = await Promise.all(Array.from({ length: 50 }, () => pull(reader, '1')));
    expect(new Set(all)).toEqual(new Set([image.root.digest]));
    const kinds = asked();
    expect(kinds.filter((kind) => kind === 'GET blob')).toHaveLength(3);
    expect(kinds.filter((kind) => kind === 'GET manifest')).toHaveLength(1);
  });

  test('get the first bytes before the upstream has sent the last', async () => {
    const { first, upstream, release } = slowly();
    const cache = memory();
    const reader = pullThrough({ cache, upstream, context: createContext() });
    const content = await reader.blob(name, first.digest);
    if (!content) throw new Error('no blob');
    const chunks = content.open()[Symbol.asyncIterator]();
    const { value } = await chunks.next();
    expect(value).toEqual(first.body.subarray(0, value?.length));
    expect(await cache.blob(name, first.digest)).toBeUndefined();
    release();
    let size = value?.length ?? 0;
    for (let next = await chunks.next(); !next.done; next = await chunks.next()) {
      size += next.value.length;
    }
    expect(size).toBe(first.body.length);
    expect(await cache.blob(name, first.digest)).toBeDefined();
  });

  test('S08: who leaves does not end it for others, nor for the cache', async () => {
    const { first, upstream, release } = slowly();
    const cache = memory();
    const reader = pullThrough({ cache, upstream, context: createContext() });
    const content = await reader.blob(name, first.digest);
    for await (const _ of content?.open() ?? []) break;
    release();
    await expect.poll(() => cache.blob(name, first.digest)).toBeDefined();
  });
});

describe('S09: an upstream that', () => {
  test.each<[string, (body: Uint8Array) => Uint8Array, string]>([
    ['ends early', (body) => body.subarray(0, -1), 'SIZE_MISMATCH'],
    ['sends more', (body) => Buffer.concat([body, Buffer.from('x')]), 'SIZE_MISMATCH'],
    ['sends other bytes', (body) => body.map((byte) => byte ^ 1), 'DIGEST_MISMATCH'],
  ])('%s never looks whole, is not kept, and is asked again', async (_, spoil, code) => {
    const body = noise('blob', 100_000);
    const digest = digestOf(body);
    let isSpoilt = true;
    const upstream: RegistryReader = {
      ...memory(),
      blob: async () => ({
        size: body.length,
        open: () => bytes(isSpoilt ? spoil(body) : body).open(),
      }),
    };
    const cache = memory();
    const reader = pullThrough({ cache, upstream, context: createContext() });
    let came = 0;
    const read = async (): Promise<void> => {
      came = 0;
      const content = await reader.blob(name, digest);
      for await (const chunk of content?.open() ?? []) came += chunk.length;
    };
    const failure = await read().catch(codeOf);
    expect([failure, came < body.length]).toEqual([code, true]);
    expect(await cache.blob(name, digest)).toBeUndefined();
    isSpoilt = false;
    await read();
    expect(came).toBe(body.length);
  });
});

/** An upstream that stops in the middle of a blob until it is released. */
function slowly() {
  const body = noise('slow', 200_000);
  const digest = digestOf(body);
  const { promise, resolve } = Promise.withResolvers<void>();
  const upstream: RegistryReader = {
    ...memory(),
    blob: async () => ({
      size: body.length,
      async *open() {
        yield body.subarray(0, 100_000);
        await promise;
        yield body.subarray(100_000);
      },
    }),
  };
  return { first: { body, digest }, upstream, release: resolve };
}
