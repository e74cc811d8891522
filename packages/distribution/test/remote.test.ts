import {
  bytes,
  copy,
  createContext,
  digestOf,
  mediaTypes,
  memory,
  parseManifest,
  type Registry,
  readAll,
} from '@cluster-image/oci';
import {
  type Fault,
  type FaultRegistry,
  type FaultRule,
  faultRegistry,
  imageFixture,
  indexFixture,
  putFixture,
  registryContract,
} from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { patience } from '../src/patience.ts';
import { remote } from '../src/remote.ts';
import { blobFixture, clientOf, failureOf } from './client.ts';

registryContract('a remote registry', async () => ({
  registry: clientOf(await faultRegistry()).registry(),
}));

const image = imageFixture();
const other = imageFixture({ seed: 'other' });
const pin = image.root.digest;

/** A client of a fault registry with one image. */
async function holding(...rules: readonly FaultRule[]) {
  const server = await faultRegistry({ rules });
  await putFixture(server.registry, 'team/app', image, '1.0');
  return { server, registry: clientOf(server).registry() };
}

/** A client of a registry that answers every manifest with these bytes, and no HEAD. */
async function serving(body: string | Uint8Array, headers: Fault['headers'] = {}) {
  return holding(
    { match: { method: 'HEAD' }, fault: { status: 405 } },
    { match: { kind: 'manifest' }, fault: { body, headers } },
  );
}

function json(value: unknown): string {
  return JSON.stringify(value);
}

function stepsOf({ log }: FaultRegistry): readonly string[] {
  return log.map(({ method, kind }) => `${method} ${kind}`);
}

describe('a manifest', () => {
  test.each([
    ['both layers and manifests', { ...parts(), manifests: [] }],
    ['a media type that does not fit', { ...parts(), mediaType: mediaTypes.ociIndex }],
    ['a layer of a negative size', withSize(-1)],
    ['a layer of a size beyond counting', withSize(2 ** 53)],
    ['a layer of half a byte', withSize(0.5)],
    ['a layer whose size is text', withSize('10')],
    ['a layer whose digest climbs', withDigest('sha256:../../../../etc/passwd')],
    ['a digest in capitals', withDigest(`sha256:${'A'.repeat(64)}`)],
    ['a digest that is too short', withDigest(`sha256:${'a'.repeat(63)}`)],
    ['a digest of md5', withDigest(`md5:${'a'.repeat(32)}`)],
    ['no JSON object', []],
  ])('C17 C20 C21 with %s is MANIFEST_INVALID', async (_, value) => {
    const { registry } = await serving(json(value));
    expect((await failureOf(registry.resolve('team/app', '1.0'))).code).toBe('MANIFEST_INVALID');
  });

  test('C17 that comes as what it is not is MANIFEST_INVALID', async () => {
    const { registry } = await serving(image.root.bytes, { 'content-type': mediaTypes.ociIndex });
    expect((await failureOf(registry.resolve('team/app', '1.0'))).code).toBe('MANIFEST_INVALID');
  });

  test.each([undefined, 'application/json', 'text/plain; charset=utf-8'])(
    'C17 that comes as %j is what its bytes say',
    async (type) => {
      const { registry } = await serving(image.root.bytes, { 'content-type': type ?? null });
      expect((await registry.resolve('team/app', '1.0'))?.digest).toBe(pin);
    },
  );

  test('C16 that is a web page is UPSTREAM', async () => {
    const { registry } = await serving('<html>', { 'content-type': 'Text/HTML; charset=utf-8' });
    expect((await failureOf(registry.resolve('team/app', '1.0'))).code).toBe('UPSTREAM');
    expect((await failureOf(registry.manifest('team/app', pin))).code).toBe('UPSTREAM');
  });

  test('C18 asked for by digest is DIGEST_MISMATCH where it is another, whatever it is said to be', async () => {
    const fault = { body: other.root.bytes, headers: { 'docker-content-digest': pin } };
    const { registry } = await holding({ match: { kind: 'manifest' }, fault });
    expect((await failureOf(registry.manifest('team/app', pin))).code).toBe('DIGEST_MISMATCH');
  });

  test('C18 looked up by digest is never another', async () => {
    const headers = { 'docker-content-digest': other.root.digest };
    const { server, registry } = await holding({ match: { method: 'HEAD' }, fault: { headers } });
    expect((await registry.resolve('team/app', pin))?.digest).toBe(pin);
    expect(stepsOf(server)).toEqual(['HEAD manifest', 'GET manifest']);
  });

  test.each([other.root.digest, 'sha256:bad'])(
    'C19 of a tag that is said to be %s but is not is DIGEST_MISMATCH',
    async (said) => {
      const { registry } = await serving(image.root.bytes, { 'docker-content-digest': said });
      expect((await failureOf(registry.resolve('team/app', '1.0'))).code).toBe('DIGEST_MISMATCH');
    },
  );

  test('C22 over 4 MiB is not read to its end', async () => {
    const { server, registry } = await serving(new Uint8Array(24 * 1024 * 1024));
    expect((await failureOf(registry.resolve('team/app', '1.0'))).code).toBe('MANIFEST_INVALID');
    expect(server.log.at(-1)?.sent).toBeLessThan(12 * 1024 * 1024);
  });

  test('whose tag moves while it is read is the one that was found', async () => {
    const { server, registry } = await holding({
      match: { method: 'HEAD' },
      fault: {
        answer: async (right) => {
          await putFixture(server.registry, 'team/app', other, '1.0');
          return right;
        },
      },
    });
    const found = await registry.resolve('team/app', '1.0');
    expect(found?.digest).toBe(pin);
    expect((await registry.manifest('team/app', pin))?.digest).toBe(pin);
  });

  test('A09 that is absent, or hidden, is undefined', async () => {
    const { registry } = await holding();
    expect(await registry.resolve('team/app', 'none')).toBeUndefined();
    expect(await registry.manifest('team/app', other.root.digest)).toBeUndefined();
  });
});

describe('C26 a registry', () => {
  test.each([404, 405, 400, 501])('that answers HEAD with %i is asked by GET', async (status) => {
    const { server, registry } = await holding({ match: { method: 'HEAD' }, fault: { status } });
    expect((await registry.resolve('team/app', '1.0'))?.digest).toBe(pin);
    expect(stepsOf(server)).toEqual(['HEAD manifest', 'GET manifest']);
  });

  test.each<NonNullable<Fault['headers']>>([
    { 'docker-content-digest': null },
    { 'docker-content-digest': `sha256:${'A'.repeat(64)}` },
    { 'content-type': null },
    { 'content-type': 'text/html' },
    { 'content-length': null },
  ])('that answers HEAD with %j is asked by GET', async (headers) => {
    const fault = { headers, length: 'chunked' } as const;
    const { server, registry } = await holding({ match: { method: 'HEAD' }, fault });
    expect((await registry.resolve('team/app', '1.0'))?.size).toBe(image.root.size);
    expect(stepsOf(server)).toEqual(['HEAD manifest', 'GET manifest']);
  });

  test('that answers HEAD is not asked by GET', async () => {
    const { server, registry } = await holding();
    expect((await registry.resolve('team/app', '1.0'))?.digest).toBe(pin);
    expect(await registry.resolve('team/app', other.root.digest)).toBeUndefined();
    expect(stepsOf(server)).toEqual(['HEAD manifest', 'HEAD manifest']);
  });

  test('that is busy is not asked by GET as well', async () => {
    const { server, registry } = await holding({ fault: { status: 503 } });
    expect((await failureOf(registry.resolve('team/app', '1.0'))).code).toBe('UPSTREAM');
    expect(server.log).toHaveLength(5);
  });

  test.each([405, 501])(
    'that answers HEAD of blobs with %i tells their size by GET',
    async (status) => {
      const { server, registry, digest, body } = await blobFixture({
        rules: [{ match: { method: 'HEAD' }, fault: { status } }],
      });
      const blob = await registry().blob('team/app', digest);
      expect(blob?.size).toBe(body.length);
      expect(Buffer.from(blob ? await readAll(blob, blob.size) : []).equals(body)).toBe(true);
      expect(stepsOf(server)).toEqual(['HEAD blob', 'GET blob', 'GET blob']);
      expect(await registry().blob('team/app', pin)).toBeUndefined();
    },
  );

  test('that never tells the size of a blob is UPSTREAM', async () => {
    const { registry, digest } = await blobFixture({ rules: [{ fault: { length: 'chunked' } }] });
    expect((await failureOf(registry().blob('team/app', digest))).code).toBe('UPSTREAM');
  });

  test('C16 that answers HEAD of blobs with a web page is UPSTREAM', async () => {
    const headers = { 'content-type': 'text/html' };
    const { registry, digest } = await blobFixture({ rules: [{ fault: { headers } }] });
    expect((await failureOf(registry().blob('team/app', digest))).code).toBe('UPSTREAM');
  });
});

describe('C20 a name that is none', () => {
  test.each([
    '../../etc',
    'a/../b',
    'a/./b',
    '/a',
    'a//b',
    'A',
    'a?b',
    'a#b',
    'a%2e%2e',
    'a\\b',
    'a\0',
    '',
    'x'.repeat(256),
  ])('%j is never sent', async (name) => {
    const { server, registry } = await holding();
    const asking = [
      registry.resolve(name, '1.0'),
      registry.manifest(name, pin),
      registry.blob(name, pin),
      registry.putBlob(name, pin, { size: 0, open: async function* () {} }),
      registry.putManifest(name, image.root),
      Array.fromAsync(registry.tags(name)),
    ];
    for (const asked of asking) {
      expect((await failureOf(asked)).code).toBe('REFERENCE_INVALID');
    }
    expect(server.log).toEqual([]);
  });

  test.each([
    ['../..', 'REFERENCE_INVALID'],
    ['a/../../b', 'REFERENCE_INVALID'],
    ['-a', 'REFERENCE_INVALID'],
    ['.a', 'REFERENCE_INVALID'],
    ['', 'REFERENCE_INVALID'],
    ['a?b', 'REFERENCE_INVALID'],
    ['x'.repeat(129), 'REFERENCE_INVALID'],
    ['sha256:../../x', 'DIGEST_INVALID'],
    [`sha256:${'A'.repeat(64)}`, 'DIGEST_INVALID'],
    [`md5:${'a'.repeat(32)}`, 'DIGEST_INVALID'],
  ])('%j is never sent as a tag', async (reference, code) => {
    const { server, registry } = await holding();
    expect((await failureOf(registry.resolve('team/app', reference))).code).toBe(code);
    const put = registry.putManifest('team/app', image.root, reference || '.');
    expect((await failureOf(put)).code).toBe(code);
    expect(server.log).toEqual([]);
  });
});

describe('C25 a list', () => {
  async function listed(fault: Fault, nth?: number) {
    const server = await faultRegistry({
      rules: [{ match: { kind: 'tags', ...(nth && { nth }) }, fault }],
    });
    for (const tag of ['a', 'b', 'c', 'd', 'e']) {
      await putFixture(server.registry, 'team/app', image, tag);
    }
    const registry = clientOf(server).registry();
    return { server, list: () => Array.fromAsync(registry.tags('team/app')) };
  }

  test('is read page by page', async () => {
    const { server, list } = await listed({});
    expect(await list()).toEqual(['a', 'b', 'c', 'd', 'e']);
    expect(server.log.map(({ target }) => target)).toEqual([
      '/v2/team/app/tags/list',
      '/v2/team/app/tags/list?n=2&last=b',
      '/v2/team/app/tags/list?n=2&last=d',
    ]);
  });

  test('whose next page is the same one does not end', async () => {
    const link = '</v2/team/app/tags/list?n=2&last=b>; rel="next"';
    const { server, list } = await listed({ headers: { link } });
    expect((await failureOf(list())).code).toBe('UPSTREAM');
    expect(server.log).toHaveLength(2);
  });

  test('whose next page has nothing new does not end', async () => {
    let page = 0;
    const { server, list } = await listed({
      answer: (right) => {
        page += 1;
        const link = `</v2/team/app/tags/list?page=${page}>; rel="next"`;
        return { ...right, headers: { ...right.headers, link } };
      },
    });
    expect((await failureOf(list())).code).toBe('UPSTREAM');
    expect(server.log).toHaveLength(2);
  });

  test('of repositories that the registry does not give is UNSUPPORTED, and not empty', async () => {
    const { registry } = await holding({ match: { kind: 'catalog' }, fault: { status: 404 } });
    const list = Array.fromAsync(registry.repositories());
    expect((await failureOf(list)).code).toBe('UNSUPPORTED');
  });

  test('that never has anything ends after ten thousand pages', async () => {
    let pages = 0;
    const context = createContext();
    const registry = remote({
      host: 'registry',
      url: new URL('http://registry'),
      prefix: '',
      exchange: async () => {
        pages += 1;
        const link = `</v2/team/app/tags/list?page=${pages}>; rel="next"`;
        return {
          status: 200,
          header: () => undefined,
          headers: () => [link],
          body: bytes('{"tags":[]}').open(),
          discard: async () => {},
        };
      },
      patience: patience({ host: 'registry', context, sleep: async () => {}, now: Date.now }),
      credentials: async () => 'no credentials',
      context,
    });
    const list = Array.fromAsync(registry.tags('team/app'));
    expect((await failureOf(list)).code).toBe('UPSTREAM');
    expect(pages).toBe(10_000);
  });

  test.each([
    ({ port }: URL) => `http://localhost:${port}/v2/team/app/tags/list?last=b`,
    ({ port }: URL) => `//localhost:${port}/v2/team/app/tags/list?last=b`,
    ({ port }: URL) => `https://127.0.0.1:${port}/v2/team/app/tags/list?last=b`,
    () => 'http://127.0.0.1/v2/team/app/tags/list?last=b',
    () => 'http://[',
    () => 'file:///etc/passwd',
  ])('whose next page lies elsewhere is not followed (%#)', async (target) => {
    const { server, list } = await listed({
      answer: (right, { host }) => ({
        ...right,
        headers: { link: `<${target(new URL(`http://${host}`))}>; rel="next"` },
      }),
    });
    expect((await failureOf(list())).code).toBe('UPSTREAM');
    expect(server.log).toHaveLength(1);
  });

  test.each([
    ['</v2/team/app/tags/list?last=d&n=2>;rel=next'],
    ['<?last=d&n=2>; title="x"; rel="next"'],
    ['</elsewhere>; rel="prev", </v2/team/app/tags/list?last=d&n=2>; rel="next"'],
  ])('names its next page as %j', async (link) => {
    const { list } = await listed({ headers: { link } }, 1);
    expect(await list()).toEqual(['a', 'b', 'e']);
  });

  test('is sorted and has each name once, whatever the registry sends', async () => {
    const { list } = await listed({ body: '{"tags":["b","a","V1","b"]}' });
    expect(await list()).toEqual(['V1', 'a', 'b']);
  });

  test('that is null is empty', async () => {
    const { list } = await listed({ body: '{"name":"team/app","tags":null}' });
    expect(await list()).toEqual([]);
  });

  test.each(['nothing', '[]', '{"tags":[1]}', '{"tags":"a"}', ''])('is not %j', async (body) => {
    const { list } = await listed({ body });
    expect((await failureOf(list())).code).toBe('UPSTREAM');
  });

  test('C16 is not a web page', async () => {
    const { list } = await listed({ headers: { 'content-type': 'text/html' } });
    expect((await failureOf(list())).code).toBe('UPSTREAM');
  });
});

describe('copying from a registry', () => {
  async function copied(source: Registry): Promise<Registry> {
    const target = memory();
    await copy(
      { registry: source, repository: 'team/app' },
      '1.0',
      { registry: target, repository: 'team/app' },
      {},
      createContext(),
    );
    return target;
  }

  test('C22 asks for a child that an index names twice once', async () => {
    const { root } = image;
    const index = parseManifest(
      Buffer.from(
        json({
          schemaVersion: 2,
          mediaType: mediaTypes.ociIndex,
          manifests: [1, 2].map(() => ({
            mediaType: root.mediaType,
            digest: root.digest,
            size: root.size,
          })),
        }),
      ),
      'index',
    );
    const { server, registry } = await holding();
    await server.registry.putManifest('team/app', index, '1.0');
    await copied(registry);
    expect(server.requests('manifest', 'GET')).toHaveLength(2);
  });

  test('C22 does not follow indexes too deep', async () => {
    const { server, registry } = await holding();
    let inner = indexFixture([]).root;
    for (let depth = 0; depth < 8; depth++) {
      const { mediaType, digest, size } = inner;
      const body = json({ schemaVersion: 2, mediaType, manifests: [{ mediaType, digest, size }] });
      await server.registry.putManifest('team/app', inner);
      const outer = parseManifest(Buffer.from(body), 'index');
      if (outer.kind === 'index') inner = outer;
    }
    await server.registry.putManifest('team/app', inner, '1.0');
    expect((await failureOf(copied(registry))).code).toBe('MANIFEST_INVALID');
    expect(server.requests('manifest', 'GET').length).toBeLessThan(8);
  });

  test('C23 leaves layers that lie elsewhere where they are', async () => {
    const { server, registry } = await holding();
    const url = `http://${server.hostAt('localhost')}/layer`;
    const foreign = {
      mediaType: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
      digest: digestOf(Buffer.from('foreign')),
      size: 7,
      urls: [url],
    };
    const body = json({ ...parts(), layers: [foreign] });
    const manifest = parseManifest(Buffer.from(body), 'image');
    await server.registry.putManifest('team/app', manifest, '1.0');
    const target = await copied(registry);
    expect(await target.manifest('team/app', manifest.digest)).toBeDefined();
    expect(server.log.every(({ host }) => host === server.host)).toBe(true);
    expect(server.requests('blob').map(({ reference }) => reference)).toEqual([
      image.root.config.digest,
    ]);
  });
});

function parts() {
  const { mediaType, config, layers } = image.root;
  return { schemaVersion: 2, mediaType, config, layers };
}

function withSize(size: unknown) {
  return { ...parts(), layers: [{ ...image.root.layers[0], size }] };
}

function withDigest(digest: string) {
  return { ...parts(), layers: [{ ...image.root.layers[0], digest }] };
}
