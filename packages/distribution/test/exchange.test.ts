import { codeOf, createContext } from '@cluster-image/oci';
import {
  type Fault,
  type FaultRegistry,
  faultRegistry,
  imageFixture,
} from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { exchange } from '../src/exchange.ts';
import { patience } from '../src/patience.ts';
import type { HttpRequest, HttpResponse } from '../src/transport.ts';
import { blobFixture, clientOf, failureOf, patienceFor, read } from './client.ts';

const { root } = imageFixture();

/** A fault registry whose answers go wrong `times` times, all of them by default, and a client of it. */
async function failing(fault: Fault, times?: number) {
  const server = await faultRegistry({ rules: [{ fault, ...(times && { times }) }] });
  const client = clientOf(server, patienceFor(fault));
  return { server, ...client, ask: () => client.registry().manifest('team/app', root.digest) };
}

describe('a failure that may pass', () => {
  test.each([408, 429, 500, 502, 503, 504, 520])(
    'C15 %i is tried again, a little later each time',
    async (status) => {
      const { server, waits, ask } = await failing({ status }, 4);
      expect(await ask()).toBeUndefined();
      expect(server.log).toHaveLength(5);
      expect(waits).toHaveLength(4);
      for (const [at, wait] of waits.entries()) {
        expect(wait).toBeGreaterThanOrEqual(250 * 2 ** at);
        expect(wait).toBeLessThanOrEqual(500 * 2 ** at);
      }
    },
  );

  test.each([
    [408, 'UPSTREAM'],
    [429, 'TOO_MANY_REQUESTS'],
    [503, 'UPSTREAM'],
  ])('C15 %i that stays is %s after five attempts', async (status, code) => {
    const { server, ask } = await failing({ status });
    expect((await failureOf(ask())).code).toBe(code);
    expect(server.log).toHaveLength(5);
  });

  test.each([400, 402, 403, 405, 410, 501])('C15 %i is not tried again', async (status) => {
    const { server, waits, ask } = await failing({ status });
    expect(codeOf(await failureOf(ask()))).toBe(status === 403 ? 'DENIED' : 'UPSTREAM');
    expect(server.log).toHaveLength(1);
    expect(waits).toEqual([]);
  });

  test('C15 a reset line is tried again', async () => {
    const { server, ask } = await failing({ drop: 'rst' }, 3);
    expect(await ask()).toBeUndefined();
    expect(server.log).toHaveLength(4);
  });

  test('C15 a refused connection is tried again, five times in all', async () => {
    const { host } = await faultRegistry();
    const nobody = { host: host.replace(/^127.0.0.1/, '127.0.0.99') };
    const { waits, registry } = clientOf(nobody, {
      hosts: { [nobody.host]: { plainHttp: true } },
    });
    const asked = registry().manifest('team/app', root.digest);
    expect((await failureOf(asked)).code).toBe('NETWORK');
    expect(waits).toHaveLength(4);
  });

  test('C12 a silent peer is given up after a while, and asked again', async () => {
    const { server, waits, ask } = await failing({ drop: 'silence' }, 1);
    expect(await ask()).toBeUndefined();
    expect(server.log).toHaveLength(2);
    expect(waits).toHaveLength(1);
  });

  test('C30 a connection that went stale while idle costs no wait, once', async () => {
    const server = await faultRegistry({
      rules: [{ match: { nth: 2 }, fault: { drop: 'fin' } }],
    });
    const { registry, waits, events } = clientOf(server, { connections: 1 });
    await registry().manifest('team/app', root.digest);
    await registry().manifest('team/app', root.digest);
    expect(server.log).toHaveLength(3);
    expect(waits).toEqual([]);
    expect(events).toEqual([]);
  });
});

describe('C13 a server that asks to wait', () => {
  const now = Date.UTC(2030, 0, 1);

  test.each([
    ['2', 2_000],
    ['120', 120_000],
    [new Date(now + 5_000).toUTCString(), 5_000],
  ])('as %j is waited for as long as it asks', async (header, wait) => {
    const fault = { status: 429, headers: { 'retry-after': header } };
    const server = await faultRegistry({ rules: [{ fault, times: 3 }] });
    const { registry, waits, events } = clientOf(server, { now: () => now });
    expect(await registry().manifest('team/app', root.digest)).toBeUndefined();
    expect(waits).toEqual([wait, wait, wait]);
    expect(events.map((event) => event.type === 'retry' && event.wait)).toEqual(waits);
    expect(server.log).toHaveLength(4);
  });

  test.each(['-5', 'soon', '0', new Date(now - 5_000).toUTCString()])(
    'as %j is waited for as if it did not say',
    async (header) => {
      const fault = { status: 503, headers: { 'retry-after': header } };
      const server = await faultRegistry({ rules: [{ fault, times: 1 }] });
      const { registry, waits } = clientOf(server, { now: () => now });
      expect(await registry().manifest('team/app', root.digest)).toBeUndefined();
      expect(waits).toHaveLength(1);
      expect(waits[0]).toBeGreaterThanOrEqual(250);
      expect(waits[0]).toBeLessThanOrEqual(500);
    },
  );

  test.each(['121', '999999', new Date(now + 3_600_000).toUTCString()])(
    'as %j asks for too much',
    async (header) => {
      const fault = { status: 429, headers: { 'retry-after': header } };
      const server = await faultRegistry({ rules: [{ fault }] });
      const { registry, waits } = clientOf(server, { now: () => now });
      const asked = registry().manifest('team/app', root.digest);
      expect((await failureOf(asked)).code).toBe('TOO_MANY_REQUESTS');
      expect(server.log).toHaveLength(1);
      expect(waits).toEqual([]);
    },
  );
});

describe('C14 a refusal', () => {
  test.each([
    [503, '{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}'],
    [429, 'You have reached your pull rate limit'],
    [429, '{"errors":null}'],
    [429, '{"details":"x","errors":[{"message":7}]}'],
    [429, '\u001b[31m'.repeat(500_000)],
  ])('with %i is TOO_MANY_REQUESTS, whatever its body looks like', async (status, body) => {
    const { ask } = await failing({ status, body });
    const error = await failureOf(ask());
    expect(error.code).toBe('TOO_MANY_REQUESTS');
    expect(error.message.length).toBeLessThan(1_024);
    expect(error.message).not.toMatch(/\p{Cc}/u);
  });
});

describe('C24 a redirect', () => {
  const chain =
    (length: number): Fault['redirect'] =>
    ({ target }) => {
      const hop = Number(new URL(target, 'http://x').searchParams.get('hop') ?? 0);
      return hop < length ? `?hop=${hop + 1}` : '/v2/';
    };

  test('is followed ten times', async () => {
    const { server, ask } = await failing({ redirect: chain(9) }, 10);
    expect((await failureOf(ask())).code).toBe('DIGEST_MISMATCH');
    expect(server.log.at(-1)?.kind).toBe('ping');
    expect(server.log).toHaveLength(11);
  });

  test('is not followed an eleventh time', async () => {
    const { server, ask } = await failing({ redirect: chain(99) });
    expect((await failureOf(ask())).code).toBe('UPSTREAM');
    expect(server.log).toHaveLength(11);
  });

  test('to where it came from is a loop', async () => {
    const { server, ask } = await failing({ redirect: ({ target }) => target });
    expect((await failureOf(ask())).code).toBe('UPSTREAM');
    expect(server.log).toHaveLength(1);
  });

  test.each(['file:///etc/passwd', 'data:,x', 'ftp://127.0.0.1/', 'http://', '', 'gopher:x'])(
    'to %j is refused',
    async (redirect) => {
      const { server, ask } = await failing({ redirect });
      expect((await failureOf(ask())).code).toBe('UPSTREAM');
      expect(server.log).toHaveLength(1);
    },
  );

  test('that is relative is so to the redirect before it', async () => {
    const { server, content } = await blobFixture({
      rules: [
        {
          match: { kind: 'blob' },
          fault: { redirect: ({ host }) => `http://${host.replace('127.0.0.1', 'localhost')}/a/b` },
        },
        { match: { kind: 'elsewhere' }, fault: { redirect: '../cdn/team/app/blobs/it' } },
      ],
    });
    expect(codeOf(await failureOf(read(content)))).toBe('NOT_FOUND');
    expect(server.log.map(({ host, target }) => [host.split(':')[0], target])).toEqual([
      ['127.0.0.1', expect.stringContaining('/v2/')],
      ['localhost', '/a/b'],
      ['localhost', '/cdn/team/app/blobs/it'],
    ]);
  });

  test('A14 that fails does not tell the signature that it holds', async () => {
    const secret = 'canary-of-the-signature';
    for (const redirect of [`ftp://u:${secret}@x/${secret}?s=${secret}`, `http://[${secret}`]) {
      const { ask, events } = await failing({ redirect });
      const error = await failureOf(ask());
      expect(`${error.message} ${error.hint} ${JSON.stringify(events)}`).not.toContain(secret);
    }
  });
});

describe('a redirect to another origin', () => {
  const toStorage: Fault = {
    redirect: ({ host, target }) =>
      `http://${host.replace('127.0.0.1', 'localhost')}${target.replace('/v2/', '/cdn/')}?signature=1`,
  };
  const auth = { scheme: 'basic', users: ['me:canary'] } as const;
  const credentials = async () => ({
    source: 'the test',
    basic: { username: 'me', password: 'canary' },
  });

  test('A04 takes no credentials along', async () => {
    const { server, content, body } = await blobFixture({
      auth,
      rules: [{ match: { kind: 'blob', nth: 2 }, fault: toStorage }],
      client: { credentials },
    });
    expect((await read(content)).equals(body)).toBe(true);
    expect(server.log.map(({ kind, headers }) => [kind, headers.authorization])).toEqual([
      ['blob', undefined],
      ['blob', expect.stringMatching(/^Basic /)],
      ['cdn', undefined],
    ]);
  });

  test('A03 shows it no credentials when it asks for them', async () => {
    const challenge = {
      status: 401,
      headers: { 'www-authenticate': 'Basic realm="storage"' },
    };
    const { server, content } = await blobFixture({
      auth,
      rules: [
        { match: { kind: 'blob', nth: 2 }, fault: toStorage },
        { match: { kind: 'cdn' }, fault: challenge },
      ],
      client: { credentials },
    });
    expect((await failureOf(read(content))).code).toBe('UNAUTHORIZED');
    expect(server.requests('cdn').map(({ headers }) => headers.authorization)).toEqual([undefined]);
  });

  test('A03 shows no credentials to another port of the same host', async () => {
    const storage = await faultRegistry({ rules: [{ fault: { status: 404 } }] });
    const { content } = await blobFixture({
      auth,
      rules: [{ match: { nth: 2 }, fault: { redirect: `http://${storage.host}/cdn/it` } }],
      client: { credentials },
    });
    expect((await failureOf(read(content))).code).toBe('NOT_FOUND');
    expect(storage.log.map(({ headers }) => headers.authorization)).toEqual([undefined]);
  });
});

describe('C24 a registry on the internet', () => {
  /** Its requests as they would be sent; no machine of the tests can have a public address. */
  function sendingTo(origin: URL, location: string) {
    const sent: HttpRequest[] = [];
    const answer = (request: HttpRequest): HttpResponse => {
      const isFirst = request.url.origin === origin.origin;
      return {
        status: isFirst ? 307 : 200,
        header: (name) => (isFirst && name === 'location' ? location : undefined),
        headers: () => [],
        body: (async function* () {})(),
        discard: async () => {},
      };
    };
    const context = createContext();
    const send = exchange({
      origin,
      insecure: true,
      transport: {
        send: async (request) => {
          sent.push(request);
          return answer(request);
        },
        close: async () => {},
      },
      authorizer: {
        authorization: async () => 'Bearer canary',
        challenged: async () => undefined,
        described: async () => 'no credentials',
      },
      context,
      patience: patience({ host: origin.host, context, sleep: async () => {}, now: Date.now }),
    });
    return { sent, ask: () => send({ method: 'GET', url: new URL('/v2/', origin), scopes: [] }) };
  }

  test('leads to public addresses only, with no credentials and with its certificate checked', async () => {
    const { sent, ask } = sendingTo(new URL('https://203.0.113.5'), 'https://cdn.example/x');
    expect((await ask()).status).toBe(200);
    expect(sent.map(({ headers }) => headers.authorization)).toEqual(['Bearer canary', undefined]);
    expect(sent[1]).toMatchObject({ publicOnly: true, insecure: false });
  });

  test('in a private network may lead anywhere in it', async () => {
    const { sent, ask } = sendingTo(new URL('https://10.0.0.1'), 'https://10.0.0.2/x');
    expect((await ask()).status).toBe(200);
    expect(sent[1]).toMatchObject({ publicOnly: false, insecure: false });
  });

  test('may not lead to HTTP', async () => {
    const { sent, ask } = sendingTo(new URL('https://203.0.113.5'), 'http://cdn.example/x');
    expect((await failureOf(ask())).code).toBe('UPSTREAM');
    expect(sent).toHaveLength(1);
  });
});

test('a registry that sets cookies gets none back, and is never asked to pack what it sends', async () => {
  const cookie = { headers: { 'set-cookie': ['sid=canary; Path=/', '_gorilla_csrf=canary'] } };
  const { server, content } = await blobFixture({ rules: [{ fault: cookie }] });
  await read(content);
  await read(content);
  expect(server.log.map(({ headers }) => headers.cookie)).toEqual([undefined, undefined]);
  expect(server.log.map(({ headers }) => headers['accept-encoding'])).toEqual([
    'identity',
    'identity',
  ]);
});

test('C16 refusals of any size give their connections back', async () => {
  const server: FaultRegistry = await faultRegistry({
    rules: [{ fault: { status: 403, body: 'x'.repeat(200_000) }, times: 20 }],
  });
  const { registry } = clientOf(server, { connections: 1 });
  for (let attempt = 1; attempt <= 20; attempt++) {
    const asked = registry().manifest('team/app', root.digest);
    expect((await failureOf(asked)).code).toBe('DENIED');
  }
  expect(await registry().manifest('team/app', root.digest)).toBeUndefined();
});
