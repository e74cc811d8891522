import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { connect } from 'node:net';
import { join } from 'node:path';
import { TLSSocket } from 'node:tls';
import { codeOf, createContext, OciError } from '@cluster-image/oci';
import { faultRegistry, temporaryDirectory, tls } from '@cluster-image/testing';
import { describe, expect, onTestFinished, test } from 'vitest';
import {
  type HttpRequest,
  isTransient,
  type TransportOptions,
  transport,
} from '../src/transport.ts';
import { clientOf, failureOf } from './client.ts';

const { signal } = new AbortController();

/** The status of an answer, whose body is done with. */
async function statusOf(
  url: string,
  options: TransportOptions = {},
  more: Partial<HttpRequest> = {},
): Promise<number> {
  const sender = transport(options);
  onTestFinished(() => sender.close());
  const request = { method: 'GET', url: new URL(url), headers: {}, ...more } as const;
  const response = await sender.send(request, signal);
  await response.discard();
  return response.status;
}

describe('C31 TLS', () => {
  test('is verified: a certificate that nobody vouches for is refused, and not tried again', async () => {
    const server = await faultRegistry({ tls });
    const client = clientOf(server, { hosts: { [server.host]: {} } });
    const asked = client.registry().resolve('team/app', 'latest');
    expect((await failureOf(asked)).code).toBe('NETWORK');
    expect(client.waits).toEqual([]);
    expect(server.log).toEqual([]);
  });

  test('is satisfied by a certificate authority that was named, for the hosts it names', async () => {
    const server = await faultRegistry({ tls });
    const hosts = { [server.host]: {}, [server.hostAt('127.0.0.9')]: {} };
    const client = clientOf(server, { ca: tls.cert, hosts });
    expect(await client.registry().resolve('team/app', 'latest')).toBeUndefined();
    const other = client.registry(server.hostAt('127.0.0.9')).resolve('team/app', 'latest');
    expect((await failureOf(other)).code).toBe('NETWORK');
    expect(client.waits).toEqual([]);
  });

  test('is not verified where that is configured, and nowhere else', async () => {
    const server = await faultRegistry({ tls });
    const hosts = { [server.host]: { insecure: true }, [server.hostAt('localhost')]: {} };
    const client = clientOf(server, { hosts });
    expect(await client.registry().resolve('team/app', 'latest')).toBeUndefined();
    const other = client.registry(server.hostAt('localhost')).resolve('team/app', 'latest');
    expect((await failureOf(other)).code).toBe('NETWORK');
  });

  test('that is not spoken there is an error, and not tried again', async () => {
    const server = await faultRegistry();
    const client = clientOf(server, { hosts: { [server.host]: {} } });
    const asked = client.registry().resolve('team/app', 'latest');
    expect((await failureOf(asked)).code).toBe('NETWORK');
    expect(client.waits).toEqual([]);
  });

  test('C24 a registry reached by HTTPS may not lead to HTTP', async () => {
    const plain = await faultRegistry();
    const fault = { redirect: `http://${plain.host}/cdn` };
    const server = await faultRegistry({ tls, rules: [{ fault }] });
    const client = clientOf(server, { ca: tls.cert, hosts: { [server.host]: {} } });
    const asked = client.registry().resolve('team/app', 'latest');
    expect((await failureOf(asked)).code).toBe('UPSTREAM');
    expect(plain.log).toEqual([]);
  });
});

describe('C31 a name', () => {
  test('whose first address is dead is reached at the next', async () => {
    const server = createServer((_, response) => response.end());
    const url = await listening(server);
    // localhost is ::1 as well wherever there is IPv6, and nothing listens there.
    expect(await statusOf(url.replace('127.0.0.1', 'localhost'))).toBe(200);
  });
});

describe('C31 a proxy', () => {
  const password = 'canary-of-the-proxy';

  test('carries plain HTTP and TLS, and is shown its own password only', async () => {
    const proxy = await openProxy();
    const uri = `http://user:${password}@127.0.0.1:${proxy.port}`;
    const plain = await faultRegistry();
    const secure = await faultRegistry({ tls });
    const options = { proxy: { http: uri, https: uri }, ca: tls.cert };
    expect(await statusOf(`http://${plain.host}/v2/`, options)).toBe(200);
    expect(await statusOf(`https://${secure.host}/v2/`, options)).toBe(200);
    expect(proxy.log).toEqual([`GET http://${plain.host}/v2/`, `CONNECT ${secure.host}`]);
    const basic = Buffer.from(`user:${password}`).toString('base64');
    expect(proxy.authorizations).toEqual([`Basic ${basic}`, `Basic ${basic}`]);
    const seen = JSON.stringify([plain.log, secure.log]);
    expect(seen).not.toContain(password);
    expect(seen).not.toContain(basic);
  });

  test('is passed by for the hosts and networks it is not for', async () => {
    const proxy = await openProxy();
    const server = await faultRegistry();
    const uri = `http://127.0.0.1:${proxy.port}`;
    for (const no of ['127.0.0.0/8', '127.0.0.1', `other, ${server.host}`]) {
      expect(await statusOf(`http://${server.host}/v2/`, { proxy: { http: uri, no } })).toBe(200);
    }
    expect(proxy.log).toEqual([]);
    const other = { proxy: { http: uri, no: '10.0.0.0/8' } };
    expect(await statusOf(`http://${server.host}/v2/`, other)).toBe(200);
    expect(proxy.log).toHaveLength(1);
  });

  test.each(['http', 'https'])(
    'that refuses (%s) is an error that does not tell its password',
    async (scheme) => {
      const proxy = await openProxy(407);
      const uri = `http://user:${password}@127.0.0.1:${proxy.port}`;
      const server = await faultRegistry({ tls });
      const asked = statusOf(`${scheme}://${server.host}/v2/`, {
        proxy: { http: uri, https: uri },
      });
      const error = await failureOf(asked);
      expect(error.code).toBe('NETWORK');
      expect(`${error.message} ${error.hint}`).not.toContain(password);
    },
  );

  test('that is no URL is an error that does not tell its password, and not tried again', async () => {
    const server = await faultRegistry();
    const proxy = { http: `http://user:${password}@not a host` };
    const client = clientOf(server, { proxy });
    const error = await failureOf(client.registry().resolve('team/app', 'latest'));
    expect(error.code).toBe('NETWORK');
    expect(`${error.message} ${error.hint}`).not.toContain(password);
    expect(client.waits).toEqual([]);
  });
});

describe('C24 only public addresses', () => {
  test.each(['127.0.0.1', 'localhost', '[::1]', '[::ffff:127.0.0.1]'])(
    'keeps requests from %s',
    async (name) => {
      const server = await faultRegistry();
      const asked = statusOf(
        `http://${server.hostAt('localhost').replace('localhost', name)}/v2/`,
        {},
        {
          publicOnly: true,
        },
      );
      const error = await failureOf(asked);
      expect(error.code).toBe('UPSTREAM');
      expect(isTransient(error)).toBe(false);
      expect(server.connections()).toBe(0);
    },
  );
});

describe('an error', () => {
  test.each([
    ['TIMEOUT', 'ECONNRESET', true],
    ['NETWORK', 'ECONNRESET', true],
    ['NETWORK', 'ECONNREFUSED', true],
    ['NETWORK', 'EAI_AGAIN', true],
    ['NETWORK', 'EPIPE', true],
    ['NETWORK', 'EHOSTUNREACH', true],
    ['NETWORK', 'UND_ERR_SOCKET', true],
    ['NETWORK', 'ERR_STREAM_PREMATURE_CLOSE', true],
    ['NETWORK', 'ENOTFOUND', false],
    ['NETWORK', 'EPROTO', false],
    ['NETWORK', 'CERT_HAS_EXPIRED', false],
    ['NETWORK', 'DEPTH_ZERO_SELF_SIGNED_CERT', false],
    ['NETWORK', 'SELF_SIGNED_CERT_IN_CHAIN', false],
    ['NETWORK', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE', false],
    ['NETWORK', 'ERR_TLS_CERT_ALTNAME_INVALID', false],
    ['NETWORK', 'ERR_SSL_WRONG_VERSION_NUMBER', false],
    ['NETWORK', 'ERR_INVALID_URL', false],
    ['NETWORK', 'UND_ERR_INVALID_ARG', false],
    ['UPSTREAM', 'ECONNRESET', false],
    ['ABORTED', 'ECONNRESET', false],
    ['DENIED', 'ECONNRESET', false],
  ] as const)('C15 %s because of %s may pass: %s', (code, errno, isPassing) => {
    const cause = new TypeError('terminated', {
      cause: Object.assign(new Error(), { code: errno }),
    });
    expect(isTransient(new OciError(code, 'failed', { cause }))).toBe(isPassing);
  });

  test('C15 of others never passes', () => {
    expect(isTransient(Object.assign(new Error(), { code: 'ECONNRESET' }))).toBe(false);
    expect(isTransient(undefined)).toBe(false);
  });

  test.each([
    ['SSH-2.0-OpenSSH_9.6\r\n', 'UPSTREAM'],
    ['HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab', 'UPSTREAM'],
    [`HTTP/1.1 200 OK\r\nX-Long: ${'x'.repeat(40_000)}\r\n\r\n`, 'UPSTREAM'],
  ])('of a peer that does not speak HTTP is UPSTREAM: %j', async (raw, code) => {
    const server = await faultRegistry({ rules: [{ fault: { raw } }] });
    const client = clientOf(server);
    const asked = client.registry().resolve('team/app', 'latest');
    expect((await failureOf(asked)).code).toBe(code);
    expect(server.log).toHaveLength(1);
  });

  test('C12 of a peer that is silent is TIMEOUT', async () => {
    const server = await faultRegistry({ rules: [{ fault: { drop: 'silence' } }] });
    const asked = statusOf(`http://${server.host}/v2/`, { headersTimeout: 50 });
    expect((await failureOf(asked)).code).toBe('TIMEOUT');
  });

  test('is ABORTED where the interruption came first, whatever its reason', async () => {
    const server = await faultRegistry({ rules: [{ fault: { drop: 'silence' } }] });
    const interrupt = new AbortController();
    const client = clientOf(server, { context: createContext({ signal: interrupt.signal }) });
    const asked = client.registry().resolve('team/app', 'latest');
    setTimeout(() => interrupt.abort('ctrl-c'), 20);
    const error = await asked.catch((reason: unknown) => reason);
    expect(codeOf(error)).toBe('ABORTED');
    expect(client.waits).toEqual([]);
  });
});

async function listening(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(async () => {
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await closed;
  });
  const address = server.address();
  return `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`;
}

interface OpenProxy {
  readonly port: string;
  /** What it was asked for. */
  readonly log: readonly string[];
  readonly authorizations: readonly (string | undefined)[];
}

/** A proxy that forwards plain HTTP and tunnels the rest, or refuses everything. */
async function openProxy(refusal?: number): Promise<OpenProxy> {
  const log: string[] = [];
  const authorizations: (string | undefined)[] = [];
  const server = createServer((incoming, response) => {
    log.push(`${incoming.method} ${incoming.url}`);
    authorizations.push(incoming.headers['proxy-authorization']);
    if (refusal) {
      response.writeHead(refusal).end();
      return;
    }
    void fetch(incoming.url ?? '').then(({ status }) => response.writeHead(status).end());
  });
  server.on('connect', (incoming, socket) => {
    log.push(`CONNECT ${incoming.url}`);
    authorizations.push(incoming.headers['proxy-authorization']);
    if (refusal) {
      socket.end(`HTTP/1.1 ${refusal} No\r\n\r\n`);
      return;
    }
    const [host = '', port] = (incoming.url ?? '').split(':');
    const onward = connect(Number(port), host, () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      socket.pipe(onward).pipe(socket);
    });
    onward.on('error', () => socket.destroy());
    socket.on('error', () => onward.destroy());
    onTestFinished(() => {
      onward.destroy();
      socket.destroy();
    });
  });
  const url = await listening(server);
  return { port: new URL(url).port, log, authorizations };
}

describe('a Unix socket', () => {
  test('takes the requests of any host, and is what errors name', async () => {
    const socketPath = join(await temporaryDirectory(), 'a.sock');
    const asked: string[] = [];
    const server = createServer((request, response) => {
      asked.push(`${request.headers.host} ${request.url}`);
      response.end();
    }).listen(socketPath);
    onTestFinished(() => void server.close());
    await once(server, 'listening');
    expect(await statusOf('http://docker/images?x=1', { socketPath })).toBe(200);
    expect(asked).toEqual(['docker /images?x=1']);
    const other = `${socketPath}.other`;
    const error = await failureOf(statusOf('http://docker/', { socketPath: other }));
    expect([error.code, error.message]).toEqual(['NETWORK', expect.stringContaining(other)]);
  });
});

test('a server that asks for a certificate gets ours', async () => {
  const names: string[] = [];
  const options = { ...tls, ca: tls.cert, requestCert: true, rejectUnauthorized: true };
  const server = createSecureServer(options, (request, response) => {
    const { socket } = request;
    if (socket instanceof TLSSocket) names.push(`${socket.getPeerCertificate().subject.CN}`);
    response.end();
  }).listen(0, '127.0.0.1');
  onTestFinished(() => void server.close());
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  const url = `https://127.0.0.1:${port}/`;
  expect(await statusOf(url, { ca: tls.cert, cert: tls.cert, key: tls.key })).toBe(200);
  expect(names).toEqual(['registry for tests']);
  expect((await failureOf(statusOf(url, { ca: tls.cert }))).code).toBe('NETWORK');
});
