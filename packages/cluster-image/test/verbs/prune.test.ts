import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { createContext, type Digest } from '@cluster-image/oci';
import { layoutPaths, verifyLayout } from '@cluster-image/storage';
import { describe, expect, test } from 'vitest';
import { isDeliverable } from '../../src/completeness.ts';
import { buildVerb } from '../../src/verbs/build.ts';
import { cacheVerb } from '../../src/verbs/cache.ts';
import { lockVerb } from '../../src/verbs/lock.ts';
import { pruneVerb } from '../../src/verbs/prune.ts';
import { syncVerb } from '../../src/verbs/sync.ts';
import { pullVerb, saveVerb } from '../../src/verbs/transfer.ts';
import { verifyVerb } from '../../src/verbs/verify.ts';
import { clusterFiles } from '../cluster-files.ts';
import { putFiles } from '../context.ts';
import { type Desk, desk, image, index } from '../desk.ts';
import { failureOf } from '../failure.ts';

/** A desk with a locked context of these images. */
async function context(images: readonly string[], here?: Desk, at = 'cluster'): Promise<Desk> {
  const there = here ?? (await desk());
  await putFiles(there.root, clusterFiles(there.host, images, at));
  await there.run(lockVerb, { context: at, plainHttp: [there.host] });
  return there;
}

async function sizeOfBlobs({ store }: Desk): Promise<number> {
  return (await verifyLayout(store.registry, { sparse: true })).blobs;
}

async function expectSound(here: Desk): Promise<void> {
  expect((await here.run(verifyVerb, {})).problems).toEqual([]);
}

describe('prune', () => {
  test('lets go of what was cached for a lockfile when that is gone, and says so', async () => {
    const here = await context(['acme/app:1', 'acme/index:1']);
    const plainHttp = [here.host];
    await here.run(cacheVerb, { context: 'cluster', plainHttp });
    const before = await sizeOfBlobs(here);
    const kept = await here.run(pruneVerb, { grace: '0' });
    expect(kept).toMatchObject({ blobs: 0, released: [], problems: [], dryRun: false });
    expect(await sizeOfBlobs(here)).toBe(before);
    await rm(here.path('cluster'), { recursive: true });
    expect(await here.run(pruneVerb, {})).toMatchObject({ blobs: 0, released: [] });
    const told = await here.run(pruneVerb, { grace: '0', dryRun: true });
    expect(await sizeOfBlobs(here)).toBe(before);
    const pruned = await here.run(pruneVerb, { grace: '0' });
    expect(pruned).toEqual({ ...told, dryRun: false });
    expect(pruned).toMatchObject({
      blobs: before,
      released: [here.path('cluster/cluster-image.lock.json')],
    });
    expect(await readdir(here.path('.store'))).toEqual([]);
    expect(pruneVerb.lines(pruned)).toEqual([
      `let go of ${here.path('cluster/cluster-image.lock.json')}`,
      expect.stringMatching(/\.store: \S+ kB in \d+ blobs were freed, \S+ kB are left$/),
    ]);
    expect(pruneVerb.lines(told)).toEqual([
      expect.stringMatching(/^would let go of /),
      expect.stringMatching(/blobs would be freed/),
    ]);
  });

  test('keeps for one project what another has let go of', async () => {
    const here = await context(['acme/app:1']);
    await context(['acme/app:1', 'acme/index:1'], here, 'other');
    const plainHttp = [here.host];
    await here.run(cacheVerb, { context: 'cluster', plainHttp });
    const first = await sizeOfBlobs(here);
    await here.run(cacheVerb, { context: 'other', plainHttp });
    await rm(here.path('other'), { recursive: true });
    await here.run(pruneVerb, { grace: '0' });
    expect(await sizeOfBlobs(here)).toBe(first);
    expect(await here.run(cacheVerb, { context: 'cluster', plainHttp })).toMatchObject({
      fetched: 0,
    });
    await expectSound(here);
  });

  test('keeps what the lockfile pins for every platform, and what it pinned a while ago', async () => {
    const here = await context(['acme/index:1']);
    const plainHttp = [here.host];
    const platform = ['linux/amd64', 'linux/arm64'];
    await here.run(lockVerb, { context: 'cluster', platform, plainHttp });
    for (const each of platform) {
      await here.run(cacheVerb, { context: 'cluster', platform: [each], plainHttp });
    }
    await here.run(pruneVerb, { grace: '0' });
    for (const { digest } of index.manifests) {
      expect(await here.store.registry.manifest(`${here.host}/acme/index`, digest)).toBeDefined();
    }
    await putFiles(here.root, { 'cluster/manifests/0.yaml': '' });
    await here.run(lockVerb, { context: 'cluster', plainHttp });
    await here.run(cacheVerb, { context: 'cluster', plainHttp });
    await here.run(pruneVerb, { grace: '1h' });
    expect(await sizeOfBlobs(here)).toBeGreaterThan(0);
    await new Promise((resolve) => setTimeout(resolve, 5));
    await here.run(cacheVerb, { context: 'cluster', plainHttp });
    await here.run(pruneVerb, { grace: '0' });
    expect(await sizeOfBlobs(here)).toBe(0);
  });

  test('keeps what was pulled, and what was built with all it needs to be delivered', async () => {
    const here = await context(['acme/app:1']);
    const plainHttp = [here.host];
    await here.run(pullVerb, { from: `${here.host}/acme/index:1`, plainHttp });
    await here.run(buildVerb, { context: 'cluster', tag: 'x.io/c:1', thin: 'thin', plainHttp });
    await rm(here.path('cluster'), { recursive: true });
    const { released } = await here.run(pruneVerb, { grace: '0' });
    expect(released).toEqual([here.path('cluster/cluster-image.lock.json')]);
    expect(await isDeliverable('thin', { ...none, store: '.store' }, here.environment)).toBe(true);
    await here.run(saveVerb, { from: 'x.io/c:1', to: 'oci:saved' });
    expect(await here.run(verifyVerb, { location: `${here.host}/acme/index:1` })).toMatchObject({
      problems: [],
      manifests: 3,
    });
    await here.run(pruneVerb, { grace: '0', unusedFor: '0' });
    expect(await readdir(here.path('.store'))).toEqual([]);
  });

  test('keeps to a limit, that of the environment as well, and tells what it cannot', async () => {
    const here = await desk();
    const plainHttp = [here.host];
    for (const name of ['app', 'index']) {
      await here.run(pullVerb, { from: `${here.host}/acme/${name}:1`, plainHttp });
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const { size } = await here.run(pruneVerb, { storeLimit: '1' });
    expect(here.events.at(-1)).toMatchObject({
      type: 'warning',
      message: expect.stringMatching(/\.store takes \S+ kB, over its limit of 1 B$/),
      hint: expect.stringContaining('the last 24h'),
    });
    expect(await here.run(pruneVerb, { grace: '0', storeLimit: '1GB' })).toMatchObject({
      released: [],
    });
    const variables = { ...here.environment.variables, CLUSTER_IMAGE_STORE_LIMIT: `${size - 1}` };
    const pruned = await pruneVerb.run(
      pruneVerb.options.parse({ grace: '0' }),
      { ...here.environment, variables },
      createContext(),
    );
    expect(pruned.released).toEqual([`${here.host}/acme/app:1`]);
    expect(pruned.size).toBeLessThan(size);
    await expectSound(here);
  });

  test('waits for whoever uses the store', async () => {
    const here = await desk();
    await here.run(pullVerb, { from: `${here.host}/acme/app:1`, plainHttp: [here.host] });
    const order: string[] = [];
    let pruned: Promise<unknown> | undefined;
    await here.within({}, async () => {
      pruned = here.run(pruneVerb, { grace: '0', unusedFor: '0' }).then(() => order.push('pruned'));
      await new Promise((resolve) => setTimeout(resolve, 200));
      expect(await sizeOfBlobs(here)).toBeGreaterThan(0);
      order.push('used');
    });
    await pruned;
    expect(order).toEqual(['used', 'pruned']);
    expect(await sizeOfBlobs(here)).toBe(0);
  });

  test.each([
    ['grace', 'soon'],
    ['grace', '-1h'],
    ['unusedFor', '7'],
    ['storeLimit', 'much'],
    ['storeLimit', '-1GB'],
  ])('does not take --%s %s', (option, text) => {
    expect(pruneVerb.options.safeParse({ [option]: text }).success).toBe(false);
  });

  test('does not take a limit of the environment that is none', async () => {
    const here = await desk();
    const variables = { ...here.environment.variables, CLUSTER_IMAGE_STORE_LIMIT: 'much' };
    const run = pruneVerb.run(
      pruneVerb.options.parse({}),
      { ...here.environment, variables },
      createContext(),
    );
    expect((await failureOf(run)).code).toBe('USAGE');
  });
});

const none = { jobs: 1, plainHttp: [], insecure: [] };

describe('one store and several projects', () => {
  test('hold each blob once, registries made of it included', async () => {
    const here = await context(['acme/app:1']);
    const plainHttp = [here.host];
    await context(['acme/app:1', 'acme/index:1'], here, 'other');
    for (const [from, to] of [
      ['cluster', 'registry:one'],
      ['other', 'registry:two'],
    ] as const) {
      await here.run(syncVerb, { from, to, plainHttp });
    }
    const inodes = async (digest: Digest): Promise<readonly number[]> => {
      const path = layoutPaths.blob(digest);
      const roots = ['.store', 'one', 'two'].map((root) => here.path(root, path));
      return Promise.all(roots.map(async (path) => (await stat(path)).ino));
    };
    for (const digest of image.blobs.keys()) {
      expect(new Set(await inodes(digest)).size).toBe(1);
    }
    await rm(here.path('cluster'), { recursive: true });
    await rm(here.path('other'), { recursive: true });
    await here.run(pruneVerb, { grace: '0' });
    expect(await sizeOfBlobs(here)).toBe(0);
    for (const root of ['one', 'two']) {
      const location = `registry:${root}`;
      expect((await here.run(verifyVerb, { location })).problems).toEqual([]);
    }
  });
});

describe('a store', () => {
  test('that cannot be written is told, with the way out, by what has to write it only', async () => {
    const here = await context(['acme/app:1']);
    await putFiles(here.root, { file: 'x' });
    const plainHttp = [here.host];
    const store = 'file/store';
    await here.run(lockVerb, { context: 'cluster', store, plainHttp });
    for (const run of [
      () => here.run(cacheVerb, { context: 'cluster', store, plainHttp }),
      () => here.run(pullVerb, { from: `${here.host}/acme/app:1`, store, plainHttp }),
    ]) {
      const error = await failureOf(run());
      expect([error.code, error.message]).toEqual([
        'FILE_SYSTEM',
        expect.stringContaining(here.path(store)),
      ]);
      expect(error.hint).toContain('--store or CLUSTER_IMAGE_STORE');
    }
    expect(await here.run(pruneVerb, { store, grace: '0' })).toMatchObject({ freed: 0, size: 0 });
  });

  test.runIf(existsSync('/dev/shm'))(
    'on another file system than a registry directory gives it copies',
    async () => {
      const here = await context(['acme/app:1']);
      const store = await mkdtemp('/dev/shm/cluster-image-');
      try {
        await here.run(syncVerb, {
          from: 'cluster',
          to: 'registry:out',
          store,
          plainHttp: [here.host],
        });
      } finally {
        await rm(store, { recursive: true });
      }
      expect((await here.run(verifyVerb, { location: 'registry:out' })).problems).toEqual([]);
    },
  );
});
