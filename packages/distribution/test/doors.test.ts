import { request as ask } from 'node:https';
import { handler, listen } from '@cluster-image/distribution';
import { memory } from '@cluster-image/oci';
import { imageFixture, putFixture, tls } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { clientOf, failureOf } from './client.ts';
import { dial, raw, rest, serving } from './server.ts';

function get(host: string | undefined): string {
  const line = host === undefined ? '' : `Host: ${host}\r\n`;
  return `GET /v2/ HTTP/1.${host === undefined ? 0 : 1}\r\n${line}Connection: close\r\n\r\n`;
}

describe('S13 a request for', () => {
  test.each([
    ['localhost', 200],
    ['localhost:5000', 200],
    ['LocalHost.', 200],
    ['127.0.0.1:5000', 200],
    ['127.1.2.3', 200],
    ['[::1]', 200],
    ['[::1]:5000', 200],
    ['registry.local:5000', 200],
    ['Registry.Local', 200],
    [undefined, 200],
    ['evil.example', 421],
    ['evil.example:5000', 421],
    ['localhost.evil.example', 421],
    ['127.0.0.1.evil.example', 421],
    ['127.0.0.1.nip.io', 421],
    ['registry.local.evil.example', 421],
    ['xregistry.local', 421],
    ['[::2]', 421],
    ['10.0.0.1', 421],
    ['', 421],
  ])('%j is answered with %i where the server has names', async (host, status) => {
    const listening = await serving(undefined, { names: ['registry.local'] });
    const answer = await raw(listening, get(host));
    expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    if (status === 421) expect(answer).toContain('"DENIED"');
  });

  test('any name is answered where it has none', async () => {
    expect(await raw(await serving(), get('evil.example'))).toMatch(/^HTTP\/1.1 200 /);
  });

  test('no page of another site is let in by a header', async () => {
    const answer = await raw(await serving(), get('localhost'));
    expect(answer).not.toMatch(/^access-control/im);
  });
});

describe('an address', () => {
  test.each(['127.0.0.9', '::1'])('%s is listened at, and no other', async (host) => {
    const listening = await serving(undefined, { host });
    expect(listening.url.hostname).toBe(host === '::1' ? '[::1]' : host);
    const answer = await fetch(new URL('/v2/', listening.url));
    expect(await answer.json()).toEqual({});
    await expect(fetch(`http://127.0.0.1:${listening.url.port}/v2/`)).rejects.toThrow();
  });

  test('that this machine does not have is NETWORK', async () => {
    const failure = await failureOf(listen(handler(memory()), { host: '192.0.2.1' }));
    expect(failure.code).toBe('NETWORK');
  });
});

describe('TLS', () => {
  const image = imageFixture();

  test('is served with a certificate, to a client that trusts it', async () => {
    const registry = memory();
    await putFixture(registry, 'team/app', image, '1.0');
    const { url } = await serving(handler(registry), { tls });
    expect(url.protocol).toBe('https:');
    const hosts = { [url.host]: { plainHttp: false } };
    const trusting = clientOf(url, { hosts, ca: tls.cert }).registry(url.host);
    expect((await trusting.resolve('team/app', '1.0'))?.digest).toBe(image.root.digest);
    const careful = clientOf(url, { hosts }).registry(url.host);
    expect((await failureOf(careful.resolve('team/app', '1.0'))).code).toBe('NETWORK');
  });

  test('is not plain HTTP, and nothing older than TLS 1.2', async () => {
    const listening = await serving(undefined, { tls });
    expect(await raw(listening, get('localhost'))).not.toMatch(/200 OK/);
    const old = new Promise((resolve, reject) => {
      const options = { ca: tls.cert, maxVersion: 'TLSv1.1', minVersion: 'TLSv1' } as const;
      ask(new URL('/v2/', listening.url), options, resolve).on('error', reject).end();
    });
    await expect(old).rejects.toThrow();
  });

  test('S11 that is never begun is given up on', async () => {
    const listening = await serving(undefined, { tls, limits: { headers: 50 } });
    expect(await rest(dial(listening))).toBe('');
  });

  test.each([
    ['a certificate that is none', { ...tls, cert: 'x' }],
    ['a key that is none', { ...tls, key: 'x' }],
    ['the key of another', { ...tls, key: tls.cert }],
  ])('with %s is INPUT_INVALID', async (_, wrong) => {
    const failure = await failureOf(listen(handler(memory()), { tls: wrong }));
    expect(failure.code).toBe('INPUT_INVALID');
    expect(failure.message).not.toContain('PRIVATE KEY');
  });
});
