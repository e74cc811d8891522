import {
  handler,
  listen,
  parseRange,
  type ServerRequest,
  type ServerResponse,
} from '@cluster-image/distribution';
import { digestOf, memory, type Registry } from '@cluster-image/oci';
import { imageFixture, noise, putFixture, registryContract } from '@cluster-image/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { clientOf } from './client.ts';

registryContract('what a handler serves, read by the client', async () => {
  const registry = memory();
  const listening = await listen(handler(registry));
  const served = clientOf(listening.url).registry();
  return {
    registry: { ...served, putBlob: registry.putBlob, putManifest: registry.putManifest },
    close: () => listening.close(0),
  };
});

const image = imageFixture({ layers: [noise('layer', 1000)] });
const layer = digestOf(noise('layer', 1000));
const blobTarget = `/v2/team/app/blobs/${layer}`;

async function filled(): Promise<Registry> {
  const registry = memory();
  await putFixture(registry, 'team/app', image, '1.0');
  return registry;
}

async function ask(
  target: string,
  headers: ServerRequest['headers'] = {},
  method = 'GET',
): Promise<ServerResponse & { readonly text: string }> {
  const answer = await handler(await filled())({ method, target, headers });
  const { content, range } = answer.body ?? {};
  const chunks = content ? await Array.fromAsync(content.open(range)) : [];
  return { ...answer, text: Buffer.concat(chunks).toString('latin1') };
}

function codesIn(text: string): readonly string[] {
  return JSON.parse(text).errors.map(({ code }: { code: string }) => code);
}

describe('a request', () => {
  test.each([
    ['/v2/../../etc/passwd', 404, 'UNSUPPORTED'],
    ['/v2/a/../../etc/passwd', 404, 'UNSUPPORTED'],
    ['//evil/x', 404, 'UNSUPPORTED'],
    ['http://evil/v2/', 404, 'UNSUPPORTED'],
    [`/v2/${'a/'.repeat(32_768)}tags/list`, 404, 'UNSUPPORTED'],
    ['/v2/%2e%2e/%2e%2e/manifests/1.0', 400, 'NAME_INVALID'],
    ['/v2/team%2fapp/manifests/1.0', 400, 'NAME_INVALID'],
    ['/v2/team%5capp/manifests/1.0', 400, 'NAME_INVALID'],
    ['/v2/team/app\0/manifests/1.0', 400, 'NAME_INVALID'],
    ['/v2/Team/app/manifests/1.0', 400, 'NAME_INVALID'],
    ['/v2/team/_layers/tags/list', 400, 'NAME_INVALID'],
    [`/v2/${'a'.repeat(256)}/tags/list`, 400, 'NAME_INVALID'],
    [`/v2/team/app/manifests/${'x'.repeat(129)}`, 400, 'NAME_INVALID'],
    ['/v2/team/app/manifests/-x', 400, 'NAME_INVALID'],
    ['/v2/team/app/manifests/sha256:bad', 400, 'DIGEST_INVALID'],
    ['/v2/team/app/blobs/sha256:bad', 400, 'DIGEST_INVALID'],
    ['/v2/team/app/blobs/uploads', 400, 'DIGEST_INVALID'],
    ['/v2/team/app/manifests/none', 404, 'MANIFEST_UNKNOWN'],
    [`/v2/team/app/manifests/${layer}`, 404, 'MANIFEST_UNKNOWN'],
    [`/v2/team/none/blobs/${layer}`, 404, 'BLOB_UNKNOWN'],
    ['/v2/team/none/tags/list', 404, 'NAME_UNKNOWN'],
    ['/v2/team/none/tags/list?last=x', 404, 'NAME_UNKNOWN'],
  ])('S01 S02 S03 for %j is answered with %i %s', async (target, status, code) => {
    const answer = await ask(target);
    expect(answer.status).toBe(status);
    expect(codesIn(answer.text)).toEqual([code]);
    expect(answer.headers['content-type']).toBe('application/json');
  });

  test.each(['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'get'])(
    'S12 to change something (%s) is not allowed',
    async (method) => {
      for (const target of [
        blobTarget,
        '/v2/team/app/manifests/1.0',
        '/v2/team/app/blobs/uploads/',
      ]) {
        const answer = await ask(target, {}, method);
        expect(answer.status).toBe(405);
        expect(answer.headers.allow).toBe('GET, HEAD');
      }
    },
  );

  test.each([
    '/v2/',
    '/v2/_catalog',
    '/v2/team/app/tags/list',
    '/v2/team/app/manifests/1.0',
    '/v2/team/app/manifests/none',
    `/v2/team/app/manifests/${image.root.digest}`,
    blobTarget,
    '/v2/A/tags/list',
  ])('S06 by HEAD for %j has the headers of GET and no body', async (target) => {
    const [get, head] = [await ask(target), await ask(target, {}, 'HEAD')];
    expect(head.status).toBe(get.status);
    expect(head.headers).toEqual(get.headers);
    expect(head.body).toBeUndefined();
    expect(get.headers['content-length']).toBe(String(get.text.length));
  });

  test('S06 by HEAD knows no ranges', async () => {
    const plain = await ask(blobTarget, {}, 'HEAD');
    for (const range of ['bytes=0-9', 'bytes=5000-']) {
      expect(await ask(blobTarget, { range }, 'HEAD')).toEqual(plain);
    }
  });

  test.each([
    [`"${layer}"`, 304],
    [`W/"${layer}"`, 304],
    [`"x", "${layer}"`, 304],
    ['*', 304],
    ['"x"', 200],
    [layer, 200],
    ['', 200],
  ])('S06 for what is new only (%s) is answered with %i', async (known, status) => {
    const answer = await ask(blobTarget, { 'if-none-match': known });
    expect(answer.status).toBe(status);
    expect(answer.headers.etag).toBe(`"${layer}"`);
    expect(answer.text.length).toBe(status === 304 ? 0 : 1000);
  });

  test('S06 for a manifest that is known is answered with 304, by tag as well', async () => {
    const known = { 'if-none-match': `"${image.root.digest}"` };
    expect((await ask('/v2/team/app/manifests/1.0', known)).status).toBe(304);
    expect((await ask(`/v2/team/app/manifests/${image.root.digest}`, known)).status).toBe(304);
  });
});

describe('S06 a range', () => {
  test.each([
    ['bytes=0-0', 206, 0, 1],
    ['bytes=0-999', 206, 0, 1000],
    ['bytes=0-', 206, 0, 1000],
    ['bytes=10-19', 206, 10, 20],
    ['bytes=990-5000', 206, 990, 1000],
    ['bytes=999-', 206, 999, 1000],
    ['bytes=-1', 206, 999, 1000],
    ['bytes=-5000', 206, 0, 1000],
    ['Bytes=10-19', 206, 10, 20],
    ['bytes= 10-19 ', 206, 10, 20],
    ['bytes=0-99999999999999999999', 206, 0, 1000],
    ['bytes=1000-', 416, 0, 0],
    ['bytes=1000-1001', 416, 0, 0],
    ['bytes=99999999999999999999-', 416, 0, 0],
    ['bytes=-0', 416, 0, 0],
    ['bytes=0-1,5-6', 200, 0, 1000],
    ['bytes=0-0,-1', 200, 0, 1000],
    ['bytes=20-10', 200, 0, 1000],
    ['bytes=-', 200, 0, 1000],
    ['bytes=a-b', 200, 0, 1000],
    ['bytes=1 0-19', 200, 0, 1000],
    ['items=0-1', 200, 0, 1000],
    ['bytes', 200, 0, 1000],
    ['', 200, 0, 1000],
  ])('%j is answered with %i', async (range, status, start, end) => {
    const answer = await ask(blobTarget, { range });
    expect(answer.status).toBe(status);
    if (status === 416) {
      expect(answer.headers['content-range']).toBe('bytes */1000');
      expect(codesIn(answer.text)).toEqual(['RANGE_INVALID']);
      return;
    }
    const expected = noise('layer', 1000).subarray(start, end);
    expect(answer.text).toBe(Buffer.from(expected).toString('latin1'));
    expect(answer.headers['content-length']).toBe(String(end - start));
    expect(answer.headers['content-range']).toBe(
      status === 206 ? `bytes ${start}-${end - 1}/1000` : undefined,
    );
    expect(answer.headers['accept-ranges']).toBe('bytes');
  });

  test.each([
    [`"${layer}"`, 206],
    ['"other"', 200],
    [`W/"${layer}"`, 200],
    ['Wed, 21 Oct 2015 07:28:00 GMT', 200],
  ])('if it is still %s is answered with %i', async (condition, status) => {
    const headers = { range: 'bytes=0-9', 'if-range': condition };
    expect((await ask(blobTarget, headers)).status).toBe(status);
  });

  test('is what slicing gives', () => {
    const bound = fc.nat({ max: 300 });
    fc.assert(
      fc.property(bound, bound, fc.nat({ max: 200 }), (first, last, size) => {
        const body = Uint8Array.from({ length: size }, (_, at) => at % 256);
        const whole = parseRange(`bytes=${first}-${last}`, size);
        if (last < first) expect(whole).toBeUndefined();
        else expect(sliced(body, whole)).toEqual(body.subarray(first, last + 1));
        expect(sliced(body, parseRange(`bytes=${first}-`, size))).toEqual(body.subarray(first));
        const tail = first === 0 ? body.subarray(size) : body.subarray(-first);
        expect(sliced(body, parseRange(`bytes=-${first}`, size))).toEqual(tail);
      }),
    );
  });

  test('that may be anything lies within the blob', () => {
    const header = fc.oneof(
      fc.string(),
      fc.string({ unit: fc.constantFrom(...'0123456789-,= ') }).map((text) => `bytes=${text}`),
    );
    fc.assert(
      fc.property(header, fc.nat(), (text, size) => {
        const range = parseRange(text, size);
        if (range === undefined || range === 'unsatisfiable') return;
        expect(range.start).toBeGreaterThanOrEqual(0);
        expect(range.start).toBeLessThan(range.end);
        expect(range.end).toBeLessThanOrEqual(size);
      }),
    );
  });
});

describe('S04 a list', () => {
  async function listed(target: string) {
    const registry = memory();
    const names = ['a', 'a-b', 'a/b', 'ab', 'b'];
    for (const name of names) await putFixture(registry, name, image, '1.0');
    for (const tag of ['v1', 'v1.0', 'v1.0.0', 'v2']) {
      await registry.putManifest('a', image.root, tag);
    }
    const answer = await handler(registry)({ method: 'GET', target, headers: {} });
    const body = await Array.fromAsync(answer.body?.content.open() ?? []);
    return { ...answer, json: JSON.parse(Buffer.concat(body).toString()) };
  }

  test.each(['', '?n=99999999', '?n=-1', '?n=abc', '?n=5', '?last='])(
    'with %j is whole',
    async (query) => {
      const { json, headers } = await listed(`/v2/a/tags/list${query}`);
      expect(json).toEqual({ name: 'a', tags: ['1.0', 'v1', 'v1.0', 'v1.0.0', 'v2'] });
      expect(headers.link).toBeUndefined();
    },
  );

  test.each(['/v2/a/tags/list', '/v2/_catalog'])(
    'of no names is [], and is all there is: %s',
    async (path) => {
      const { json, headers, status } = await listed(`${path}?n=0`);
      expect(status).toBe(200);
      expect(json.tags ?? json.repositories).toEqual([]);
      expect(headers.link).toBeUndefined();
    },
  );

  test('after the last name is []', async () => {
    expect((await listed('/v2/a/tags/list?last=zzz')).json.tags).toEqual([]);
    expect((await listed('/v2/_catalog?last=zzz')).json.repositories).toEqual([]);
  });

  test.each([1, 2, 3, 4])('read %i at a time is complete', async (n) => {
    for (const [path, field, expected] of [
      ['/v2/a/tags/list', 'tags', ['1.0', 'v1', 'v1.0', 'v1.0.0', 'v2']],
      ['/v2/_catalog', 'repositories', ['a', 'a-b', 'a/b', 'ab', 'b']],
    ] as const) {
      const found: string[] = [];
      let target: string | undefined = `${path}?n=${n}`;
      while (target) {
        const { json, headers } = await listed(target);
        expect(json[field].length).toBeLessThanOrEqual(n);
        found.push(...json[field]);
        target = /^<(.+)>; rel="next"$/.exec(headers.link ?? '')?.[1];
      }
      expect(found).toEqual(expected);
    }
  });

  test('of an empty registry is [] and not null', async () => {
    const answer = await handler(memory())({ method: 'GET', target: '/v2/_catalog', headers: {} });
    const body = await Array.fromAsync(answer.body?.content.open() ?? []);
    expect(Buffer.concat(body).toString()).toBe('{"repositories":[]}');
  });
});

function sliced(body: Uint8Array, range: ReturnType<typeof parseRange>): Uint8Array {
  if (range === 'unsatisfiable') return body.subarray(body.length);
  return range ? body.subarray(range.start, range.end) : body;
}
