import { describe, expect, test } from 'vitest';
import { serveVerb } from '../../src/verbs/serve.ts';
import { pullVerb, pushVerb } from '../../src/verbs/transfer.ts';
import { type Desk, desk, image, index } from '../desk.ts';
import { failureOf } from '../failure.ts';
import { place } from '../place.ts';
import { type Serving, serving } from '../serving.ts';

interface Proxy extends Serving {
  readonly here: Desk;
  /** What an image of the upstream is called at the proxy. */
  at(name: string): string;
}

async function proxy(options: Parameters<typeof serving>[2] = {}): Promise<Proxy> {
  const here = await desk();
  const server = await serving(here, [], { proxy: true, plainHttp: [here.host], ...options });
  return { ...server, here, at: (name) => `${server.host}/${here.host.replace(':', '_')}/${name}` };
}

/** Pulls with a store of its own; tells the digest. */
async function pulled(from: string, host: string): Promise<string> {
  const elsewhere = await place();
  return (await elsewhere.run(pullVerb, { from, plainHttp: [host] })).digest;
}

async function codeAt(url: string): Promise<readonly [number, string]> {
  const response = await fetch(url);
  const body = await response.text();
  return [response.status, /"code":"(\w+)"/.exec(body)?.[1] ?? ''];
}

describe('serve --proxy', () => {
  test('pulls through by the host in front of a name, and once only', async () => {
    const { here, host, at, stop } = await proxy();
    expect(await pulled(at('acme/app:1'), host)).toBe(image.root.digest);
    const asked = here.upstream.log.length;
    expect(asked).toBeGreaterThan(0);
    expect(await pulled(at(`acme/app@${image.root.digest}`), host)).toBe(image.root.digest);
    expect(here.upstream.log.length).toBe(asked);
    expect(await pulled(at('acme/app:1'), host)).toBe(image.root.digest);
    expect(here.upstream.log.slice(asked).map(({ method }) => method)).toEqual(['HEAD']);
    await stop();
  });

  test('keeps what was pulled in the store, where builds find it', async () => {
    const { here, host, at } = await proxy();
    await pulled(at('acme/app:1'), host);
    const kept = await here.store.registry.resolve(`${here.host}/acme/app`, '1');
    expect(kept?.digest).toBe(image.root.digest);
  });

  test('pulls through by the namespace that containerd names', async () => {
    const { here, url } = await proxy();
    const ask = (ns: string): Promise<Response> =>
      fetch(`${url}/v2/acme/index/manifests/1?ns=${encodeURIComponent(ns)}`);
    const found = await ask(here.host);
    expect(found.headers.get('docker-content-digest')).toBe(index.root.digest);
    await found.arrayBuffer();
    expect((await ask('not a host')).status).toBe(400);
  });

  test('pulls from the default upstream what names no host', async () => {
    const here = await desk();
    const { host } = await serving(here, [], {
      proxy: true,
      plainHttp: [here.host],
      defaultUpstream: here.host,
    });
    expect(await pulled(`${host}/acme/app:1`, host)).toBe(image.root.digest);
  });

  test('S14: asks nobody who has no public name, unless something was said of it', async () => {
    const { url, here } = await proxy({ plainHttp: [] });
    for (const name of ['127.0.0.1_1/a', 'localhost/a/b', '169.254.169.254/a', 'x.internal/a']) {
      expect(await codeAt(`${url}/v2/${name}/manifests/1`)).toEqual([403, 'DENIED']);
    }
    expect(await codeAt(`${url}/v2/a/manifests/1?ns=${here.host}`)).toEqual([403, 'DENIED']);
    expect(here.upstream.log).toEqual([]);
  });

  test('asks only those that are named, where some are', async () => {
    const { url } = await proxy({ upstream: ['*.example'] });
    expect(await codeAt(`${url}/v2/quay.io/a/manifests/1`)).toEqual([403, 'DENIED']);
  });

  test('offline serves what is there and asks nobody', async () => {
    const first = await proxy();
    await pulled(first.at('acme/app:1'), first.host);
    await first.stop();
    const { here } = first;
    const asked = here.upstream.log.length;
    const plainHttp = [here.host];
    const { host } = await serving(here, [], { proxy: true, plainHttp, offline: true });
    const name = `${host}/${here.host.replace(':', '_')}/acme`;
    expect(await pulled(`${name}/app:1`, host)).toBe(image.root.digest);
    expect((await failureOf(pulled(`${name}/index:1`, host))).code).toBe('NOT_FOUND');
    expect(here.upstream.log.length).toBe(asked);
  });

  test('serves locations before any upstream', async () => {
    const here = await desk();
    await here.run(pullVerb, { from: `${here.host}/acme/app:1`, plainHttp: [here.host] });
    const asked = here.upstream.log.length;
    const { url } = await serving(here, ['store:'], { proxy: true });
    const listed = await (await fetch(`${url}/v2/_catalog`)).json();
    expect(listed).toEqual({ repositories: [`${here.host.replace(':', '_')}/acme/app`] });
    expect(here.upstream.log.length).toBe(asked);
  });
});

describe('serve --writable', () => {
  test('takes what is pushed into a directory, which is one for everybody then', async () => {
    const here = await desk();
    const from = `${here.host}/acme/app:1`;
    await here.run(pullVerb, { from, plainHttp: [here.host] });
    const server = await serving(here, ['registry:dir'], { writable: true });
    const to = `docker://${server.host}/team/app:2`;
    await here.run(pushVerb, { from, to, plainHttp: [server.host] });
    expect(await pulled(`${server.host}/team/app:2`, server.host)).toBe(image.root.digest);
    const manifest = `${server.url}/v2/team/app/manifests/2`;
    expect((await fetch(manifest, { method: 'DELETE' })).status).toBe(405);
    await server.stop();
    const again = await serving(here, ['registry:dir'], { writable: true, deletable: true });
    const there = `${again.url}/v2/team/app/manifests/2`;
    expect((await fetch(there, { method: 'DELETE' })).status).toBe(202);
    expect((await fetch(there)).status).toBe(404);
  });

  test.each<[string, readonly string[], Parameters<typeof serving>[2]]>([
    ['nothing', [], {}],
    ['two locations to write to', ['registry:a', 'registry:b'], { writable: true }],
    ['a proxy to write to', ['store:'], { writable: true, proxy: true }],
    ['an image to write to', ['app:1'], { writable: true }],
    ['to delete from what is not written', ['registry:a'], { deletable: true }],
    ['to be offline without upstreams', ['store:'], { offline: true }],
    ['a tag to be believed for how long', [], { proxy: true, maxAge: 'long' }],
  ])('X02: refuses %s', async (_, locations, options) => {
    const { run } = await place();
    const error = await failureOf(run(serveVerb, { locations: [...locations], ...options }));
    expect(error.code).toBe('USAGE');
  });
});
