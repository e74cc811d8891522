import { type HandlerOptions, handler, listen } from '@cluster-image/distribution';
import {
  bytes,
  type Descriptor,
  type Digest,
  describe as describeManifest,
  digestOf,
  type Manifest,
  manifestLimit,
  mediaTypes,
  memory,
  OciError,
  parseManifest,
  type Registry,
  type Removable,
} from '@cluster-image/oci';
import {
  aboutFixture,
  imageFixture,
  indexFixture,
  noise,
  putFixture,
  registryContract,
} from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { type Answered, ask, sent } from './asking.ts';
import { clientOf } from './client.ts';

registryContract('what our client pushes through our server', async () => {
  const registry = memory();
  const listening = await listen(handler(registry, { pushes: registry }));
  return { registry: clientOf(listening.url).registry(), close: () => listening.close(0) };
});

const image = imageFixture();
const text = (manifest: Manifest): string => Buffer.from(manifest.bytes).toString();

/** An image's manifest with some fields changed. */
function changed(fields: Readonly<Record<string, unknown>>): string {
  return JSON.stringify({ ...JSON.parse(text(image.root)), ...fields });
}

interface Pushing {
  readonly registry: Registry & Removable;
  put(
    reference: string,
    body: string | Uint8Array,
    headers?: Readonly<Record<string, string | undefined>>,
  ): Promise<Answered>;
  ask(method: string, target: string): Promise<Answered>;
}

/** A server over a registry that has the blobs of an image, and nothing else. */
async function pushing(options: HandlerOptions = {}, registry = memory()): Promise<Pushing> {
  for (const [digest, body] of image.blobs) {
    await registry.putBlob('team/app', digest, bytes(body));
  }
  const served = handler(registry, { pushes: registry, ...options });
  return {
    registry,
    put(reference, body, headers = { 'content-type': mediaTypes.ociManifest }) {
      const data = Buffer.from(body);
      const given = { 'content-length': String(data.length), ...headers };
      const target = `/v2/team/app/manifests/${reference}`;
      return ask(served, 'PUT', target, { body: sent(data), headers: given });
    },
    ask: (method, target) => ask(served, method, target),
  };
}

describe('a manifest', () => {
  test('is there under its tag and its digest, byte by byte', async () => {
    const { put, ask, registry } = await pushing();
    // Written as no serialiser writes it.
    const odd = ` ${text(image.root).replaceAll('":', '" : ')}\n`;
    const digest = digestOf(Buffer.from(odd));
    const answer = await put('1.0', odd);
    expect(answer.status).toBe(201);
    expect(answer.headers.location).toBe(`/v2/team/app/manifests/${digest}`);
    expect(answer.headers['docker-content-digest']).toBe(digest);
    for (const reference of ['1.0', digest]) {
      expect((await ask('GET', `/v2/team/app/manifests/${reference}`)).text).toBe(odd);
    }
    expect(await Array.fromAsync(registry.tags('team/app'))).toEqual(['1.0']);
  });

  test('by digest gets no tag, or those that are named with it', async () => {
    const { put, registry } = await pushing();
    const { digest } = image.root;
    const plain = await put(digest, image.root.bytes);
    expect([plain.status, plain.headers['oci-tag']]).toEqual([201, undefined]);
    expect(await Array.fromAsync(registry.tags('team/app'))).toEqual([]);
    const tagged = await put(`${digest}?tag=1.0&tag=latest`, image.root.bytes);
    expect([tagged.status, tagged.headers['oci-tag']]).toEqual([201, '1.0, latest']);
    expect(await Array.fromAsync(registry.tags('team/app'))).toEqual(['1.0', 'latest']);
  });

  test('of the largest size is taken, and no larger one', async () => {
    const { put } = await pushing();
    const empty = changed({ annotations: { x: '' } });
    const sized = (size: number): string =>
      changed({ annotations: { x: 'x'.repeat(size - empty.length) } });
    const largest = await put('1.0', sized(manifestLimit));
    expect(largest.status).toBe(201);
    for (const headers of [{}, { 'content-length': '1' }]) {
      const more = await put('1.0', sized(manifestLimit + 1), headers);
      expect([more.status, more.codes]).toEqual([413, ['SIZE_INVALID']]);
    }
  });

  test('that says it is too large is not read at all', async () => {
    const registry = memory();
    let isRead = false;
    async function* body(): AsyncIterable<Uint8Array> {
      isRead = true;
      yield noise('large', 10);
    }
    const target = '/v2/team/app/manifests/1.0';
    const headers = { 'content-length': String(manifestLimit + 1) };
    const served = handler(registry, { pushes: registry });
    expect((await ask(served, 'PUT', target, { body: body(), headers })).status).toBe(413);
    expect(isRead).toBe(false);
  });

  const layers = (size: unknown, digest: string = digestOf(noise('image layer 0', 1000))) => [
    { mediaType: mediaTypes.ociLayer, digest, size },
  ];
  const missing = digestOf(noise('missing', 5));

  test.each([
    ['no JSON', 'hello', 'MANIFEST_INVALID'],
    ['nothing', '', 'MANIFEST_INVALID'],
    ['no object', '[]', 'MANIFEST_INVALID'],
    ['deep', '['.repeat(1_000_000), 'MANIFEST_INVALID'],
    ['not UTF-8', new Uint8Array([0x7b, 0xff, 0x7d]), 'MANIFEST_INVALID'],
    ['an image and an index', changed({ manifests: [] }), 'MANIFEST_INVALID'],
    ['of schema 1', changed({ schemaVersion: 1 }), 'MANIFEST_INVALID'],
    ['of schema 3', changed({ schemaVersion: 3 }), 'MANIFEST_INVALID'],
    ['of a type that is none', changed({ mediaType: 'text/plain' }), 'MANIFEST_INVALID'],
    ['an index by type', changed({ mediaType: mediaTypes.ociIndex }), 'MANIFEST_INVALID'],
    ['without a config', changed({ config: undefined }), 'MANIFEST_INVALID'],
    ['with a digest that is none', changed({ layers: layers(1, 'x') }), 'MANIFEST_INVALID'],
    ['with a path', changed({ layers: layers(1, 'sha256:../../x') }), 'MANIFEST_INVALID'],
    ['with a size below nothing', changed({ layers: layers(-1) }), 'MANIFEST_INVALID'],
    ['with half a byte', changed({ layers: layers(0.5) }), 'MANIFEST_INVALID'],
    ['with a size as text', changed({ layers: layers('1000') }), 'MANIFEST_INVALID'],
    ['with a size past counting', changed({ layers: layers(2 ** 53) }), 'MANIFEST_INVALID'],
    ['with a size too small', changed({ layers: layers(999) }), 'SIZE_INVALID'],
    ['with a size too large', changed({ layers: layers(1001) }), 'SIZE_INVALID'],
    [
      'with a layer twice',
      changed({ layers: [...layers(1000), ...layers(9)] }),
      'MANIFEST_INVALID',
    ],
    ['with a missing layer', changed({ layers: layers(5, missing) }), 'MANIFEST_BLOB_UNKNOWN'],
  ])('S05 that is %s is refused', async (_, body, code) => {
    const { put, registry } = await pushing();
    const answer = await put('1.0', body);
    expect([answer.status, answer.codes]).toEqual([400, [code]]);
    expect(await registry.resolve('team/app', '1.0')).toBeUndefined();
    expect(await registry.resolve('team/app', digestOf(Buffer.from(body)))).toBeUndefined();
  });

  test.each([
    ['of another kind', mediaTypes.dockerManifest],
    ['of an index', mediaTypes.ociIndex],
    ['of a page', 'text/html; charset=utf-8'],
    ['of a form', 'application/x-www-form-urlencoded'],
  ])('S05 that comes with the type %s is refused', async (_, type) => {
    const { put } = await pushing();
    const answer = await put('1.0', text(image.root), { 'content-type': type });
    expect([answer.status, answer.codes]).toEqual([400, ['MANIFEST_INVALID']]);
  });

  test.each([{}, { 'content-type': `${mediaTypes.ociManifest}; charset=utf-8` }])(
    'that comes with %j is taken',
    async (headers) => {
      const { put } = await pushing();
      expect((await put('1.0', text(image.root), headers)).status).toBe(201);
    },
  );

  test.each(['sha256', 'sha512'] as const)(
    'S05 by another %s digest is refused',
    async (algorithm) => {
      const { put, registry } = await pushing();
      const wrong = digestOf(noise('wrong', 5), algorithm);
      const answer = await put(`${wrong}?tag=1.0`, text(image.root));
      expect([answer.status, answer.codes]).toEqual([400, ['DIGEST_INVALID']]);
      expect(await registry.resolve('team/app', '1.0')).toBeUndefined();
      expect(await registry.resolve('team/app', wrong)).toBeUndefined();
    },
  );

  test('by its sha512 digest is there under that', async () => {
    const { put, ask } = await pushing();
    const digest = digestOf(image.root.bytes, 'sha512');
    const answer = await put(`${digest}?tag=1.0`, text(image.root));
    expect([answer.status, answer.headers['docker-content-digest']]).toEqual([201, digest]);
    expect((await ask('HEAD', '/v2/team/app/manifests/1.0')).headers.etag).toBe(`"${digest}"`);
  });

  test('may name layers that are not to be passed on, and fields of its own', async () => {
    const { put } = await pushing();
    const foreign = {
      mediaType: 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
      digest: missing,
      size: 5,
      urls: ['https://elsewhere.example/blob'],
    };
    expect((await put('1.0', changed({ layers: [foreign], own: { a: 1 } }))).status).toBe(201);
  });

  test('that is cut off is not there', async () => {
    const { registry } = await pushing();
    const served = handler(registry, { pushes: memory() });
    async function* cutOff(): AsyncIterable<Uint8Array> {
      yield image.root.bytes.subarray(0, 100);
      throw new Error('aborted');
    }
    const target = '/v2/team/app/manifests/1.0';
    await expect(ask(served, 'PUT', target, { body: cutOff() })).rejects.toThrow('aborted');
    expect(await registry.resolve('team/app', '1.0')).toBeUndefined();
  });

  test('S03 whose tag the registry takes for another is 409', async () => {
    const refusing = memory();
    for (const [digest, body] of image.blobs)
      await refusing.putBlob('team/app', digest, bytes(body));
    const pushes = {
      ...refusing,
      async putManifest() {
        throw new OciError('CONFLICT', 'team/app has a tag V1');
      },
    };
    const { put } = await pushing({ pushes });
    const answer = await put('v1', text(image.root));
    expect([answer.status, answer.codes]).toEqual([409, ['TAG_INVALID']]);
  });
});

describe('an index', () => {
  const index = indexFixture(['linux/amd64', 'linux/arm64']);
  const type = { 'content-type': mediaTypes.ociIndex };

  /** The index, with other sizes of its children where given. */
  function indexOf(sizes: Partial<Descriptor> = {}): string {
    const manifests = index.root.manifests.map((child) => ({ ...child, ...sizes }));
    return JSON.stringify({ ...JSON.parse(text(index.root)), manifests });
  }

  test('is taken once its children are there', async () => {
    const { put, registry } = await pushing();
    const early = await put('1.0', index.root.bytes, type);
    expect([early.status, early.codes]).toEqual([400, ['MANIFEST_BLOB_UNKNOWN']]);
    await putFixture(registry, 'team/app', index);
    const wrong = await put('1.0', indexOf({ size: 5 }), type);
    expect([wrong.status, wrong.codes]).toEqual([400, ['SIZE_INVALID']]);
    expect((await put('1.0', index.root.bytes, type)).status).toBe(201);
  });

  test('takes no children from another repository', async () => {
    const { put, registry } = await pushing();
    await putFixture(registry, 'team/other', index);
    expect((await put('1.0', index.root.bytes, type)).codes).toEqual(['MANIFEST_BLOB_UNKNOWN']);
  });
});

describe('what is about a manifest', () => {
  const { digest } = image.root;
  const target = `/v2/team/app/referrers/${digest}`;
  const fallback = digest.replace(':', '-');

  interface Listed {
    readonly status: number;
    readonly headers: Readonly<Record<string, string>>;
    readonly digests: readonly Digest[];
    readonly manifests: readonly Descriptor[];
  }

  async function listed({ ask }: Pushing, query = ''): Promise<Listed> {
    const { status, headers, text } = await ask('GET', `${target}${query}`);
    const { manifests, ...rest } = JSON.parse(text);
    expect(rest).toEqual({ schemaVersion: 2, mediaType: mediaTypes.ociIndex });
    const digests = manifests.map(({ digest }: Descriptor) => digest);
    return { status, headers, manifests, digests };
  }

  async function filled(isReferring: boolean): Promise<Pushing & { about: readonly Manifest[] }> {
    const registry = memory();
    const served = await pushing(isReferring ? { referring: registry } : {}, registry);
    await registry.putBlob('team/app', digestOf(Buffer.from('{}')), bytes('{}'));
    const about = ['application/x-sig', 'application/x-sbom'].map((artifactType) =>
      aboutFixture(describeManifest(image.root), { artifactType }),
    );
    for (const manifest of about) {
      const answer = await served.put(manifest.digest, manifest.bytes);
      expect([answer.status, answer.headers['oci-subject']]).toEqual([201, digest]);
    }
    return { ...served, about };
  }

  test('is an empty index where there is nothing', async () => {
    for (const options of [{}, { referring: memory() }]) {
      const { status, headers, digests } = await listed(await pushing(options));
      expect([status, digests]).toEqual([200, []]);
      expect(headers['content-type']).toBe(mediaTypes.ociIndex);
      expect(headers['oci-filters-applied']).toBeUndefined();
    }
  });

  test('is listed, all of it or that of a type', async () => {
    const served = await filled(true);
    const all = served.about.map(({ digest }) => digest).sort();
    expect((await listed(served)).digests).toEqual(all);
    const signed = await listed(served, '?artifactType=application%2Fx-sig');
    expect(signed.digests).toEqual([served.about[0]?.digest]);
    expect(signed.headers['oci-filters-applied']).toBe('artifactType');
    expect((await listed(served, '?artifactType=none')).digests).toEqual([]);
  });

  test('is what clients have listed themselves, once each', async () => {
    for (const isReferring of [false, true]) {
      const { about, ...served } = await filled(isReferring);
      const [first] = about;
      const list = { schemaVersion: 2, mediaType: mediaTypes.ociIndex };
      const manifests = first ? [describeManifest(first)] : [];
      const body = Buffer.from(JSON.stringify({ ...list, manifests }));
      await served.registry.putManifest('team/app', parseManifest(body, 'list'), fallback);
      const { digests } = await listed(served);
      expect(digests).toHaveLength(isReferring ? 2 : 1);
      expect(digests).toContain(first?.digest);
    }
  });

  test('is not what a tag of that name means otherwise', async () => {
    const served = await pushing();
    const index = indexFixture(['linux/amd64']);
    await putFixture(served.registry, 'team/app', index, index.root.digest.replace(':', '-'));
    const own = await served.ask('GET', `/v2/team/app/referrers/${index.root.digest}`);
    expect(JSON.parse(own.text).manifests).toEqual([]);
    await putFixture(served.registry, 'team/app', image, fallback);
    expect((await listed(served)).digests).toEqual([]);
  });
});

describe('S12 deletion', () => {
  const { digest } = image.root;
  const targets = ['1.0', digest].map((reference) => `/v2/team/app/manifests/${reference}`);
  const blob = `/v2/team/app/blobs/${image.root.config.digest}`;

  test('is not allowed where it is not wanted, by tag neither', async () => {
    const registry = memory();
    await putFixture(registry, 'team/app', image, '1.0');
    for (const options of [{}, { pushes: registry }]) {
      const served = handler(registry, options);
      for (const target of [...targets, blob]) {
        const answer = await ask(served, 'DELETE', target);
        expect([answer.status, answer.codes]).toEqual([405, ['UNSUPPORTED']]);
        expect(answer.headers.allow).not.toContain('DELETE');
      }
    }
    expect((await registry.resolve('team/app', '1.0'))?.digest).toBe(digest);
    expect(await registry.blob('team/app', image.root.config.digest)).toBeDefined();
  });

  test.each([
    [targets[0] ?? '', 'MANIFEST_UNKNOWN'],
    [targets[1] ?? '', 'MANIFEST_UNKNOWN'],
    [blob, 'BLOB_UNKNOWN'],
  ])('of %s is done once, and where that is wanted without pushing too', async (target, code) => {
    const registry = memory();
    await putFixture(registry, 'team/app', image, '1.0');
    const served = handler(registry, { deletes: registry });
    expect((await ask(served, 'DELETE', target)).status).toBe(202);
    const again = await ask(served, 'DELETE', target);
    expect([again.status, again.codes]).toEqual([404, [code]]);
    expect((await ask(served, 'HEAD', target)).status).toBe(404);
    expect((await ask(served, 'PUT', targets[0] ?? '')).status).toBe(405);
  });

  test('is of nothing else', async () => {
    const registry = memory();
    const served = handler(registry, { deletes: registry });
    for (const target of ['/v2/', '/v2/_catalog', '/v2/team/app/tags/list']) {
      expect((await ask(served, 'DELETE', target)).status).toBe(405);
    }
  });
});
