import { distributionLayout, openStore } from '@cluster-image/storage';
import { imageFixture, noise, putFixture } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { pruneVerb } from '../../src/verbs/prune.ts';
import { failureOf } from '../failure.ts';
import { type Place, place } from '../place.ts';
import { caching } from './caching.ts';

const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 30));

/** Looks without asking, for who asks uses it. */
async function tagsIn(here: Place): Promise<readonly string[]> {
  return Array.fromAsync(distributionLayout(here.path('cache')).tags('cache'));
}

describe('a directory within bounds', () => {
  test('keeps what was asked for last', async () => {
    const here = await place();
    const first = await caching(here, 'registry:cache');
    for (const key of ['1', '2', '3']) {
      await first.nx('PUT', key, { body: noise(key, 3_000_000) });
      await pause();
    }
    await first.nx('GET', '1');
    await first.stop();
    const second = await caching(here, 'registry:cache', { maxSize: '7MB' });
    await expect.poll(() => tagsIn(here)).toEqual(['main_nx_1', 'main_nx_3']);
    expect((await second.nx('GET', '2')).status).toBe(404);
    expect((await second.nx('GET', '1')).status).toBe(200);
    expect((await second.nx('GET', '3')).status).toBe(200);
    expect((await second.nx('PUT', '2', { body: 'again' })).status).toBe(200);
    await second.stop();
  });

  test('keeps nothing that was not asked for in a long time', async () => {
    const here = await place();
    const first = await caching(here, 'registry:cache');
    await first.nx('PUT', '1', { body: 'one' });
    await first.stop();
    const lasting = await caching(here, 'registry:cache', { maxAge: '1h' });
    expect((await lasting.nx('GET', '1')).status).toBe(200);
    await lasting.stop();
    await new Promise((resolve) => setTimeout(resolve, 1100));
    const second = await caching(here, 'registry:cache', { maxAge: '1s' });
    await expect.poll(() => tagsIn(here)).toEqual([]);
    await second.stop();
  });

  test('is pruned by hand as the store is, also while it is served', async () => {
    const here = await place();
    const { nx } = await caching(here, 'registry:cache');
    await nx('PUT', '1', { body: noise('1', 3_000_000) });
    await pause();
    await nx('PUT', '2', { body: noise('2', 3_000_000) });
    const given = { store: 'cache', grace: '0', storeLimit: '4MB' };
    const pruned = await here.run(pruneVerb, given);
    expect(pruned.released).toEqual(['cache:main_nx_1']);
    expect((await nx('GET', '1')).status).toBe(404);
    expect((await nx('GET', '2')).status).toBe(200);
    expect((await nx('PUT', '1', { body: noise('1', 3_000_000) })).status).toBe(200);
  });

  test('has nothing beside the cache in it', async () => {
    const here = await place();
    const layout = openStore(here.path('cache')).registry;
    await putFixture(layout, 'team/app', imageFixture({ seed: 'app' }), '1.0');
    const failed = await failureOf(caching(here, 'registry:cache', { maxAge: '1s' }));
    expect([failed.code, failed.message]).toEqual(['USAGE', expect.stringContaining('team/app')]);
    const { nx } = await caching(here, 'registry:cache');
    expect((await nx('PUT', '1', { body: 'one' })).status).toBe(200);
    expect(await layout.resolve('team/app', '1.0')).toBeDefined();
  });

  test.each([{ maxAge: '1h' }, { maxSize: '1GB' }])(
    'is no registry, which has rules of its own: %j',
    async (given) => {
      const here = await place();
      const location = 'docker://registry.example/team/cache';
      expect((await failureOf(caching(here, location, given))).code).toBe('USAGE');
    },
  );

  test.each([{ maxAge: 'long' }, { maxSize: 'much' }, { maxArtifact: 'x' }])(
    'is said in figures: %j',
    async (given) => {
      const here = await place();
      expect((await failureOf(caching(here, 'registry:cache', given))).code).toBe('USAGE');
    },
  );
});
