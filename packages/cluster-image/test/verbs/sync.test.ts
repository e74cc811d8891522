import { rm } from 'node:fs/promises';
import { distributionLayout, verifyLayout } from '@cluster-image/storage';
import { faultRegistry } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { buildVerb } from '../../src/verbs/build.ts';
import { lockVerb } from '../../src/verbs/lock.ts';
import { type SyncedRegistry, syncVerb } from '../../src/verbs/sync.ts';
import { clusterFiles } from '../cluster-files.ts';
import { putFiles } from '../context.ts';
import { type Desk, desk, image, index } from '../desk.ts';
import { failureOf } from '../failure.ts';
import { putLists, putSigned, sbom, image as signedImage } from '../sync/signed.ts';

async function locked(): Promise<Desk> {
  const here = await desk();
  await putFiles(here.root, clusterFiles(here.host, ['acme/app:1', 'acme/index:1']));
  await here.run(lockVerb, { context: 'cluster', plainHttp: [here.host] });
  return here;
}

/** What was brought, without how. */
function brought({ images }: SyncedRegistry): readonly unknown[] {
  return images.map(({ repository, tag, digest }) => ({ repository, tag, digest }));
}

/** The images of the context, as a cluster asks for them. */
const images = [
  { repository: 'acme/app', tag: '1', digest: image.root.digest },
  { repository: 'acme/index', tag: '1', digest: index.manifests[0]?.digest },
];

describe('sync brings every image', () => {
  test('of a context into a directory, fetching what the store lacks', async () => {
    const here = await locked();
    const options = { from: 'cluster', to: 'registry:out', plainHttp: [here.host] };
    const synced = await here.run(syncVerb, options);
    const state = { state: 'copied', bytes: 0 };
    expect(synced).toEqual({
      from: 'cluster',
      to: 'registry:out',
      // Nothing of them had to move: the directory has links to what the store has.
      images: images.map((image) => ({ ...image, ...state })),
      counts: { copied: 2, present: 0, skipped: 0, failed: 0 },
      about: { copied: 0, present: 0 },
      bytes: 0,
    });
    expect(syncVerb.lines(synced)).toEqual([
      '2 images are in registry:out: 2 copied, 0 were there; 0 B moved',
    ]);
    const layout = distributionLayout(here.path('out'));
    const { problems, repositories, manifests } = await verifyLayout(layout, { sparse: false });
    expect([problems, repositories, manifests]).toEqual([[], 2, 2]);
    // Whatever is there already is not asked for.
    await rm(here.path('.store'), { recursive: true });
    await here.run(syncVerb, options);
    const asked = here.upstream.log.length;
    await here.run(syncVerb, options);
    expect(here.upstream.log.length).toBe(asked);
  });

  test('of a context by names with hosts, where that is asked', async () => {
    const here = await locked();
    const options = { to: 'registry:out', keepHosts: true, plainHttp: [here.host] };
    const synced = await here.run(syncVerb, { from: 'cluster', ...options });
    const host = here.host.replace(':', '_');
    expect(brought(synced)).toEqual(
      images.map((image) => ({ ...image, repository: `${host}/${image.repository}` })),
    );
    const again = here.run(syncVerb, { ...options, from: 'registry:out', to: 'registry:other' });
    expect(await failureOf(again)).toMatchObject({ code: 'USAGE' });
  });

  test.each(['cluster', 'built:1', 'oci-archive:x.tar', 'registry:dir'])(
    'of %s into a remote registry, below a prefix',
    async (from) => {
      const here = await locked();
      const plainHttp = [here.host];
      if (from === 'registry:dir') {
        await here.run(syncVerb, { from: 'cluster', to: from, plainHttp });
      } else if (from !== 'cluster') {
        const output = ['oci-archive:x.tar'];
        await here.run(buildVerb, { context: 'cluster', tag: 'built:1', output, plainHttp });
      }
      const target = await faultRegistry();
      const to = `docker://${target.host}/below/it`;
      const options = { from, to, plainHttp: [here.host, target.host] };
      expect(brought(await here.run(syncVerb, options))).toEqual(images);
      for (const { repository, tag, digest } of images) {
        const found = await target.registry.resolve(`below/it/${repository}`, tag);
        expect(found?.digest).toBe(digest);
      }
      const puts = (): number => target.log.filter(({ method }) => /PUT|POST/.test(method)).length;
      const before = puts();
      await here.run(syncVerb, options);
      expect(puts()).toBe(before);
    },
  );

  test('of a remote registry, indexes whole', async () => {
    const here = await desk();
    const options = { from: `docker://${here.host}`, to: 'registry:out', plainHttp: [here.host] };
    const synced = await here.run(syncVerb, options);
    expect(brought(synced)).toEqual([
      { repository: 'acme/app', tag: '1', digest: image.root.digest },
      { repository: 'acme/index', tag: '1', digest: index.root.digest },
    ]);
    const layout = distributionLayout(here.path('out'));
    const report = await verifyLayout(layout, { sparse: false });
    expect([report.problems, report.manifests]).toEqual([[], 4]);
  });

  test('of a repository taken for a prefix, which has none, with a warning', async () => {
    const here = await desk();
    const from = `docker://${here.host}/acme/app`;
    const options = { to: 'registry:out', plainHttp: [here.host] };
    const synced = await here.run(syncVerb, { from, ...options });
    expect([synced.images, syncVerb.failed?.(synced)]).toEqual([[], false]);
    const warnings = here.events.flatMap((event) => (event.type === 'warning' ? [event.hint] : []));
    expect(warnings).toEqual([expect.stringContaining('--only')]);
    const only = { from: `docker://${here.host}`, only: ['acme/app'] };
    expect((await here.run(syncVerb, { ...only, ...options })).counts.copied).toBe(1);
  });

  test('that there is, and tells of the others', async () => {
    const rules = [
      { match: { kind: 'blob' as const, repository: 'acme/index' }, fault: { corrupt: 3 } },
    ];
    const here = await desk({ rules });
    const options = { from: `docker://${here.host}`, to: 'registry:out', plainHttp: [here.host] };
    const synced = await here.run(syncVerb, options);
    expect(syncVerb.failed?.(synced)).toBe(true);
    const [, failed] = synced.images;
    expect(failed).toMatchObject({ tag: '1', state: 'failed', code: 'DIGEST_MISMATCH' });
    const lines = syncVerb.lines(synced);
    expect(lines).toHaveLength(4);
    expect(lines[0]).toMatch(/^failed acme\/index:1: /);
    expect(lines.slice(1)).toEqual([
      `  ${failed?.hint}`,
      // What was damaged moved as often as it was asked for.
      expect.stringMatching(/^1 image is in registry:out: 1 copied, 0 were there; .* moved$/),
      '1 failed; run it again, what is there is not brought again',
    ]);
    const layout = distributionLayout(here.path('out'));
    expect((await layout.resolve('acme/app', '1'))?.digest).toBe(image.root.digest);
    expect(await layout.resolve('acme/index', '1')).toBeUndefined();
    expect((await verifyLayout(layout, { sparse: false })).problems).toEqual([]);
    const states = here.events.flatMap((event) =>
      event.type === 'image' ? [`${event.reference} ${event.state}`] : [],
    );
    expect(states.sort()).toEqual([
      'acme/app:1 done',
      'acme/app:1 start',
      'acme/index:1 failed',
      'acme/index:1 start',
    ]);
  });
});

describe('sync --all', () => {
  test('brings of a context the indexes that its references mean, whatever its platforms', async () => {
    const here = await desk();
    await putFiles(here.root, {
      ...clusterFiles(here.host, ['acme/index:1']),
      'cluster/cluster-image.json': '{"platforms":["linux/amd64","linux/arm64"]}',
    });
    const plainHttp = [here.host];
    await here.run(lockVerb, { context: 'cluster', plainHttp });
    const options = { from: 'cluster', to: 'registry:out', plainHttp };
    const error = await failureOf(here.run(syncVerb, options));
    expect([error.code, error.hint]).toEqual(['USAGE', expect.stringContaining('--all')]);
    const synced = await here.run(syncVerb, { ...options, all: true });
    expect(brought(synced)).toEqual([
      { repository: 'acme/index', tag: '1', digest: index.root.digest },
    ]);
    const layout = distributionLayout(here.path('out'));
    const report = await verifyLayout(layout, { sparse: false });
    expect([report.problems, report.manifests]).toEqual([[], 3]);
  });

  test('of one platform that is locked brings the others too', async () => {
    const here = await locked();
    const options = { from: 'cluster', to: 'registry:out', plainHttp: [here.host] };
    await here.run(syncVerb, options);
    await here.run(syncVerb, { ...options, all: true });
    const layout = distributionLayout(here.path('out'));
    expect((await layout.resolve('acme/index', '1'))?.digest).toBe(index.root.digest);
    for (const { digest } of index.root.manifests) {
      expect(await layout.manifest('acme/index', digest)).toBeDefined();
    }
  });
});

describe('sync --referrers', () => {
  test('brings them between prefixes of registries, which is one under many', async () => {
    const [source, target] = [await faultRegistry(), await faultRegistry()];
    const here = await desk();
    await putSigned(source.registry);
    await putLists(source.registry);
    const plainHttp = [source.host, target.host];
    const out = `docker://${target.host}/mirror`;
    const from = `docker://${source.host}`;
    await here.run(syncVerb, { from, to: out, plainHttp, referrers: true, only: ['app:1'] });
    const back = { from: out, to: 'registry:out', plainHttp, referrers: true };
    const synced = await here.run(syncVerb, back);
    expect(synced.about).toEqual({ copied: 3, present: 0 });
    expect(syncVerb.lines(synced)[1]).toBe('3 manifests about them: 3 copied, 0 were there');
    const layout = distributionLayout(here.path('out'));
    const [found] = await Array.fromAsync(layout.referrers('app', signedImage.root.digest));
    expect(found?.digest).toBe(sbom.digest);
    expect((await verifyLayout(layout, { sparse: false })).problems).toEqual([]);
  });

  test('is for no context, which is told before anything is fetched', async () => {
    const here = await locked();
    const asked = here.upstream.log.length;
    const options = { from: 'cluster', to: 'registry:out', plainHttp: [here.host] };
    const error = await failureOf(here.run(syncVerb, { ...options, referrers: true }));
    expect([error.code, here.upstream.log.length]).toEqual(['USAGE', asked]);
  });
});

describe('sync --platform', () => {
  test('chooses the images of one at a registry', async () => {
    const here = await desk();
    const from = `docker://${here.host}`;
    const options = { from, to: 'registry:out', plainHttp: [here.host] };
    const synced = await here.run(syncVerb, { ...options, platform: ['linux/arm64'] });
    expect(brought(synced)[1]).toMatchObject({ digest: index.root.manifests[1]?.digest });
  });

  test.each([
    { platform: ['linux/arm64', 'linux/amd64'] },
    { platform: ['linux/arm64'], all: true },
    { only: [''] },
    { except: ['a@b'] },
  ])('that says nothing is USAGE: %j', async (given) => {
    const here = await desk();
    const from = `docker://${here.host}`;
    const options = { from, to: 'registry:out', plainHttp: [here.host], ...given };
    const error = await failureOf(here.run(syncVerb, options));
    expect([error.code, here.upstream.log]).toEqual(['USAGE', []]);
  });
});

describe('sync refuses, before it asks anybody', () => {
  test.each([
    ['cluster', 'out'],
    ['cluster', 'oci:out'],
    ['cluster', 'docker://me:canary@a.io'],
    ['cluster', 'docker:a.io'],
    ['cluster', 'docker://a.io/b:1'],
  ])('%s into %s', async (from, to) => {
    const here = await locked();
    const asked = here.upstream.log.length;
    const error = await failureOf(here.run(syncVerb, { from, to, plainHttp: [here.host] }));
    expect([error.code, here.upstream.log.length]).toEqual(['USAGE', asked]);
    expect(`${error.message} ${error.hint}`).not.toContain('canary');
  });
});
