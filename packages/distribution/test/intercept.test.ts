import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { Socket } from 'node:net';
import {
  type Handler,
  type InterceptOptions,
  intercept,
  listen,
  text,
} from '@cluster-image/distribution';
import { tls } from '@cluster-image/testing';
import { describe, expect, onTestFinished, test } from 'vitest';

const answers: Handler = async ({ target, method }) => text(`${method} ${target}`, 'text/plain');

async function proxyOf(options: Partial<InterceptOptions> = {}): Promise<URL> {
  const connector = intercept({
    // The certificate of the tests is for this name.
    handlerFor: (host) => (host === 'localhost' ? answers : undefined),
    certificateFor: () => tls,
    tunnels: false,
    ...options,
  });
  const listening = await listen(answers, { connector });
  onTestFinished(() => listening.close(0));
  return listening.url;
}

/** What a proxy says to CONNECT, and the connection behind it. */
async function connected(
  proxy: URL,
  path: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<{ readonly status: number; readonly socket: Socket }> {
  const asking = httpRequest({
    host: proxy.hostname,
    port: proxy.port,
    method: 'CONNECT',
    path,
    headers,
  });
  asking.end();
  const [response, socket] = await once(asking, 'connect');
  onTestFinished(() => void socket.destroy());
  return { status: response.statusCode, socket };
}

async function ask(socket: Socket, servername: string): Promise<string> {
  const asking = httpsRequest({
    path: '/v2/a/manifests/1',
    headers: { host: servername },
    createConnection: undefined,
    agent: false,
    ca: tls.cert,
    servername,
    ...{ socket },
  });
  asking.end();
  const [response] = await once(asking, 'response');
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

describe('CONNECT', () => {
  test('to a host that is answered for is answered in its stead', async () => {
    const { status, socket } = await connected(await proxyOf(), 'localhost:443');
    expect(status).toBe(200);
    expect(await ask(socket, 'localhost')).toBe('GET /v2/a/manifests/1');
  });

  test.each([
    'localhost:80',
    'evil.example:443',
    '127.0.0.1:443',
    '[::1]:443',
    'x',
    'a/b:443',
    ':443',
  ])('to %s is refused', async (path) => {
    const { status } = await connected(await proxyOf(), path);
    expect([400, 403]).toContain(status);
  });

  test('S14: tunnels lead to hosts that anybody can reach, not into this machine', async () => {
    const proxy = await proxyOf({ tunnels: true });
    const inner = await listen(answers);
    onTestFinished(() => inner.close(0));
    expect((await connected(proxy, `localhost:${inner.url.port}`)).status).toBe(403);
    expect((await connected(proxy, '127.0.0.1:443')).status).toBe(502);
  });

  test('with another name in the handshake is not answered', async () => {
    const { socket } = await connected(await proxyOf(), 'localhost:443');
    await expect(ask(socket, 'evil.example')).rejects.toThrow();
  });

  test('is for who may come in', async () => {
    const mayConnect = async (given: string | undefined): Promise<boolean> =>
      given === 'Basic b25l';
    const proxy = await proxyOf({ mayConnect });
    expect((await connected(proxy, 'localhost:443')).status).toBe(407);
    const headers = { 'proxy-authorization': 'Basic b25l' };
    expect((await connected(proxy, 'localhost:443', headers)).status).toBe(200);
  });
});
