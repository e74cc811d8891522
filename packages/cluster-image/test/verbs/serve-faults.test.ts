import { createHash } from 'node:crypto';
import type { FaultRegistryOptions, FaultRule, LoggedRequest } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { verifyVerb } from '../../src/verbs/verify.ts';
import { putFiles } from '../context.ts';
import { type Desk, desk, image } from '../desk.ts';
import { type Serving, serving } from '../serving.ts';

/** What clients of a proxy see of the faults of its upstream, and what the upstream sees of them. */

interface Proxy extends Serving {
  readonly here: Desk;
  /** Where the repository of the upstream is that has `image` as `1`. */
  readonly app: string;
}

const [, layer] = image.root.layers;
if (!layer) throw new Error('no layer');

async function proxy(
  upstream: FaultRegistryOptions = {},
  options: Parameters<typeof serving>[2] = {},
): Promise<Proxy> {
  const here = await desk(upstream);
  const server = await serving(here, [], { proxy: true, plainHttp: [here.host], ...options });
  return { ...server, here, app: `${server.url}/v2/${here.host.replace(':', '_')}/acme/app` };
}

const failing = (status: number, headers: Readonly<Record<string, string>> = {}): FaultRule => ({
  match: { kind: 'manifest' },
  fault: { status, headers },
});

/** The digest of all that comes, or what became of the connection. */
async function hashed(url: string, init: RequestInit = {}): Promise<string> {
  try {
    const hash = createHash('sha256');
    const response = await fetch(url, init);
    if (response.status !== 200) return String(response.status);
    for await (const chunk of response.body ?? []) hash.update(chunk);
    return `sha256:${hash.digest('hex')}`;
  } catch {
    return 'broken off';
  }
}

async function codeOf(answer: Response): Promise<string> {
  return /"code":"(\w+)"/.exec(await answer.text())?.[1] ?? '';
}

async function prime(app: string): Promise<void> {
  await (await fetch(`${app}/manifests/1`)).arrayBuffer();
}

describe('S10: what an upstream refuses', () => {
  test.each([
    [404, 404, 'MANIFEST_UNKNOWN'],
    [401, 403, 'DENIED'],
    [403, 403, 'DENIED'],
    [400, 502, 'UNKNOWN'],
    [501, 502, 'UNKNOWN'],
  ])('with %i is told as %i', async (status, told, code) => {
    const { app } = await proxy({ rules: [failing(status)] });
    const answer = await fetch(`${app}/manifests/1`);
    expect([answer.status, await codeOf(answer)]).toEqual([told, code]);
  });

  test.each([
    [429, 'TOOMANYREQUESTS'],
    [503, 'TOOMANYREQUESTS'],
  ])('with %i for a minute is told at once, and for how long', async (status, code) => {
    const { app, here } = await proxy({ rules: [failing(status, { 'retry-after': '60' })] });
    const answer = await fetch(`${app}/manifests/1`);
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([429, '60']);
    expect(await codeOf(answer)).toBe(code);
    expect(here.upstream.requests('manifest')).toHaveLength(1);
  });

  test('with 429 for a second is asked again by the proxy itself', async () => {
    const rule = { ...failing(429, { 'retry-after': '1' }), times: 1 };
    const { app } = await proxy({ rules: [rule] });
    expect((await fetch(`${app}/manifests/1`)).status).toBe(200);
  });

  test('as a blob that is not there is 404', async () => {
    const { app } = await proxy();
    const answer = await fetch(`${app}/blobs/sha256:${'0'.repeat(64)}`);
    expect([answer.status, await codeOf(answer)]).toEqual([404, 'BLOB_UNKNOWN']);
  });
});

describe('a blob whose upstream', () => {
  test.each<[string, FaultRule['fault']]>([
    ['breaks off', { cut: { at: 2000, how: 'rst' } }],
    ['ends early', { cut: { at: 2000, how: 'fin' } }],
    ['does not answer', { drop: 'rst' }],
  ])('%s is gone on with where it stopped, and clients notice nothing', async (_, fault) => {
    const rules = [{ match: { kind: 'blob', method: 'GET' }, fault, times: 1 } as const];
    const { app, here } = await proxy({ rules });
    await prime(app);
    expect(await hashed(`${app}/blobs/${layer.digest}`)).toBe(layer.digest);
    const ranges = here.upstream.requests('blob', 'GET').map(({ headers }) => headers.range);
    const rest = fault.cut ? 'bytes=2000-4999' : undefined;
    expect(ranges).toEqual([undefined, rest]);
  });

  test.each<[string, FaultRule['fault']]>([
    ['lies', { corrupt: 100 }],
    ['lies in the last byte', { corrupt: 4999 }],
    ['says another size', { short: 1 }],
    ['goes on for too long', { extra: 1, length: 'chunked' }],
    ['sends a web page', { status: 200, headers: { 'content-type': 'text/html' } }],
  ])('S09: %s never comes whole, is not kept, and is asked again', async (_, fault) => {
    const rules = [{ match: { kind: 'blob', method: 'GET' }, fault, times: 1 } as const];
    const { app, here } = await proxy({ rules });
    await prime(app);
    const blob = `${app}/blobs/${layer.digest}`;
    expect(await hashed(blob)).toBe('broken off');
    expect((await here.run(verifyVerb, {})).problems).toEqual([]);
    expect(await hashed(blob)).toBe(layer.digest);
    expect(await hashed(blob)).toBe(layer.digest);
    expect(here.upstream.requests('blob', 'GET')).toHaveLength(2);
  });
});

test('S09: a manifest that is not what its digest says is not believed', async () => {
  const { app } = await proxy({
    rules: [{ match: { kind: 'manifest', method: 'GET' }, fault: { corrupt: 3 }, times: 1 }],
  });
  const manifest = `${app}/manifests/${image.root.digest}`;
  expect((await fetch(manifest)).status).toBe(500);
  expect(await hashed(manifest)).toBe(image.root.digest);
});

test('S08: a client that leaves leaves the blob to the next one', async () => {
  const drip = { match: { kind: 'blob' }, fault: { drip: 100 } } as const;
  const { app, here } = await proxy({ rules: [drip] });
  await prime(app);
  const blob = `${app}/blobs/${layer.digest}`;
  const leaving = new AbortController();
  const response = await fetch(blob, { signal: leaving.signal });
  await response.body?.getReader().read();
  leaving.abort();
  expect(await hashed(blob)).toBe(layer.digest);
  expect(here.upstream.requests('blob', 'GET')).toHaveLength(1);
});

test('a registry that is its own mirror says so, and asks the next one', async () => {
  const here = await desk();
  const file = here.path('endpoint');
  const mirrors = [{ endpointFile: 'endpoint', path: '{host}' }];
  const registries = { '*': { mirrors }, [here.host]: { plainHttp: true } };
  await putFiles(here.root, { 'cluster-image.json': JSON.stringify({ registries }) });
  const { url } = await serving(here, [], { proxy: true, endpointFile: file });
  const answer = await fetch(`${url}/v2/${here.host.replace(':', '_')}/acme/app/manifests/1`);
  expect(answer.headers.get('docker-content-digest')).toBe(image.root.digest);
  expect(here.events).toContainEqual(
    expect.objectContaining({
      type: 'warning',
      message: expect.stringContaining('it is among its own mirrors'),
    }),
  );
});

describe('A11: who proves who they are', () => {
  const canary = 'canary-of-the-client';
  const headers = { authorization: `Bearer ${canary}` };

  test.each(['basic', 'bearer'] as const)(
    'to the proxy proves nothing to the upstream, nor is what the proxy has theirs (%s)',
    async (scheme) => {
      const secret = 'canary-of-the-proxy';
      const { here, app, url } = await proxy({ auth: { scheme, users: [`robot:${secret}`] } });
      // Without credentials of its own the proxy is nobody, whatever its clients show.
      const own = { headers: { authorization: `Basic ${btoa(`robot:${secret}`)}` } };
      expect((await fetch(`${app}/manifests/1`, own)).status).toBe(403);
      const auths = { [here.host]: { auth: btoa(`robot:${secret}`) } };
      await putFiles(here.root, { '.home/.docker/config.json': JSON.stringify({ auths }) });
      const other = await serving(here, [], { proxy: true, plainHttp: [here.host] });
      const at = app.replace(url, other.url);
      const asked = here.upstream.log.length;
      const answers = [
        await fetch(`${at}/manifests/1`, { headers }),
        await fetch(`${at}/blobs/${layer.digest}`, { headers }),
        await fetch(`${at}/tags/list`, { headers }),
        await fetch(`${at}/manifests/none`, { headers }),
      ];
      expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 404]);
      const seen = JSON.stringify(here.upstream.log.slice(asked));
      expect(seen).not.toContain(canary);
      const shown = await Promise.all(
        answers.map(async (answer) => [[...answer.headers], await answer.text()]),
      );
      const told = JSON.stringify([shown, here.events]);
      for (const form of [secret, btoa(`robot:${secret}`), 'canary-token']) {
        expect(told).not.toContain(form);
      }
    },
  );

  test('what the upstream says of what it was sent is not told', async () => {
    const echo = (request: LoggedRequest): string => `you sent ${request.headers.authorization}`;
    const { here, app } = await proxy({
      auth: { scheme: 'bearer' },
      rules: [
        {
          match: { kind: 'manifest' },
          fault: {
            answer: (right, request) =>
              right.status === 401
                ? right
                : { status: 403, headers: {}, body: Buffer.from(echo(request)) },
          },
        },
      ],
    });
    const answer = await fetch(`${app}/manifests/1`);
    expect(answer.status).toBe(403);
    expect(here.upstream.requests('token').length).toBeGreaterThan(0);
    expect(JSON.stringify([await answer.text(), here.events])).not.toContain('canary-token');
  });
});

test('A01: a client that names a host does not make the proxy show credentials to another', async () => {
  const secret = 'canary-of-the-proxy';
  const { here, app } = await proxy({
    auth: {
      scheme: 'bearer',
      users: [`robot:${secret}`],
      challenges: (own) => [own.replace('127.0.0.1', 'localhost')],
    },
  });
  const auths = { [here.host]: { auth: btoa(`robot:${secret}`) } };
  await putFiles(here.root, { '.home/.docker/config.json': JSON.stringify({ auths }) });
  expect((await fetch(`${app}/manifests/1`)).status).toBe(403);
  expect(here.upstream.requests('token')).not.toHaveLength(0);
  for (const { headers } of here.upstream.requests('token')) {
    expect(headers.authorization).toBeUndefined();
  }
});
