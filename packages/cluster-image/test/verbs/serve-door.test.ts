import { stat } from 'node:fs/promises';
import { request } from 'node:http';
import { layoutPaths } from '@cluster-image/storage';
import { tls } from '@cluster-image/testing';
import { hash } from 'bcryptjs';
import { describe, expect, test } from 'vitest';
import { clientNames } from '../../src/client-config.ts';
import { serveVerb } from '../../src/verbs/serve.ts';
import { pullVerb } from '../../src/verbs/transfer.ts';
import { desk } from '../desk.ts';
import { failureOf } from '../failure.ts';
import { place } from '../place.ts';
import { serving } from '../serving.ts';

async function textAt(url: string, headers: Readonly<Record<string, string>> = {}) {
  const response = await fetch(url, { headers });
  return { status: response.status, headers: response.headers, text: await response.text() };
}

const basic = (text: string) => ({
  authorization: `Basic ${Buffer.from(text).toString('base64')}`,
});

describe('beside the registry', () => {
  test('there is a page for people, which tells what is held and how to use it', async () => {
    const here = await desk();
    for (const name of ['acme/app:1', 'acme/index:1']) {
      await here.run(pullVerb, { from: `${here.host}/${name}`, plainHttp: [here.host] });
    }
    const { url, host } = await serving(here, ['store:']);
    const page = await textAt(`${url}/`);
    expect(page.headers.get('content-type')).toBe('text/html; charset=utf-8');
    expect(page.headers.get('content-security-policy')).toContain("default-src 'none'");
    expect(page.text).toContain('2 repositories');
    expect(page.text).toContain(`${here.host.replace(':', '_')}/acme/app</code>`);
    expect(page.text).toContain(host);
    for (const name of clientNames) expect(page.text).toContain(`<summary>${name}</summary>`);
    const found = await textAt(`${url}/?q=INDEX`);
    expect(found.text).toContain('1 repository with “INDEX”');
    expect(found.text).not.toContain('acme/app');
    const evil = await textAt(`${url}/?q=${encodeURIComponent('"><script>alert(1)</script>')}`);
    expect(evil.text).not.toContain('<script>');
    expect(evil.text).toContain('Nothing yet.');
  });

  test('a page counts as no use of what it shows', async () => {
    const here = await desk();
    await here.run(pullVerb, { from: `${here.host}/acme/app:1`, plainHttp: [here.host] });
    const link = here.path('.store', layoutPaths.tag(`${here.host}/acme/app`, '1'));
    const before = (await stat(link)).ctimeMs;
    const { url } = await serving(here, ['store:']);
    expect((await textAt(`${url}/`)).text).toContain('acme/app');
    expect((await stat(link)).ctimeMs).toBe(before);
    const manifest = `${url}/v2/${here.host.replace(':', '_')}/acme/app/manifests/1`;
    expect((await fetch(manifest)).status).toBe(200);
    expect((await stat(link)).ctimeMs).toBeGreaterThan(before);
  });

  test('a page of a proxy asks no upstream', async () => {
    const here = await desk();
    const options = { proxy: true, plainHttp: [here.host] };
    const { url, host } = await serving(here, [], options);
    const from = `${host}/${here.host.replace(':', '_')}/acme/app:1`;
    await (await place()).run(pullVerb, { from, plainHttp: [host] });
    const asked = here.upstream.log.length;
    expect((await textAt(`${url}/`)).text).toContain('acme/app');
    expect(here.upstream.log.length).toBe(asked);
    const { text } = await textAt(`${url}/metrics`);
    expect(text).toContain('cluster_image_upstream_blobs_total 3');
    expect(text).toMatch(/requests_total\{method="GET",status="200"\} \d+/);
  });

  test('/healthz answers, whoever asks, and requests are told of where that is wanted', async () => {
    const here = await place({ htpasswd: `one:${await hash('secret', 4)}\n` });
    const options = { htpasswd: 'htpasswd', accessLog: true };
    const { url } = await serving(here, ['store:'], options);
    expect((await textAt(`${url}/healthz`)).text).toBe('ok\n');
    expect((await textAt(`${url}/metrics`)).status).toBe(401);
    expect(here.events).toContainEqual({
      type: 'request',
      method: 'GET',
      target: '/healthz',
      status: 200,
      bytes: 3,
    });
  });
});

describe('who may come in', () => {
  test('is asked where there is a file of passwords', async () => {
    const here = await place({ htpasswd: `one:${await hash('secret', 4)}\n` });
    const { url } = await serving(here, ['registry:dir'], { htpasswd: 'htpasswd', writable: true });
    expect((await textAt(`${url}/v2/`)).status).toBe(401);
    expect((await textAt(`${url}/v2/`, basic('one:wrong'))).status).toBe(401);
    expect((await textAt(`${url}/v2/`, basic('one:secret'))).status).toBe(200);
    expect((await textAt(`${url}/`)).status).toBe(401);
  });

  test('may pull without, where that is wanted, and not push', async () => {
    const here = await place({ htpasswd: `one:${await hash('secret', 4)}\n` });
    const options = { htpasswd: 'htpasswd', writable: true, anonymousPull: true, tokens: true };
    const { url } = await serving(here, ['registry:dir'], options);
    expect((await textAt(`${url}/v2/`)).status).toBe(200);
    const pushed = await fetch(`${url}/v2/a/blobs/uploads/`, { method: 'POST' });
    expect(pushed.status).toBe(401);
    expect(pushed.headers.get('www-authenticate')).toContain(`realm="${url}/token"`);
  });

  test('is spoken to with TLS, where there is a certificate', async () => {
    const here = await place({ 'cert.pem': tls.cert, 'key.pem': tls.key });
    const options = { tlsCert: 'cert.pem', tlsKey: 'key.pem', writable: true };
    const { url, host } = await serving(here, ['registry:dir'], options);
    expect(url).toMatch(/^https:/);
    const from = `${host}/none:1`;
    const run = here.run(pullVerb, { from, ca: here.path('cert.pem') });
    expect((await failureOf(run)).code).toBe('NOT_FOUND');
  });

  test.each<[string, Parameters<typeof serving>[2]]>([
    ['an address that others reach, open to all', { host: '0.0.0.0' }],
    ['an address that others reach, without TLS', { host: '0.0.0.0', htpasswd: 'htpasswd' }],
    ['a certificate without its key', { tlsCert: 'cert.pem' }],
    ['tokens for nobody', { tokens: true }],
    ['passwords that are not there', { htpasswd: 'none' }],
    ['a certificate that is not there', { tlsCert: 'none', tlsKey: 'none' }],
    ['a configuration for no port', { printConfig: 'docker' }],
  ])('S13: is not %s', async (_, options) => {
    const here = await place({ htpasswd: `one:${await hash('secret', 4)}\n` });
    const error = await failureOf(here.run(serveVerb, { locations: ['store:'], ...options }));
    expect(error.code).toBe('USAGE');
  });

  test('is everybody where that was said', async () => {
    const here = await place();
    const { url } = await serving(here, ['store:'], { host: '0.0.0.0', allowAnyone: true });
    expect((await textAt(`${url.replace('0.0.0.0', '127.0.0.1')}/v2/`)).status).toBe(200);
  });

  test('is not a page of another site that has a name which leads here', async () => {
    const here = await place();
    const { url } = await serving(here, ['store:']);
    const status = await new Promise((resolve, reject) => {
      const asked = request(`${url}/v2/`, { headers: { host: 'evil.example' } }, (response) => {
        response.resume();
        resolve(response.statusCode);
      });
      asked.on('error', reject).end();
    });
    expect(status).toBe(421);
  });
});

test.each(clientNames)(
  'serve --print-config %s prints files, and serves nothing',
  async (client) => {
    const here = await place();
    const options = { proxy: true, port: 5000, printConfig: client };
    const served = await here.run(serveVerb, { locations: [], ...options });
    expect(served.config?.files.length).toBeGreaterThan(0);
    const lines = serveVerb.lines(served);
    expect(lines[0]).toMatch(/^# \/etc\//);
    expect(lines.join('\n')).toContain('127.0.0.1:5000');
  },
);
