import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { openStore } from '@cluster-image/storage';
import { imageFixture } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { buildVerb } from '../../src/verbs/build.ts';
import { cacheVerb } from '../../src/verbs/cache.ts';
import { lockVerb } from '../../src/verbs/lock.ts';
import { serveVerb } from '../../src/verbs/serve.ts';
import { syncVerb } from '../../src/verbs/sync.ts';
import { pullVerb } from '../../src/verbs/transfer.ts';
import { clusterFiles, putImages } from '../cluster-files.ts';
import { putFiles } from '../context.ts';
import { type Desk, desk, image, index } from '../desk.ts';
import { failureOf } from '../failure.ts';
import { place } from '../place.ts';
import { serving } from '../serving.ts';

/** What a registry lists, by its own protocol. */
async function catalog(url: string): Promise<unknown> {
  const response = await fetch(`${url}/v2/_catalog`);
  const listed: unknown = await response.json();
  return listed;
}

/** Whether nobody listens there. */
function isRefused(url: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1');
    const end = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('error', () => end(true));
    socket.once('connect', () => end(false));
  });
}

/** A desk with a context whose images are in the store. */
async function stocked(): Promise<Desk> {
  const here = await desk();
  await putFiles(here.root, clusterFiles(here.host, ['acme/app:1', 'acme/index:1']));
  const options = { context: 'cluster', plainHttp: [here.host] };
  await here.run(lockVerb, options);
  await here.run(cacheVerb, options);
  return here;
}

describe('serve', () => {
  test.each(['cluster', 'built:1', 'oci:thin', 'docker-archive:x.tar', 'registry:dir'])(
    'serves the images of %s, so that others pull them',
    async (location) => {
      const here = await stocked();
      const build = { context: 'cluster', tag: 'built:1', thin: 'thin' };
      if (location === 'registry:dir') {
        await here.run(syncVerb, { from: 'cluster', to: 'registry:dir' });
      } else if (location !== 'cluster') {
        await here.run(buildVerb, { ...build, output: ['docker-archive:x.tar'] });
      }
      const asked = here.upstream.log.length;
      const server = await serving(here, [location]);
      expect(await catalog(server.url)).toEqual({ repositories: ['acme/app', 'acme/index'] });
      const elsewhere = await place();
      const from = `${server.host}/acme/app:1`;
      const pulled = await elsewhere.run(pullVerb, { from, plainHttp: [server.host] });
      expect([pulled.digest, here.upstream.log.length]).toEqual([image.root.digest, asked]);
      expect(await server.stop()).toEqual({ url: server.url });
    },
  );

  test('tells where it listens, in a file too, and ends when it is interrupted', async () => {
    const here = await stocked();
    const server = await serving(here, ['cluster'], { endpointFile: 'dist/endpoint' });
    expect(server.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    expect(await readFile(here.path('dist/endpoint'), 'utf8')).toBe(`${server.url}\n`);
    // A client that keeps its connection does not keep the server.
    expect((await fetch(`${server.url}/v2/`)).status).toBe(200);
    await server.stop();
    expect(await isRefused(server.url)).toBe(true);
    expect(serveVerb.lines({ url: server.url })).toEqual([]);
  });

  test('several as one, of which the first counts', async () => {
    const here = await desk();
    const other = imageFixture({ seed: 'of the second' });
    const [one, two] = ['one', 'two'].map((at) => ({
      registry: openStore(here.path(at)).registry,
    }));
    if (!one || !two) throw new Error('no registries');
    await putImages(one, { 'acme/app:1': image });
    await putImages(two, { 'acme/app:1': other, 'acme/app:2': other, 'acme/index:1': index });
    const server = await serving(here, ['registry:one', 'registry:two']);
    const digest = async (name: string): Promise<unknown> => {
      const answer = await fetch(`${server.url}/v2/acme/${name}`, { method: 'HEAD' });
      return answer.headers.get('docker-content-digest');
    };
    expect(await digest('app/manifests/1')).toBe(image.root.digest);
    expect(await digest('app/manifests/2')).toBe(other.root.digest);
    expect(await digest('index/manifests/1')).toBe(index.root.digest);
    expect(await catalog(server.url)).toEqual({ repositories: ['acme/app', 'acme/index'] });
    const written = await fetch(`${server.url}/v2/acme/app/manifests/3`, { method: 'PUT' });
    expect(written.status).toBe(405);
    await server.stop();
  });

  test('a remote registry, or what is below a prefix of it', async () => {
    const here = await desk();
    const server = await serving(here, [`docker://${here.host}/acme`], { plainHttp: [here.host] });
    expect(await catalog(server.url)).toEqual({ repositories: ['app', 'index'] });
    const answer = await fetch(`${server.url}/v2/app/manifests/1`, { method: 'HEAD' });
    expect(answer.headers.get('docker-content-digest')).toBe(image.root.digest);
    await server.stop();
  });

  test('a context for the platform that is its own', async () => {
    const here = await desk();
    await putFiles(here.root, {
      ...clusterFiles(here.host, ['acme/index:1']),
      'cluster/cluster-image.json': '{"platforms": ["linux/arm64"]}',
    });
    const options = { context: 'cluster', plainHttp: [here.host] };
    await here.run(lockVerb, options);
    await here.run(cacheVerb, options);
    const server = await serving(here, ['cluster']);
    const answer = await fetch(`${server.url}/v2/acme/index/manifests/1`, { method: 'HEAD' });
    expect(answer.headers.get('docker-content-digest')).toBe(index.manifests[1]?.digest);
    await server.stop();
  });

  test('nothing once it was interrupted', async () => {
    const here = await stocked();
    const run = here.run(serveVerb, { locations: ['cluster'] }, AbortSignal.abort());
    expect((await failureOf(run)).code).toBe('ABORTED');
    expect(here.events.some(({ type }) => type === 'listening')).toBe(false);
  });

  test('nothing where its endpoint file cannot be written', async () => {
    const here = await stocked();
    const free = await serving(here, ['cluster']);
    await free.stop();
    const port = Number(new URL(free.url).port);
    const options = { locations: ['cluster'], port, endpointFile: 'nx.json/endpoint' };
    expect((await failureOf(here.run(serveVerb, options))).code).toBe('FILE_SYSTEM');
    expect(await isRefused(free.url)).toBe(true);
  });

  test('on the port that is asked for, unless that is taken', async () => {
    const here = await stocked();
    const server = await serving(here, ['cluster']);
    const port = Number(new URL(server.url).port);
    const error = await failureOf(here.run(serveVerb, { locations: ['cluster'], port }));
    expect([error.code, error.hint]).toEqual(['NETWORK', expect.stringContaining('--port')]);
    await server.stop();
    const again = await serving(here, ['cluster'], { port });
    expect(again.url).toBe(server.url);
    await again.stop();
    expect(serveVerb.options.safeParse({ locations: ['x'], port: 65536 }).success).toBe(false);
  });
});

describe('serve refuses', () => {
  test.each([
    ['nowhere', 'NOT_FOUND'],
    ['registry:nowhere', 'NOT_FOUND'],
    ['oci:nowhere', 'NOT_FOUND'],
    ['docker:x', 'USAGE'],
    ['docker://me:canary@a.io/b', 'USAGE'],
    ['HOST/acme/empty:1', 'INPUT_INVALID'],
    ['HOST/acme/app:1', 'ARCHIVE_INVALID'],
    ['HOST/acme/index:1', 'USAGE'],
  ])('%s, for it is no registry of images', async (location, code) => {
    const here = await desk();
    await putImages(here.upstream, { 'acme/empty:1': imageFixture({ layers: [] }) });
    const named = location.replace('HOST', here.host);
    const plainHttp = [here.host];
    if (named !== location) await here.run(pullVerb, { from: named, plainHttp });
    const error = await failureOf(here.run(serveVerb, { locations: [named], plainHttp }));
    expect([error.code, error.message]).toEqual([code, expect.not.stringContaining('canary')]);
  });

  test('a context that is not locked, or for several platforms', async () => {
    const here = await desk();
    await putFiles(here.root, clusterFiles(here.host, ['acme/app:1']));
    const locations = ['cluster'];
    expect((await failureOf(here.run(serveVerb, { locations }))).code).toBe('LOCK_DRIFT');
    const platform = ['linux/amd64', 'linux/arm64'];
    expect((await failureOf(here.run(serveVerb, { locations, platform }))).code).toBe('USAGE');
  });
});
