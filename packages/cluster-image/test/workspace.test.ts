import { mkdir, writeFile } from 'node:fs/promises';
import { faultRegistry } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { cacheVerb } from '../src/verbs/cache.ts';
import { lockVerb } from '../src/verbs/lock.ts';
import { commonOptions, platformsOf } from '../src/workspace.ts';
import { clusterFiles, putImages } from './cluster-files.ts';
import { image } from './desk.ts';
import { failureOf } from './failure.ts';
import { place } from './place.ts';

describe('what verbs work with', () => {
  test('is where it is told to be', async () => {
    const here = await place();
    await here.within({ store: 'elsewhere' }, async ({ store, path }) => {
      expect([store.root, path('x'), path('/x')]).toEqual([
        here.path('elsewhere'),
        here.path('x'),
        '/x',
      ]);
    });
    await here.within({}, async ({ store }) => expect(store.root).toBe(here.path('.store')));
  });

  test('does so many transfers at a time and no more', async () => {
    const here = await place();
    for (const jobs of [1, 3]) {
      let running = 0;
      let most = 0;
      await here.within({ jobs }, async ({ context }) => {
        const task = async (): Promise<void> => {
          running += 1;
          most = Math.max(most, running);
          await new Promise((resolve) => setImmediate(resolve));
          running -= 1;
        };
        await Promise.all(Array.from({ length: 10 }, () => context.transfer(task)));
      });
      expect(most).toBe(jobs);
    }
  });

  test('reports and is interrupted as its caller is', async () => {
    const here = await place();
    await here.within({}, async ({ context }) => {
      context.report({ type: 'warning', message: 'x' });
    });
    expect(here.events).toEqual([{ type: 'warning', message: 'x' }]);
  });

  test('gives what the job gives, and fails as it does', async () => {
    const here = await place();
    expect(await here.within({}, async () => 7)).toBe(7);
    const bug = new TypeError('x');
    await expect(
      here.within({}, async () => {
        throw bug;
      }),
    ).rejects.toBe(bug);
  });

  test.each([
    ['is not there', undefined],
    ['is not PEM', 'x'],
    ['holds no certificate', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'],
  ])('needs authorities that can be read: a file that %s', async (_, text) => {
    const here = await place(text === undefined ? {} : { 'ca.pem': text });
    const error = await failureOf(
      here.within({ ca: 'ca.pem' }, async ({ network }) =>
        network.registry('127.0.0.1:1').resolve('a', '1'),
      ),
    );
    expect([error.code, error.message]).toEqual([
      'USAGE',
      expect.stringContaining(here.path('ca.pem')),
    ]);
  });
});

describe('registry hosts on the command line', () => {
  test.each(['http://a.io', 'a.io/b', 'a.io:port', '', 'a b', '*'])(
    'cannot be %j, which would be about no registry',
    (host) => {
      expect(commonOptions.safeParse({ plainHttp: [host] }).success).toBe(false);
      expect(commonOptions.safeParse({ insecure: [host] }).success).toBe(false);
    },
  );

  test.each(['a.io', 'a.io:5000', 'localhost', '127.0.0.1:80', '[::1]:5000'])(
    'can be %s',
    (host) => {
      expect(commonOptions.parse({ plainHttp: [host], insecure: [host] })).toMatchObject({
        plainHttp: [host],
        insecure: [host],
      });
    },
  );
});

describe('platforms', () => {
  const amd64 = { os: 'linux', architecture: 'amd64' };
  const arm64 = { os: 'linux', architecture: 'arm64' };

  test('are those that are asked for, each once, else those of the configuration, else linux/amd64', () => {
    const platforms = ['linux/arm64'];
    const asked = ['linux/amd64', 'linux/x86_64', 'linux/arm64/v8', 'linux/amd64'];
    expect(platformsOf(asked, { platforms })).toEqual([amd64, arm64]);
    expect(platformsOf([], { platforms })).toEqual([arm64]);
    expect(platformsOf([], {})).toEqual([amd64]);
    expect(platformsOf([], { platforms: [] })).toEqual([amd64]);
  });
});

describe('a mirror of the configuration', () => {
  test('brings what a context refers to; its registry is never asked', async () => {
    const mirror = await faultRegistry();
    await putImages(mirror, { 'hub/docker.io/acme/app:1': image });
    const here = await place(clusterFiles('docker.io', ['acme/app:1']));
    await mkdir(here.path('dist'));
    await writeFile(here.path('dist/endpoint'), `http://${mirror.host}\n`);
    const mirrors = [{ endpointFile: 'dist/endpoint', path: 'hub/{host}' }];
    await writeFile(
      here.path('cluster-image.json'),
      JSON.stringify({ registries: { '*': { mirrors } } }),
    );
    await here.run(lockVerb, { context: 'cluster' });
    const { images, fetched } = await here.run(cacheVerb, { context: 'cluster' });
    expect(images).toEqual([{ reference: 'docker.io/acme/app:1', digest: image.root.digest }]);
    const sizes = [...image.blobs.values()].map(({ length }) => length);
    expect(fetched).toBe(sizes.reduce((sum, size) => sum + size, 0));
    expect(here.events.filter(({ type }) => type === 'warning')).toEqual([]);
  });
});
