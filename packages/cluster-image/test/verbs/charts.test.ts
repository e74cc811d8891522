import { readFile, rm } from 'node:fs/promises';
import { digestOf, parseReference } from '@cluster-image/oci';
import { directory, distributionLayout, verifyLayout } from '@cluster-image/storage';
import { imageFixture } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { lockfileName } from '../../src/lock/lockfile.ts';
import { buildVerb } from '../../src/verbs/build.ts';
import { cacheVerb } from '../../src/verbs/cache.ts';
import { discoverVerb } from '../../src/verbs/discover.ts';
import { inspectVerb } from '../../src/verbs/inspect.ts';
import { lockVerb } from '../../src/verbs/lock.ts';
import { pruneVerb } from '../../src/verbs/prune.ts';
import { syncVerb } from '../../src/verbs/sync.ts';
import { verifyVerb } from '../../src/verbs/verify.ts';
import {
  type ChartServer,
  chartOf,
  chartServer,
  indexOf,
  pushChart,
  serveCharts,
} from '../chart-server.ts';
import { putImages } from '../cluster-files.ts';
import { putFiles } from '../context.ts';
import { failureOf } from '../failure.ts';
import { type Place, place } from '../place.ts';

const web = imageFixture({ seed: 'web' });
const db = imageFixture({ seed: 'db' });

interface Charts extends Place {
  readonly server: ChartServer;
  /** The options of every verb. */
  readonly options: { readonly context: string; readonly plainHttp: string[] };
  configure(charts: object): Promise<void>;
  lockfile(): Promise<string>;
}

/**
 * A context with two charts from repositories, one on a web server and one in a registry, each with a
 * pod of an image; all on one host.
 */
async function charts(): Promise<Charts> {
  const server = await chartServer();
  const { host } = server;
  await putImages(server, { 'acme/web:1': web, 'acme/db:1': db });
  await serveCharts(server, 'web', ['1.0.0', '1.1.0'], `${host}/acme/web:1`);
  await pushDb(server, '2.0.0');
  const here = await place({
    'cluster/Kubefile': 'FROM scratch\nCOPY charts ./charts\nCOPY registry ./registry\n',
  });
  const configure = (more: object): Promise<void> =>
    putFiles(here.root, { 'cluster/cluster-image.json': JSON.stringify({ charts: more }) });
  await configure(bothOf(server));
  return {
    ...here,
    server,
    options: { context: 'cluster', plainHttp: [host] },
    configure,
    lockfile: () => readFile(here.path('cluster', lockfileName), 'utf8'),
  };
}

function bothOf({ url, host }: Pick<ChartServer, 'url' | 'host'>) {
  return {
    'charts/web.tgz': { repository: url, version: '1.x' },
    'charts/database.tgz': { repository: `oci://${host}/charts`, name: 'db' },
  };
}

async function pushDb(server: ChartServer, version: string) {
  const archive = await chartOf('db', version, `${server.host}/acme/db:1`);
  return pushChart(server.registry, { repository: 'charts/db', tag: version, archive });
}

describe('charts of repositories', () => {
  test('are pinned with the images that they need', async () => {
    const { run, options, server, lockfile } = await charts();
    const locked = await run(lockVerb, options);
    const archives = [await chartOf('db', '2.0.0', `${server.host}/acme/db:1`)];
    archives.push(await chartOf('web', '1.1.0', `${server.host}/acme/web:1`));
    const [dbDigest, webDigest] = archives.map((archive) => digestOf(archive));
    const pushed = await server.registry.resolve('charts/db', '2.0.0');
    expect(lockVerb.lines(locked).at(-1)).toBe(`${lockfileName} pins 2 images and 2 charts`);
    expect(locked.changes).toEqual([
      { reference: `${server.host}/acme/db:1`, to: db.root.digest },
      { reference: `${server.host}/acme/web:1`, to: web.root.digest },
      { reference: 'charts/database.tgz', to: `2.0.0@${dbDigest}` },
      { reference: 'charts/web.tgz', to: `1.1.0@${webDigest}` },
    ]);
    expect(JSON.parse(await lockfile()).charts).toEqual({
      'charts/database.tgz': {
        repository: `oci://${server.host}/charts`,
        name: 'db',
        version: '2.0.0',
        digest: dbDigest,
        size: archives[0]?.length,
        manifest: pushed?.digest,
      },
      'charts/web.tgz': {
        repository: server.url,
        name: 'web',
        version: '1.1.0',
        digest: webDigest,
        size: archives[1]?.length,
      },
    });
  });

  test('are asked for once: what is locked and here needs nobody', async () => {
    const { run, options, server, lockfile } = await charts();
    await run(lockVerb, options);
    const before = [await lockfile(), server.log.length];
    await serveCharts(server, 'web', ['1.0.0', '1.1.0', '1.2.0']);
    await pushDb(server, '2.1.0');
    expect((await run(lockVerb, options)).changes).toEqual([]);
    await run(lockVerb, { ...options, check: true });
    await run(discoverVerb, options);
    expect([await lockfile(), server.log.length]).toEqual(before);
    await run(cacheVerb, options);
    const cached = server.log.length;
    await run(cacheVerb, options);
    await run(buildVerb, { ...options, tag: 'acme/cluster:1' });
    expect(server.log.length).toBe(cached);
  });

  test('move with --update only: all, or those of a path or name', async () => {
    const { run, options, server } = await charts();
    await run(lockVerb, options);
    await serveCharts(server, 'web', ['1.1.0', '1.2.0'], `${server.host}/acme/web:1`);
    await pushDb(server, '2.1.0');
    const updated = async (...references: string[]) => {
      const { changes } = await run(lockVerb, { ...options, update: true, references });
      return changes.map(({ reference, to }) => [reference, to?.replace(/@.*/, '')]);
    };
    expect(await updated('db')).toEqual([['charts/database.tgz', '2.1.0']]);
    expect(await updated('charts/database.tgz')).toEqual([]);
    expect(await updated()).toEqual([['charts/web.tgz', '1.2.0']]);
    const error = await failureOf(updated('charts/web'));
    expect(error.code).toBe('USAGE');
  });

  test('are pinned anew where the pin is not what the configuration says', async () => {
    const { run, options, server, configure, lockfile } = await charts();
    await run(lockVerb, options);
    const { 'charts/web.tgz': own } = bothOf(server);
    await configure({ 'charts/web.tgz': { ...own, version: '1.0.x' } });
    const error = await failureOf(run(lockVerb, { ...options, check: true }));
    expect([error.code, error.message]).toEqual([
      'LOCK_DRIFT',
      `${lockfileName} does not pin 1 of the context's charts:\n  charts/web.tgz  (web 1.0.x of ${server.url}; pinned to 1.1.0)`,
    ]);
    const built = await failureOf(run(buildVerb, { ...options, tag: 'a:1' }));
    expect(built.code).toBe('LOCK_DRIFT');
    await run(lockVerb, options);
    const { charts: pins } = JSON.parse(await lockfile());
    expect(Object.keys(pins)).toEqual(['charts/web.tgz']);
    expect(pins['charts/web.tgz'].version).toBe('1.0.0');
  });

  test('that nobody has any more are drift, and leave a lockfile as it was before them', async () => {
    const { run, options, server, configure, lockfile } = await charts();
    await configure({});
    await run(lockVerb, options);
    const without = await lockfile();
    expect(without).not.toContain('charts');
    await configure(bothOf(server));
    await run(lockVerb, options);
    await configure({});
    const error = await failureOf(run(lockVerb, { ...options, check: true }));
    expect([error.code, error.message]).toEqual([
      'LOCK_DRIFT',
      `${lockfileName} pins what nothing refers to any more:
  ${server.host}/acme/db:1
  ${server.host}/acme/web:1
  charts/database.tgz
  charts/web.tgz`,
    ]);
    await run(lockVerb, options);
    expect(await lockfile()).toBe(without);
  });

  test('are found without a lockfile too, which is told', async () => {
    const { run, options, server, events } = await charts();
    const { images, unresolved } = await run(discoverVerb, options);
    expect(images.map(({ reference, origins }) => [reference, origins[0]?.file])).toEqual([
      [`${server.host}/acme/db:1`, 'charts/database.tgz'],
      [`${server.host}/acme/web:1`, 'charts/web.tgz'],
    ]);
    expect(unresolved).toEqual([]);
    expect(events.filter(({ type }) => type === 'warning')).toEqual([
      {
        type: 'warning',
        message: `charts/database.tgz is not pinned, and is db 2.0.0 of oci://${server.host}/charts for now`,
        hint: '`cluster-image lock` pins it.',
      },
      {
        type: 'warning',
        message: `charts/web.tgz is not pinned, and is web 1.1.0 of ${server.url} for now`,
        hint: '`cluster-image lock` pins it.',
      },
    ]);
  });

  test('are in the image as if they lay in the context', async () => {
    const here = await charts();
    const { run, options, server } = here;
    await run(lockVerb, options);
    const remote = await run(buildVerb, { ...options, tag: 'acme/cluster:1' });
    const files = await filesIn(here, 'acme/cluster:1');
    expect(files.filter((path) => path.startsWith('charts'))).toEqual([
      'charts',
      'charts/database.tgz',
      'charts/web.tgz',
    ]);
    const committed = {
      'charts/database.tgz': await chartOf('db', '2.0.0', `${server.host}/acme/db:1`),
      'charts/web.tgz': await chartOf('web', '1.1.0', `${server.host}/acme/web:1`),
    };
    await putFiles(here.path('cluster'), { ...committed, 'cluster-image.json': '{}' });
    await run(lockVerb, options);
    const local = await run(buildVerb, { ...options, tag: 'acme/cluster:2' });
    expect(remote.digest).toBe(local.digest);
  });

  test('are fetched by what is pinned on a machine that has never seen them', async () => {
    const { run, options, server } = await charts();
    await run(lockVerb, options);
    const first = await run(buildVerb, { ...options, tag: 'acme/cluster:1' });
    await serveCharts(server, 'web', ['1.1.0', '1.2.0'], `${server.host}/acme/web:1`);
    await pushDb(server, '2.1.0');
    const again = await run(buildVerb, { ...options, tag: 'acme/cluster:1', store: 'other' });
    expect(again.digest).toBe(first.digest);
  });

  test('go straight to the target where nothing is to be kept here', async () => {
    const { run, options, server, path } = await charts();
    await run(lockVerb, options);
    const first = await run(buildVerb, { ...options, tag: 'acme/cluster:1' });
    const { host } = server;
    const output = [`docker://${host}/acme/cluster:1`];
    const streamed = await run(buildVerb, { ...options, noStore: true, output, store: 'other' });
    expect(streamed.digest).toBe(first.digest);
    const kept = await Array.fromAsync(directory(path('other')).entries());
    expect(kept.filter(({ type }) => type === 'file')).toEqual([]);
  });

  test.each(['charts/web.tgz', 'charts/database.tgz'])(
    'L02 are told with both digests where that of %s was edited',
    async (path) => {
      const { run, options, lockfile, root } = await charts();
      await run(lockVerb, options);
      const text = await lockfile();
      const { digest } = JSON.parse(text).charts[path];
      const other = digestOf(Buffer.from('other'));
      const edited = text.replace(digest, other);
      await putFiles(root, { [`cluster/${lockfileName}`]: edited });
      const error = await failureOf(run(buildVerb, { ...options, tag: 'a:1' }));
      expect(error.code).toBe('DIGEST_MISMATCH');
      expect(error.message).toContain(`is ${digest} now, and ${other} is pinned`);
      expect(await lockfile()).toBe(edited);
    },
  );

  test('of another name or version than was asked for are refused', async () => {
    const { run, options, server, lockfile } = await charts();
    const other = await chartOf('other', '1.1.0');
    await serveCharts(server, 'web', []);
    server.files.set('/stable/charts/web-1.1.0.tgz', other);
    server.files.set('/stable/index.yaml', indexOf({ web: [{ version: '1.1.0' }] }));
    const error = await failureOf(run(lockVerb, options));
    expect([error.code, error.message]).toEqual([
      'INPUT_INVALID',
      'charts/web.tgz: web-1.1.0.tgz calls itself "other" "1.1.0", not web 1.1.0',
    ]);
    await expect(lockfile()).rejects.toThrow('ENOENT');
  });

  test.each([
    ['charts/web.tgz', 'x', 'charts/web.tgz is in the context as well'],
    ['charts', 'x', 'charts is a file'],
  ])('do not lie where the context has %s itself', async (path, text, why) => {
    const { run, options, root, server } = await charts();
    await putFiles(root, { [`cluster/${path}`]: text });
    for (const work of [() => run(lockVerb, options), () => run(discoverVerb, options)]) {
      const error = await failureOf(work());
      expect(error.code).toBe('INPUT_INVALID');
      expect(error.message).toContain(why);
    }
    expect(server.log).toEqual([]);
  });

  test('stay in the store for as long as there is the lockfile', async () => {
    const { run, options, server, path, store } = await charts();
    await run(lockVerb, options);
    await run(cacheVerb, options);
    const asked = server.log.length;
    await run(pruneVerb, { grace: '0m' });
    await run(cacheVerb, options);
    expect(server.log.length).toBe(asked);
    await rm(path('cluster', lockfileName));
    await run(pruneVerb, { grace: '0m' });
    const archive = await chartOf('web', '1.1.0', `${server.host}/acme/web:1`);
    expect(await store.blobs(digestOf(archive), archive.length)).toBeUndefined();
  });

  test('give their images to whatever takes those of a context', async () => {
    const { run, options, server } = await charts();
    await run(lockVerb, options);
    const { plainHttp } = options;
    const synced = await run(syncVerb, { from: 'cluster', to: 'registry:out', plainHttp });
    expect(synced.images.map(({ repository }) => repository)).toEqual(['acme/db', 'acme/web']);
    expect(server.host).toBe(plainHttp[0]);
  });
});

test('a chart that is listed as an image lies in registry/, for every platform', async () => {
  const { run, options, server, configure, root, path } = await charts();
  await configure({});
  const reference = `${server.host}/charts/db:2.0.0`;
  await putFiles(root, { 'cluster/images/shim/charts': `${reference}\n` });
  await rm(path('cluster/Kubefile'));
  await putFiles(root, { 'cluster/Kubefile': 'FROM scratch\nCOPY registry ./registry\n' });
  const both = { ...options, platform: ['linux/amd64', 'linux/arm64'] };
  await run(lockVerb, both);
  await run(buildVerb, { ...both, tag: 'acme/cluster:1' });
  const pushed = await server.registry.resolve('charts/db', '2.0.0');
  await run(syncVerb, { from: 'acme/cluster:1', to: 'registry:out', platform: ['linux/arm64'] });
  const out = distributionLayout(path('out'));
  expect(await out.resolve('charts/db', '2.0.0')).toEqual(pushed);
  expect((await verifyLayout(out, { sparse: false })).problems).toEqual([]);
  for (const location of ['acme/cluster:1', undefined]) {
    expect((await run(verifyVerb, { location })).problems).toEqual([]);
  }
  const [platform] = both.platform;
  const listed = { location: 'acme/cluster:1', images: true, platform: [platform ?? ''] };
  expect((await run(inspectVerb, listed)).images).toEqual([
    { repository: 'charts/db', tag: '2.0.0', digest: pushed?.digest },
  ]);
});

/** The paths in all layers of an image that was built here. */
async function filesIn({ store }: Place, name: string): Promise<readonly string[]> {
  const image = await store.image(parseReference(name));
  const plans = [...(image?.plans.values() ?? [])];
  return plans.flatMap(({ entries }) => entries.map(({ path }) => path)).sort();
}
