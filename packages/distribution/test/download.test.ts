import { type FaultRegistry, type FaultRule, faultRegistry, noise } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { clientOf, failureOf } from './client.ts';

const body = noise('file', 200_000);

/** Answers every path but `/gone` with the file. */
const file: FaultRule = {
  match: { kind: 'elsewhere' },
  fault: {
    answer: (right, { target }) =>
      target.startsWith('/gone') ? right : { status: 200, headers: {}, body },
  },
};

function fileAt(server: FaultRegistry, path = '/charts/a.tgz', name?: string): URL {
  return new URL(`http://${name ? server.hostAt(name) : server.host}${path}`);
}

const limit = body.length;

describe('a file of a web server', () => {
  test('comes whole, in one request', async () => {
    const server = await faultRegistry({ rules: [file] });
    const url = fileAt(server);
    const got = await clientOf(server).download(url, { server: url, limit });
    expect([got, server.log.length]).toEqual([Buffer.from(body), 1]);
  });

  test('is undefined where there is none', async () => {
    const server = await faultRegistry({ rules: [file] });
    const url = fileAt(server, '/gone');
    expect(await clientOf(server).download(url, { server: url, limit })).toBeUndefined();
  });

  test.each([
    ['announces more', {}],
    ['sends more', { length: 'chunked' }],
  ] as const)('is refused where the server %s than is allowed', async (_, fault) => {
    const rules = [{ ...file, fault: { ...file.fault, ...fault } }];
    const server = await faultRegistry({ rules });
    const url = fileAt(server);
    const work = clientOf(server).download(url, { server: url, limit: limit - 1 });
    const error = await failureOf(work);
    expect([error.code, error.message]).toEqual([
      'UPSTREAM',
      `${server.host}/charts/a.tgz has over ${limit - 1} bytes`,
    ]);
  });

  test('is begun again where the line breaks, and given up in the end', async () => {
    const cut = { ...file, fault: { ...file.fault, cut: { at: 1000, how: 'rst' } } } as const;
    const once = await faultRegistry({ rules: [{ ...cut, times: 2 }, file] });
    const url = fileAt(once);
    const client = clientOf(once);
    expect(await client.download(url, { server: url, limit })).toEqual(Buffer.from(body));
    expect([once.log.length, client.waits.length]).toEqual([3, 2]);
    const always = await faultRegistry({ rules: [cut] });
    const other = fileAt(always);
    const error = await failureOf(clientOf(always).download(other, { server: other, limit }));
    expect([error.code, always.log.length]).toEqual(['NETWORK', 5]);
  });

  test.each([
    [403, 'DENIED'],
    [401, 'UNAUTHORIZED'],
    [418, 'UPSTREAM'],
  ])('is an error where the answer is %s', async (status, code) => {
    const server = await faultRegistry({ rules: [{ fault: { status } }] });
    const url = fileAt(server);
    expect((await failureOf(clientOf(server).download(url, { server: url, limit }))).code).toBe(
      code,
    );
  });

  test('is not a web page', async () => {
    const page = { ...file.fault, headers: { 'content-type': 'text/html' } };
    const server = await faultRegistry({ rules: [{ fault: page }] });
    const url = fileAt(server);
    const error = await failureOf(clientOf(server).download(url, { server: url, limit }));
    expect(error.code).toBe('UPSTREAM');
  });

  test('is not asked for without TLS where that is not configured', async () => {
    const server = await faultRegistry({ rules: [file] });
    const url = fileAt(server);
    const client = clientOf(server, { hosts: { [server.host]: {} } });
    const error = await failureOf(client.download(url, { server: url, limit }));
    expect([error.code, error.hint, server.log.length]).toEqual([
      'USAGE',
      `If it is meant to, allow plain HTTP for it: --plain-http ${server.host}.`,
      0,
    ]);
  });
});

describe('credentials of a web server', () => {
  const auth = { scheme: 'basic', users: ['me:canary'] } as const;
  const credentials = async () => ({
    source: 'a test',
    basic: { username: 'me', password: 'canary' },
  });

  test('are shown once it asks for them', async () => {
    const server = await faultRegistry({
      auth,
      rules: [{ match: { nth: 1 }, fault: {} }, file],
    });
    const url = fileAt(server);
    const got = await clientOf(server, { credentials }).download(url, { server: url, limit });
    expect([got?.length, server.log.map(({ headers }) => headers.authorization)]).toEqual([
      limit,
      [undefined, `Basic ${btoa('me:canary')}`],
    ]);
  });

  test('are not for where it leads, be it by name or by redirect', async () => {
    const server = await faultRegistry({ auth, rules: [] });
    const [own, other] = [fileAt(server), fileAt(server, '/b.tgz', 'localhost')];
    const client = clientOf(server, { credentials });
    await client.download(own, { server: own, limit });
    const named = await failureOf(client.download(other, { server: own, limit }));
    const redirecting = await faultRegistry({
      auth,
      rules: [
        { match: { nth: 1 }, fault: {} },
        { match: { nth: 2 }, fault: { redirect: other.href } },
      ],
    });
    const from = fileAt(redirecting);
    const led = await failureOf(
      clientOf(redirecting, { credentials }).download(from, { server: from, limit }),
    );
    const shown = server.log.filter(({ host }) => host === other.host);
    expect([named.code, led.code, shown.map(({ headers }) => headers.authorization)]).toEqual([
      'UNAUTHORIZED',
      'UNAUTHORIZED',
      [undefined, undefined],
    ]);
  });

  test.each(['http://127.0.0.1:1/a.tgz', 'file:///etc/hosts', 'ftp://127.0.0.1/x'])(
    'and nothing else of the network are reached from a server with TLS by %s',
    async (href) => {
      const client = clientOf({ host: '127.0.0.1:1' });
      const server = new URL('https://charts.example');
      const error = await failureOf(client.download(new URL(href), { server, limit }));
      expect([error.code, error.message]).toEqual([
        'UPSTREAM',
        `charts.example leads to ${new URL(href).protocol}//${new URL(href).host}: not HTTPS`,
      ]);
    },
  );
});
