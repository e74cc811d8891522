import { readFile } from 'node:fs/promises';
import { verifyLayout } from '@cluster-image/storage';
import { describe, expect, test } from 'vitest';
import { cacheVerb } from '../../src/verbs/cache.ts';
import { lockVerb } from '../../src/verbs/lock.ts';
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

describe('cache', () => {
  test('brings what is locked into the store, and tells what it fetched', async () => {
    const { run, host, store, upstream } = await locked();
    const options = { context: 'cluster', plainHttp: [host] };
    const cached = await run(cacheVerb, options);
    const [amd64] = index.manifests;
    const parts = amd64?.kind === 'image' ? [amd64.config, ...amd64.layers] : [];
    const own = [...image.blobs.values()].reduce((sum, { length }) => sum + length, 0);
    expect(cached).toEqual({
      images: [
        { reference: `${host}/acme/app:1`, digest: image.root.digest },
        { reference: `${host}/acme/index:1`, digest: index.root.digest },
      ],
      fetched: parts.reduce((sum, { size }) => sum + size, own),
      store: store.root,
    });
    expect((await verifyLayout(store.registry, { sparse: true })).problems).toEqual([]);
    const asked = upstream.log.length;
    const again = await run(cacheVerb, options);
    expect([again.fetched, upstream.log.length]).toEqual([0, asked]);
    expect(cacheVerb.lines(again)).toEqual([`2 images are in ${store.root}, 0 B fetched`]);
  });

  test('--receipt writes the same for the same images, wherever the store is', async () => {
    const here = await locked();
    const options = { context: 'cluster', plainHttp: [here.host], receipt: 'dist/receipt.json' };
    const { images } = await here.run(cacheVerb, options);
    const receipt = (): Promise<string> => readFile(here.path('dist/receipt.json'), 'utf8');
    const first = await receipt();
    expect(JSON.parse(first)).toEqual({ images });
    await here.run(cacheVerb, { ...options, store: 'other' });
    expect(await receipt()).toBe(first);
  });

  test.each([
    ['is not locked', 'acme/gone:1', 'LOCK_DRIFT'],
    ['cannot be told', '"a b"', 'INPUT_INVALID'],
  ])(
    'fails, without asking anybody, where the context refers to what %s',
    async (_, name, code) => {
      const here = await locked();
      await putFiles(here.root, clusterFiles(here.host, ['acme/app:1', 'acme/index:1', name]));
      const asked = here.upstream.log.length;
      const work = here.run(cacheVerb, { context: 'cluster', plainHttp: [here.host] });
      expect([(await failureOf(work)).code, here.upstream.log.length]).toEqual([code, asked]);
    },
  );
});
