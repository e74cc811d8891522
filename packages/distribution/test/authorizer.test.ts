import type { Credential } from '@cluster-image/distribution';
import { bytes, digestOf } from '@cluster-image/oci';
import {
  type FaultRegistry,
  type FaultRegistryOptions,
  type FaultRule,
  faultRegistry,
  imageFixture,
  putFixture,
} from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { authorizer } from '../src/authorizer.ts';
import type { HttpRequest, HttpResponse } from '../src/transport.ts';
import { type Client, clientOf, failureOf } from './client.ts';

const image = imageFixture();
const me: Credential = { source: 'the test', basic: { username: 'me', password: 'canary' } };
const users = ['me:canary'];

/** A registry with one image that asks who is there, and a client with credentials for it. */
async function guarded(
  options: FaultRegistryOptions,
  credential: Credential | undefined = me,
  tokenHosts: readonly string[] = [],
): Promise<Client & { readonly server: FaultRegistry }> {
  const server = await faultRegistry(options);
  await putFixture(server.registry, 'team/app', image, '1.0');
  const hosts = { [server.host]: { plainHttp: true, tokenHosts } };
  const credentials = async (host: string) => (host === server.host ? credential : undefined);
  return { server, ...clientOf(server, { credentials, hosts }) };
}

function kindsOf({ log }: FaultRegistry): readonly string[] {
  return log.map(({ method, kind, status }) => `${method} ${kind} ${status}`);
}

describe('basic authentication', () => {
  const auth = { scheme: 'basic', users } as const;

  test('A05 waits until it is asked for, and then is kept up', async () => {
    const { server, registry } = await guarded({ auth });
    await registry().resolve('team/app', '1.0');
    await registry().resolve('team/app', '1.0');
    expect(server.log.map(({ headers }) => headers.authorization)).toEqual([
      undefined,
      `Basic ${Buffer.from('me:canary').toString('base64')}`,
      `Basic ${Buffer.from('me:canary').toString('base64')}`,
    ]);
  });

  test('A09 with a wrong password is UNAUTHORIZED, and not tried again', async () => {
    const wrong = { source: 'the test', basic: { username: 'me', password: 'wrong' } };
    const { server, registry } = await guarded({ auth }, wrong);
    const error = await failureOf(registry().manifest('team/app', image.root.digest));
    expect(error.code).toBe('UNAUTHORIZED');
    expect(error.hint).toContain('the test');
    expect(error.hint).not.toContain('wrong');
    expect(server.log).toHaveLength(2);
  });

  test('A09 without credentials is UNAUTHORIZED, and not tried again', async () => {
    const server = await faultRegistry({ auth });
    const { registry } = clientOf(server);
    const asked = registry().manifest('team/app', image.root.digest);
    expect((await failureOf(asked)).code).toBe('UNAUTHORIZED');
    expect(server.log).toHaveLength(1);
  });

  test('A15 is not offered to a host that no credentials are configured for', async () => {
    const { server, registry } = await guarded({ auth });
    await registry().resolve('team/app', '1.0');
    const other = server.hostAt('localhost');
    const asked = registry(other).resolve('team/app', '1.0');
    expect((await failureOf(asked)).code).toBe('UNAUTHORIZED');
    const seen = server.log.filter(({ host }) => host === other);
    expect(seen.map(({ headers }) => headers.authorization)).toEqual([undefined, undefined]);
  });
});

describe('a token', () => {
  const auth = { scheme: 'bearer', users } as const;

  test('A05 is fetched when a request is refused, although the registry lets pings in', async () => {
    const { server, registry } = await guarded({
      auth: { ...auth, isPublic: ({ kind }) => kind === 'ping' },
    });
    expect(await registry().resolve('team/app', '1.0')).toBeDefined();
    expect(kindsOf(server)).toEqual(['HEAD manifest 401', 'GET token 200', 'HEAD manifest 200']);
    expect(server.log[1]?.headers.authorization).toMatch(/^Basic /);
    expect(server.log[2]?.headers.authorization).toBe('Bearer canary-token-1');
  });

  test('A10 is kept for what it was given for, and for nothing else', async () => {
    const { server, registry } = await guarded({ auth });
    await putFixture(server.registry, 'other/app', image, '1.0');
    for (const repository of ['team/app', 'team/app', 'other/app', 'team/app']) {
      expect(await registry().resolve(repository, '1.0')).toBeDefined();
    }
    const used = server.requests('manifest').map(({ headers }) => headers.authorization);
    const [first, second] = ['Bearer canary-token-1', 'Bearer canary-token-2'];
    expect(used).toEqual([undefined, first, first, second, first]);
    expect(server.requests('token')).toHaveLength(2);
  });

  test('A10 is not shared by those who ask with other credentials', async () => {
    const { server, registry } = await guarded({ auth });
    await registry().resolve('team/app', '1.0');
    const stranger = clientOf(server);
    const asked = stranger.registry().resolve('team/app', '1.0');
    expect((await failureOf(asked)).code).toBe('UNAUTHORIZED');
    const last = server.log.filter(({ headers }) => headers.authorization?.startsWith('Bearer'));
    expect(last).toHaveLength(1);
  });

  test.each([
    ['Basic realm="x"', 'Bearer'],
    ['Negotiate', 'Basic realm="x"', 'Bearer'],
    ['Digest qop="auth,auth-int", nonce="a", Basic realm="x"', 'BEARER'],
  ])('A06 is preferred among %j', async (...schemes) => {
    const { server, registry } = await guarded({
      auth: {
        ...auth,
        challenges: (own) => [...schemes.slice(0, -1), own.replace('Bearer', schemes.at(-1) ?? '')],
      },
    });
    expect(await registry().resolve('team/app', '1.0')).toBeDefined();
    expect(server.requests('token')).toHaveLength(1);
  });

  test('A06 in one header with other ways is understood', async () => {
    const { registry } = await guarded({
      auth: { ...auth, challenges: (own) => [`Negotiate, Basic realm="a, b", ${own}`] },
    });
    expect(await registry().resolve('team/app', '1.0')).toBeDefined();
  });

  test('A06 cannot be had where only unknown ways are offered', async () => {
    const { server, registry } = await guarded({
      auth: { ...auth, challenges: () => ['Negotiate', 'Bearer realm="nowhere"'] },
    });
    const asked = registry().resolve('team/app', '1.0');
    expect((await failureOf(asked)).code).toBe('UNAUTHORIZED');
    expect(kindsOf(server)).toEqual(['HEAD manifest 401', 'GET manifest 401']);
  });

  test.each([
    ['only token', (token: string) => ({ token })],
    ['only access_token', (token: string) => ({ access_token: token })],
    ['an empty token beside access_token', (token: string) => ({ token: '', access_token: token })],
    ['null for a lifetime', (token: string) => ({ token, expires_in: null })],
    ['text for a lifetime', (token: string) => ({ token, expires_in: '300' })],
    ['nonsense for a lifetime', (token: string) => ({ token, expires_in: {} })],
    ['one second for a lifetime', (token: string) => ({ token, expires_in: 1 })],
    ['no time for a lifetime', (token: string) => ({ token, expires_in: -1 })],
    ['a date in the future', (token: string) => ({ token, issued_at: '2999-01-01T00:00:00Z' })],
  ])('A07 with %s is good for a minute', async (_, shape) => {
    let clock = 0;
    const answer: FaultRule = {
      match: { kind: 'token' },
      fault: {
        answer: (right) => {
          const { token } = JSON.parse(Buffer.from(right.body).toString());
          return { ...right, body: Buffer.from(JSON.stringify(shape(token))) };
        },
      },
    };
    const server = await faultRegistry({ auth: { scheme: 'bearer' }, rules: [answer] });
    await putFixture(server.registry, 'team/app', image, '1.0');
    const { registry } = clientOf(server, { now: () => clock });
    await registry().resolve('team/app', '1.0');
    clock = 50_000;
    expect(await registry().resolve('team/app', '1.0')).toBeDefined();
    expect(server.requests('token')).toHaveLength(1);
    expect(server.requests('manifest')).toHaveLength(3);
  });

  test('A07 that expires is replaced before it is refused, by one request for all', async () => {
    let clock = 0;
    const server = await faultRegistry({ auth: { scheme: 'bearer' } });
    await putFixture(server.registry, 'team/app', image, '1.0');
    const { registry } = clientOf(server, { now: () => clock });
    const tenAtOnce = () =>
      Promise.all(Array.from({ length: 10 }, () => registry().resolve('team/app', '1.0')));
    await tenAtOnce();
    expect(server.requests('token')).toHaveLength(1);
    clock = 296_000;
    await tenAtOnce();
    expect(server.requests('token')).toHaveLength(2);
    const refused = server.log.filter(({ status }) => status === 401);
    expect(refused.length).toBeLessThanOrEqual(10);
    expect(server.log.slice(-10).map(({ status }) => status)).toEqual(new Array(10).fill(200));
  });

  test('A07 that is refused before its time is replaced once', async () => {
    const { server, registry } = await guarded({ auth });
    await registry().resolve('team/app', '1.0');
    server.revoke();
    expect(await registry().resolve('team/app', '1.0')).toBeDefined();
    expect(kindsOf(server).slice(3)).toEqual([
      'HEAD manifest 401',
      'GET token 200',
      'HEAD manifest 200',
    ]);
  });

  test('A09 that is refused again and again is UNAUTHORIZED in the end', async () => {
    const challenge = 'Bearer realm="http://127.0.0.1/token"';
    const { server, registry } = await guarded({
      auth,
      rules: [
        {
          match: { kind: 'manifest' },
          fault: {
            answer: (_, { host }) => ({
              status: 401,
              headers: { 'www-authenticate': challenge.replace('127.0.0.1', host) },
              body: new Uint8Array(),
            }),
          },
        },
      ],
    });
    const error = await failureOf(registry().manifest('team/app', image.root.digest));
    expect(error.code).toBe('UNAUTHORIZED');
    expect(server.requests('manifest')).toHaveLength(3);
    expect(server.requests('token')).toHaveLength(2);
  });

  test('A08 that dies in the middle of an upload is replaced, and the body is sent again', async () => {
    const body = Buffer.from('a new blob');
    let revoke = () => {};
    const { server, registry, waits } = await guarded({
      auth,
      rules: [
        {
          match: { kind: 'uploads' },
          fault: {
            answer: (right) => {
              if (right.status === 202) revoke();
              return right;
            },
          },
        },
      ],
    });
    revoke = server.revoke;
    await registry().putBlob('team/app', digestOf(body), bytes(body));
    expect(kindsOf(server).slice(-4)).toEqual([
      'POST uploads 202',
      'PUT upload 401',
      'GET token 200',
      'PUT upload 201',
    ]);
    expect(waits).toEqual([]);
    expect(await server.registry.blob('team/app', digestOf(body))).toBeDefined();
  });

  test.each([
    ['no JSON', 'sorry'],
    ['no token', '{}'],
    ['no text', '{"token":7}'],
    ['more than a megabyte', JSON.stringify({ token: 'x'.repeat(2_000_000) })],
    ['what ends a header', '{"token":"a\\r\\nx-injected: b"}'],
    ['letters beyond ASCII', '{"token":"\u00e9"}'],
  ])('A07 cannot be had from a server that sends %s', async (_, body) => {
    const { server, registry, waits } = await guarded({
      auth,
      rules: [{ match: { kind: 'token' }, fault: { body } }],
    });
    const asked = registry().resolve('team/app', '1.0');
    expect((await failureOf(asked)).code).toBe('UPSTREAM');
    expect(server.requests('token')).toHaveLength(1);
    expect(waits).toEqual([]);
  });

  test('C13 C15 is asked for again where the token server is busy, as late as it says', async () => {
    const busy = { status: 503, headers: { 'retry-after': '7' } };
    const { server, registry, waits } = await guarded({
      auth,
      rules: [{ match: { kind: 'token' }, fault: busy, times: 2 }],
    });
    expect(await registry().resolve('team/app', '1.0')).toBeDefined();
    expect(server.requests('token')).toHaveLength(3);
    expect(waits).toEqual([7_000, 7_000]);
  });

  test.each([
    [503, 'UPSTREAM'],
    [429, 'TOO_MANY_REQUESTS'],
  ])('C15 is given up after five attempts at a server that says %i', async (status, code) => {
    const { server, registry } = await guarded({
      auth,
      rules: [{ match: { kind: 'token' }, fault: { status } }],
    });
    const asked = registry().manifest('team/app', image.root.digest);
    expect((await failureOf(asked)).code).toBe(code);
    expect(server.requests('token')).toHaveLength(5);
  });

  test.each([
    [401, 'UNAUTHORIZED'],
    [403, 'DENIED'],
    [404, 'UNAUTHORIZED'],
  ])('A09 that is refused with %i is %s at once', async (status, code) => {
    const { server, registry } = await guarded({
      auth,
      rules: [{ match: { kind: 'token' }, fault: { status } }],
    });
    const asked = registry().resolve('team/app', '1.0');
    expect((await failureOf(asked)).code).toBe(code);
    expect(server.requests('token')).toHaveLength(1);
  });

  test('is had for a refresh token, which only a form holds', async () => {
    const own = { source: 'the test', identityToken: 'canary-refresh' };
    const { server, registry } = await guarded(
      { auth: { scheme: 'bearer', users: ['canary-refresh'] } },
      own,
    );
    expect(await registry().resolve('team/app', '1.0')).toBeDefined();
    const [asked] = server.requests('token', 'POST');
    expect(asked?.target).toBe('/token');
    expect(asked?.headers.authorization).toBeUndefined();
    expect(Object.fromEntries(new URLSearchParams(asked?.body))).toMatchObject({
      grant_type: 'refresh_token',
      refresh_token: 'canary-refresh',
      service: 'registry',
      scope: 'repository:team/app:pull',
    });
  });

  test('that is configured is sent as it is, and no other asked for', async () => {
    const own = { source: 'the test', registryToken: 'canary-given' };
    const { server, registry } = await guarded({ auth }, own);
    const asked = registry().manifest('team/app', image.root.digest);
    expect((await failureOf(asked)).code).toBe('UNAUTHORIZED');
    expect(server.log.map(({ headers }) => headers.authorization)).toEqual([
      undefined,
      'Bearer canary-given',
    ]);
  });
});

describe('A01 a token server elsewhere', () => {
  const elsewhere = (users?: readonly string[]) =>
    ({
      scheme: 'bearer',
      ...(users && { users }),
      challenges: (own) => [own.replace('127.0.0.1', 'localhost')],
    }) as const satisfies FaultRegistryOptions['auth'];

  test('sees no credentials, but may give a token to anybody', async () => {
    const { server, registry } = await guarded({ auth: elsewhere() });
    expect(await registry().resolve('team/app', '1.0')).toBeDefined();
    const [asked] = server.requests('token');
    expect(asked?.host).toBe(server.hostAt('localhost'));
    expect(asked?.headers.authorization).toBeUndefined();
    expect(asked?.target).not.toContain('account');
  });

  test('that gives nothing to anybody is UNAUTHORIZED', async () => {
    const { server, registry } = await guarded({ auth: elsewhere(users) });
    const error = await failureOf(registry().resolve('team/app', '1.0'));
    expect(error.code).toBe('UNAUTHORIZED');
    expect(error.hint).toContain('tokenHosts');
    expect(server.requests('token').map(({ headers }) => headers.authorization)).toEqual([
      undefined,
    ]);
  });

  test('whose token for anybody is not enough is UNAUTHORIZED, and why is said', async () => {
    const { registry } = await guarded({
      auth: elsewhere(),
      rules: [
        {
          match: { kind: 'manifest' },
          fault: { answer: (right) => ({ ...right, status: right.status === 401 ? 401 : 403 }) },
        },
      ],
    });
    const error = await failureOf(registry().manifest('team/app', image.root.digest));
    expect(error.code).toBe('DENIED');
    expect(error.hint).toContain('tokenHosts');
  });

  test('sees them where that is configured', async () => {
    const { server, registry } = await guarded({ auth: elsewhere(users) }, me, ['localhost']);
    expect(await registry().resolve('team/app', '1.0')).toBeDefined();
    expect(server.requests('token')[0]?.headers.authorization).toMatch(/^Basic /);
  });

  test('that is a private address is asked by no registry on the internet', async () => {
    const sent: HttpRequest[] = [];
    const asking = authorizer({
      host: '203.0.113.5',
      origin: new URL('https://203.0.113.5'),
      credentials: async () => me,
      tokenHosts: [],
      insecure: true,
      now: Date.now,
      asked: () => undefined,
      send: async (request) => {
        sent.push(request);
        return emptyAnswer(200);
      },
    });
    const challenge = 'Bearer realm="https://169.254.169.254/token"';
    await asking.challenged(['x'], { ...emptyAnswer(401), headers: () => [challenge] }, undefined);
    expect((await failureOf(asking.authorization(['x']))).code).toBe('UPSTREAM');
    expect(sent).toMatchObject([{ headers: {}, publicOnly: true, insecure: false }]);
  });

  test('A02 is not followed where it redirects', async () => {
    const { server, registry } = await guarded({
      auth: { scheme: 'bearer', users },
      rules: [
        {
          match: { kind: 'token' },
          fault: { redirect: ({ host }) => `http://${host.replace('127.0.0.1', 'localhost')}/t` },
        },
      ],
    });
    const asked = registry().resolve('team/app', '1.0');
    expect((await failureOf(asked)).code).toBe('UNAUTHORIZED');
    expect(server.requests('elsewhere')).toEqual([]);
  });
});

function emptyAnswer(status: number): HttpResponse {
  return {
    status,
    header: () => undefined,
    headers: () => [],
    body: (async function* () {})(),
    discard: async () => {},
  };
}
