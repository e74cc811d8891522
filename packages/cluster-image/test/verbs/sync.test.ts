import { rm } from 'node:fs/promises';
import { distributionLayout, verifyLayout } from '@cluster-image/storage';
import { faultRegistry } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { buildVerb } from '../../src/verbs/build.ts';
import { lockVerb } from '../../src/verbs/lock.ts';
import { syncVerb } from '../../src/verbs/sync.ts';
import { clusterFiles } from '../cluster-files.ts';
import { putFiles } from '../context.ts';
import { type Desk, desk, image, index } from '../desk.ts';
import { failureOf } from '../failure.ts';

async function locked(): Promise<Desk> {
  const here = await desk();
  await putFiles(here.root, clusterFiles(here.host, ['acme/app:1', 'acme/index:1']));
  await here.run(lockVerb, { context: 'cluster', plainHttp: [here.host] });
  return here;
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
    expect(synced).toEqual({ from: 'cluster', to: 'registry:out', images });
    expect(syncVerb.lines(synced)).toEqual(['2 images are in registry:out']);
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
      expect((await here.run(syncVerb, options)).images).toEqual(images);
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
    expect(synced.images).toEqual([
      { repository: 'acme/app', tag: '1', digest: image.root.digest },
      { repository: 'acme/index', tag: '1', digest: index.root.digest },
    ]);
    const layout = distributionLayout(here.path('out'));
    const report = await verifyLayout(layout, { sparse: false });
    expect([report.problems, report.manifests]).toEqual([[], 4]);
  });

  test('that there is, and tells of the others', async () => {
    const rules = [
      { match: { kind: 'blob' as const, repository: 'acme/index' }, fault: { corrupt: 3 } },
    ];
    const here = await desk({ rules });
    const options = { from: `docker://${here.host}`, to: 'registry:out', plainHttp: [here.host] };
    const error = await failureOf(here.run(syncVerb, options));
    expect([error.code, error.message]).toEqual([
      'DIGEST_MISMATCH',
      expect.stringMatching(/^acme\/index:1: /),
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
