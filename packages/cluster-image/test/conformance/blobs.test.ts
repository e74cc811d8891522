import { type Algorithm, type Digest, digestOf } from '@cluster-image/oci';
import { noise } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { type Answer, type RegistryServer, registryServer } from './registry-server.ts';

const repository = 'conformance/one';
const other = 'conformance/two';
const octets = { 'content-type': 'application/octet-stream' };

type Push = (server: RegistryServer, digest: Digest, body: Uint8Array) => Promise<Answer>;

async function begin({ ask }: RegistryServer): Promise<string> {
  const begun = await ask('POST', `${repository}/blobs/uploads/`);
  expect(begun.status).toBe(202);
  return begun.headers.get('location') ?? '';
}

const ended = (location: string, digest: Digest): string =>
  `${location}?digest=${encodeURIComponent(digest)}`;

async function* streamed(body: Uint8Array): AsyncIterable<Uint8Array> {
  for (let at = 0; at < body.length; at += 200) yield body.subarray(at, at + 200);
}

/** A blob in three chunks, the last of which comes with the end, or before it. */
function chunked({ isLastAtEnd = false, isOutOfOrder = false }): Push {
  return async (server, digest, body) => {
    const size = Math.ceil(body.length / 3);
    const chunkAt = (at: number) => {
      const chunk = body.subarray(at, at + size);
      const range = { 'content-range': `${at}-${at + chunk.length - 1}` };
      return { body: chunk, headers: { ...octets, ...range } };
    };
    let location = await begin(server);
    const send = async (at: number): Promise<void> => {
      const answer = await server.ask('PATCH', location, chunkAt(at));
      expect(answer.status).toBe(202);
      expect(answer.headers.get('range')).toBe(`0-${Math.min(at + size, body.length) - 1}`);
      location = answer.headers.get('location') ?? '';
    };
    const refuse = async (at: number, expected: string): Promise<void> => {
      const answer = await server.ask('PATCH', location, chunkAt(at));
      expect([answer.status, answer.headers.get('range')]).toEqual([416, expected]);
      const state = await server.ask('GET', location);
      expect([state.status, state.headers.get('range')]).toEqual([204, expected]);
      location = state.headers.get('location') ?? '';
    };
    if (isOutOfOrder) await refuse(size, '0-0');
    await send(0);
    if (isOutOfOrder) await refuse(2 * size, `0-${size - 1}`);
    if (isOutOfOrder) await refuse(0, `0-${size - 1}`);
    await send(size);
    if (isLastAtEnd) return server.ask('PUT', ended(location, digest), chunkAt(2 * size));
    await send(2 * size);
    return server.ask('PUT', ended(location, digest));
  };
}

const ways: Readonly<Record<string, Push>> = {
  'with its one request': ({ ask }, digest, body) =>
    ask('POST', `${repository}/blobs/uploads/?digest=${digest}`, { body, headers: octets }),
  'with a second request': async (server, digest, body) =>
    server.ask('PUT', ended(await begin(server), digest), { body, headers: octets }),
  'in a chunk': async (server, digest, body) => {
    const location = await begin(server);
    const range = { 'content-range': `0-${body.length - 1}` };
    const answer = await server.ask('PATCH', location, { body, headers: { ...octets, ...range } });
    expect(answer.status).toBe(202);
    return server.ask('PUT', ended(answer.headers.get('location') ?? '', digest));
  },
  'in chunks': chunked({}),
  'in chunks, the last one at the end': chunked({ isLastAtEnd: true }),
  'in chunks, some out of order': chunked({ isOutOfOrder: true }),
  'in chunks, some out of order, the last one at the end': chunked({
    isOutOfOrder: true,
    isLastAtEnd: true,
  }),
  'as a stream': async (server, digest, body) => {
    const location = await begin(server);
    const answer = await server.ask('PATCH', location, { body: streamed(body), headers: octets });
    expect(answer.status).toBe(202);
    expect(answer.headers.get('range')).toBe(`0-${body.length - 1}`);
    return server.ask('PUT', ended(answer.headers.get('location') ?? '', digest));
  },
  'as a stream at the end': async (server, digest, body) =>
    server.ask('PUT', ended(await begin(server), digest), {
      body: streamed(body),
      headers: octets,
    }),
};

async function expectThere(
  { ask }: RegistryServer,
  digest: Digest,
  body: Uint8Array,
): Promise<void> {
  for (const method of ['HEAD', 'GET']) {
    const answer = await ask(method, `${repository}/blobs/${digest}`);
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-length')).toBe(String(body.length));
    expect(answer.headers.get('docker-content-digest')).toBe(digest);
    if (method === 'GET') expect(answer.body.equals(body)).toBe(true);
  }
}

async function expectGone({ ask }: RegistryServer, digest: Digest): Promise<void> {
  for (const method of ['HEAD', 'GET', 'DELETE']) {
    const answer = await ask(method, `${repository}/blobs/${digest}`);
    expect(answer.status).toBe(404);
    if (method !== 'HEAD') expect(answer.codes).toEqual(['BLOB_UNKNOWN']);
  }
}

const algorithms: readonly Algorithm[] = ['sha256', 'sha512'];

describe.each(algorithms)('blobs by %s', (algorithm) => {
  const body = noise(algorithm, 1531);
  const digest = digestOf(body, algorithm);

  test.each(Object.entries(ways))('pushed %s are there, and can be deleted', async (_, push) => {
    const server = await registryServer();
    await expectGone(server, digest);
    const answer = await push(server, digest, body);
    expect([answer.status, answer.codes]).toEqual([201, []]);
    expect(answer.headers.get('location')).toBe(`/v2/${repository}/blobs/${digest}`);
    expect(answer.headers.get('docker-content-digest')).toBe(digest);
    await expectThere(server, digest, body);
    // It can be sent again.
    expect((await push(server, digest, body)).status).toBe(201);
    await expectThere(server, digest, body);
    expect((await server.ask('DELETE', `${repository}/blobs/${digest}`)).status).toBe(202);
    await expectGone(server, digest);
    expect((await push(server, digest, body)).status).toBe(201);
    await expectThere(server, digest, body);
  });

  test.each(Object.entries(ways))(
    'that are something else, pushed %s, leave no trace',
    async (_, push) => {
      const server = await registryServer();
      const wrong = digestOf(Buffer.from('oh no'), algorithm);
      const answer = await push(server, wrong, body);
      expect([answer.status, answer.codes]).toEqual([400, ['DIGEST_INVALID']]);
      await expectGone(server, wrong);
      await server.expectNoTrace(wrong);
      await server.expectNoTrace(digestOf(body));
    },
  );

  test.each(['with its one request', 'with a second request', 'as a stream at the end'])(
    'that are empty, pushed %s, are blobs too',
    async (way) => {
      const server = await registryServer();
      const empty = digestOf(new Uint8Array(), algorithm);
      expect((await ways[way]?.(server, empty, new Uint8Array()))?.status).toBe(201);
      await expectThere(server, empty, new Uint8Array());
    },
  );

  test('of some megabytes are there too', async () => {
    const server = await registryServer();
    const large = noise('large', 5_000_003);
    const digest = digestOf(large, algorithm);
    expect((await chunked({})(server, digest, large)).status).toBe(201);
    await expectThere(server, digest, large);
  });

  test('are mounted from another repository, or by their digest alone, or uploaded', async () => {
    const server = await registryServer({ mayLeaveUploads: true });
    const begun = await server.ask('POST', `${other}/blobs/uploads/?digest=${digest}`, { body });
    expect(begun.status).toBe(201);
    const target = `${repository}/blobs/uploads/?mount=${digest}`;
    for (const query of [`&from=conformance/none`, '']) {
      const missing = await server.ask('POST', `${target}${query}`);
      expect(missing.status).toBe(202);
      await expectGone(server, digest);
    }
    const mounted = await server.ask('POST', `${target}&from=${other}`);
    expect(mounted.status).toBe(201);
    expect(mounted.headers.get('location')).toBe(`/v2/${repository}/blobs/${digest}`);
    await expectThere(server, digest, body);
    // What the repository has already needs no source.
    expect((await server.ask('POST', target)).status).toBe(201);
    expect((await server.ask('DELETE', `${other}/blobs/${digest}`)).status).toBe(202);
    await expectThere(server, digest, body);
  });

  test('whose upload is cancelled are not there', async () => {
    const server = await registryServer();
    const location = await begin(server);
    await server.ask('PATCH', location, { body });
    expect((await server.ask('DELETE', location)).status).toBe(204);
    for (const [method, target] of [
      ['GET', location],
      ['PATCH', location],
      ['PUT', ended(location, digest)],
    ] as const) {
      const answer = await server.ask(method, target);
      expect([answer.status, answer.codes]).toEqual([404, ['BLOB_UPLOAD_UNKNOWN']]);
    }
    await server.expectNoTrace(digest);
  });

  test.each([
    ['bytes=500-1499', 206, 500, 1500],
    ['bytes=500-', 206, 500, 1531],
    ['bytes=-500', 206, 1031, 1531],
    ['bytes=1000-5000', 206, 1000, 1531],
    ['bytes=0-0', 206, 0, 1],
    ['bytes=5000-10000', 416, 0, 0],
    ['bytes=1531-', 416, 0, 0],
    ['bytes=500-0', 200, 0, 1531],
    ['bytes=0-1,5-6', 200, 0, 1531],
  ])('are read in part: %s is %i', async (range, status, start, end) => {
    const server = await registryServer();
    await ways['with its one request']?.(server, digest, body);
    const target = `${repository}/blobs/${digest}`;
    const answer = await server.ask('GET', target, { headers: { range } });
    expect(answer.status).toBe(status);
    if (status === 416) return expect(answer.codes).toEqual(['RANGE_INVALID']);
    expect(answer.body).toEqual(Buffer.from(body.subarray(start, end)));
    const expected = status === 206 ? `bytes ${start}-${end - 1}/1531` : null;
    expect(answer.headers.get('content-range')).toBe(expected);
    expect(answer.headers.get('content-length')).toBe(String(end - start));
  });
});
