import { readFile } from 'node:fs/promises';
import { imageFixture, noise } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { buildVerb } from '../../src/verbs/build.ts';
import { cacheVerb } from '../../src/verbs/cache.ts';
import { inspectVerb } from '../../src/verbs/inspect.ts';
import { lockVerb } from '../../src/verbs/lock.ts';
import { pushVerb } from '../../src/verbs/transfer.ts';
import { verifyVerb } from '../../src/verbs/verify.ts';
import { putFiles } from '../context.ts';
import { desk } from '../desk.ts';
import { dockerSave } from '../docker-save.ts';
import { failureOf } from '../failure.ts';
import { type Place, place } from '../place.ts';
import { type EngineServer, engineServer } from './engine-server.ts';

const base = noise('base', 40_000);
const app = imageFixture({ seed: 'app', layers: [base, 3000] });
const tool = imageFixture({ seed: 'tool', layers: [base, 500] });
const other = imageFixture({ seed: 'other' });

const files = {
  'cluster/Kubefile': 'FROM scratch\nCOPY registry ./registry\n',
  'cluster/images/shim/local': 'docker-daemon:app:1.0\ndocker-daemon:reg.example/team/tool:2\n',
  // Somebody asks for it, who need not know where it comes from.
  'cluster/manifests/pod.yaml':
    'apiVersion: v1\nkind: Pod\nspec: { containers: [{ image: "app:1.0" }] }\n',
};
const context = 'cluster';

/** A daemon with two images, and a context that lists them. */
async function beside(): Promise<Place & { readonly docker: EngineServer }> {
  const docker = await engineServer();
  docker.images.set('docker.io/library/app:1.0', await dockerSave(app, 'app:1.0'));
  docker.images.set('reg.example/team/tool:2', await dockerSave(tool, 'reg.example/team/tool:2'));
  return { ...(await place(files, { DOCKER_HOST: docker.address })), docker };
}

/** The same context and lockfile on another machine. */
async function elsewhere(here: Place, address: string): Promise<Place> {
  const lockfile = await readFile(here.path('cluster/cluster-image.lock.json'), 'utf8');
  const there = await place(files, { DOCKER_HOST: address });
  await putFiles(there.root, { 'cluster/cluster-image.lock.json': lockfile });
  return there;
}

async function staged({ store }: Place): Promise<readonly string[]> {
  return (await store.registry.disk.staged()).map(({ path }) => path);
}

describe('images that a list takes from a docker daemon', () => {
  test('are pinned, cached and packed under their names', async () => {
    const here = await beside();
    const locked = await here.run(lockVerb, { context });
    expect(locked.images).toBe(2);
    const { images } = await here.run(cacheVerb, { context });
    expect(images.map(({ reference }) => reference)).toEqual([
      'docker.io/library/app:1.0',
      'reg.example/team/tool:2',
    ]);
    await here.run(buildVerb, { context, tag: 'cluster:1' });
    const inspected = await here.run(inspectVerb, { location: 'cluster:1', images: true });
    const inside = inspected.images?.map(({ repository, tag, digest }) => [
      `${repository}:${tag}`,
      digest,
    ]);
    expect(inside).toEqual([
      ['library/app:1.0', images[0]?.digest],
      ['team/tool:2', images[1]?.digest],
    ]);
    expect((await here.run(verifyVerb, { location: 'cluster:1' })).problems).toEqual([]);
    expect(await staged(here)).toEqual([]);
  });

  test('are asked for once to be pinned and once to be cached, and never again', async () => {
    const here = await beside();
    await here.run(lockVerb, { context });
    expect(here.docker.log).toHaveLength(2);
    await here.run(lockVerb, { context });
    await here.run(lockVerb, { context, check: true });
    expect(here.docker.log).toHaveLength(2);
    await here.run(cacheVerb, { context });
    expect(here.docker.log).toHaveLength(4);
    expect((await here.run(cacheVerb, { context })).fetched).toBe(0);
    await here.run(buildVerb, { context, tag: 'cluster:1' });
    expect(here.docker.log).toHaveLength(4);
  });

  test('are asked for once each by a build that goes to a registry', async () => {
    const { host } = await desk();
    const here = await beside();
    await here.run(lockVerb, { context });
    const options = { context, plainHttp: [host], tag: 'cluster:1' };
    await here.run(buildVerb, { ...options, output: [`docker://${host}/cluster:1`] });
    expect(here.docker.log).toHaveLength(4);
    const again = await beside();
    const there = await elsewhere(here, again.docker.address);
    const output = [`docker://${host}/streamed:1`];
    const streamed = await there.run(buildVerb, { ...options, output, noStore: true });
    expect(again.docker.log).toHaveLength(2);
    const verified = await there.run(verifyVerb, {
      location: `docker://${host}/streamed:1`,
      plainHttp: [host],
    });
    expect([verified.problems, streamed.digest]).toEqual([[], expect.stringContaining('sha256:')]);
    expect([await staged(here), await staged(there)]).toEqual([[], []]);
  });

  test('are pinned alike wherever they are, and moved by an update alone', async () => {
    const here = await beside();
    const first = await here.run(lockVerb, { context });
    const again = await (await beside()).run(lockVerb, { context });
    expect(again.changes).toEqual(first.changes);
    here.docker.images.set('docker.io/library/app:1.0', await dockerSave(other, 'app:1.0'));
    expect((await here.run(lockVerb, { context })).changes).toEqual([]);
    const error = await failureOf(here.run(cacheVerb, { context }));
    expect([error.code, error.message, error.hint]).toEqual([
      'NOT_FOUND',
      expect.stringContaining('docker-daemon:docker.io/library/app:1.0 has no sha256:'),
      expect.stringMatching(/replaced or removed.*--update/),
    ]);
    const moved = await here.run(lockVerb, { context, update: true });
    expect(moved.changes).toHaveLength(1);
    await here.run(cacheVerb, { context });
    expect(await staged(here)).toEqual([]);
  });

  test('are not on another machine, which is told so and needs them only where its store has none', async () => {
    const here = await beside();
    await here.run(lockVerb, { context });
    const empty = await engineServer();
    const there = await elsewhere(here, empty.address);
    const error = await failureOf(there.run(cacheVerb, { context }));
    expect([error.code, error.hint]).toEqual([
      'SOME_FAILED',
      expect.stringMatching(/this machine.*a registry or an archive/),
    ]);
    const nobody = await elsewhere(here, 'unix:///nowhere');
    const failure = await failureOf(nobody.run(cacheVerb, { context }));
    expect(failure.hint).toMatch(/DOCKER_HOST.*a registry or an archive/);
    await here.run(cacheVerb, { context });
    here.docker.images.clear();
    await here.run(buildVerb, { context, tag: 'cluster:1' });
    await here.run(pushVerb, { from: 'cluster:1', to: 'oci:out' });
  });

  test('are for one platform', async () => {
    const here = await beside();
    const platform = ['linux/amd64', 'linux/arm64'];
    const error = await failureOf(here.run(lockVerb, { context, platform }));
    expect(error.message).toContain('not there for linux/arm64, only for linux/amd64');
    expect(await staged(here)).toEqual([]);
  });
});
