import { imageFixture } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { buildVerb } from '../../src/verbs/build.ts';
import { discoverVerb } from '../../src/verbs/discover.ts';
import { inspectVerb } from '../../src/verbs/inspect.ts';
import { lockVerb } from '../../src/verbs/lock.ts';
import { putFiles } from '../context.ts';
import { desk } from '../desk.ts';
import { failureOf } from '../failure.ts';
import { type Place, place } from '../place.ts';

const pod = (image: string): string =>
  `apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers: [{name: a, image: ${image}}]\n`;

const files = {
  'apps/api/Dockerfile': 'FROM scratch\nCOPY main.js /main.js\n',
  'apps/api/main.js': 'first',
  'apps/api/charts/api/Chart.yaml': 'not a chart',
  'cluster/Kubefile': 'FROM scratch\nCOPY . .\n',
  'cluster/manifests/pod.yaml': pod('registry.example/acme/api:dev'),
  'cluster/cluster-image.json': JSON.stringify({
    workspaceImages: { 'registry.example/acme/api': 'oci:../apps/api/dist/image' },
  }),
};

const image = { context: 'apps/api', tag: 'api:1', thin: 'apps/api/dist/image', bare: true };

async function buildCluster(here: Place): Promise<string> {
  await here.run(lockVerb, { context: 'cluster' });
  return (await here.run(buildVerb, { context: 'cluster', tag: 'cluster:1' })).digest;
}

describe('an image that the workspace builds itself', () => {
  test('is in the cluster image as it was built, and no lockfile pins it', async () => {
    const here = await place(files);
    const built = await here.run(buildVerb, image);
    await buildCluster(here);
    const { images } = await here.run(inspectVerb, { location: 'cluster:1', images: true });
    expect(images?.map(({ repository, tag, digest }) => [`${repository}:${tag}`, digest])).toEqual([
      ['acme/api:dev', built.digest],
    ]);
    expect(await here.run(lockVerb, { context: 'cluster', check: true })).toMatchObject({
      images: 0,
    });
    const found = await here.run(discoverVerb, { context: 'cluster' });
    expect(discoverVerb.lines(found)).toEqual([
      `registry.example/acme/api:dev  (built here, oci:${here.path('apps/api/dist/image')})`,
      '  manifests/pod.yaml:5',
    ]);
    expect(found.built?.map(({ reference }) => reference)).toEqual([
      'registry.example/acme/api:dev',
    ]);
  });

  test('that changes changes the cluster image, and back again', async () => {
    const here = await place(files);
    await here.run(buildVerb, image);
    const first = await buildCluster(here);
    await putFiles(here.root, { 'apps/api/main.js': 'second' });
    // What has not been built anew is what it was.
    expect(await buildCluster(here)).toBe(first);
    await here.run(buildVerb, image);
    const second = await buildCluster(here);
    await putFiles(here.root, { 'apps/api/main.js': 'first' });
    await here.run(buildVerb, image);
    expect([second === first, await buildCluster(here)]).toEqual([false, first]);
  });

  test('that is not built yet is told, with where it is wanted', async () => {
    const here = await place(files);
    await here.run(lockVerb, { context: 'cluster' });
    const error = await failureOf(here.run(buildVerb, { context: 'cluster', tag: 'cluster:1' }));
    expect(error.code).toBe('NOT_FOUND');
    expect(error.message).toContain('registry.example/acme/api:dev (manifests/pod.yaml:5');
    expect(error.hint).toContain('Build it here first');
  });

  test('of which a task cache restored no files is told, until it is built here', async () => {
    const here = await place(files);
    await here.run(buildVerb, image);
    const digest = await buildCluster(here);
    const store = 'another-store';
    const options = { context: 'cluster', tag: 'cluster:1', store };
    const error = await failureOf(here.run(buildVerb, options));
    expect([error.code, error.hint]).toEqual([
      'NOT_FOUND',
      expect.stringContaining('Build it here first'),
    ]);
    expect(error.message).toContain('registry.example/acme/api:dev (manifests/pod.yaml:5');
    expect(error.message).toContain(`nor at oci:${here.path('apps/api/dist/image')}`);
    await here.run(buildVerb, { ...image, store });
    expect((await here.run(buildVerb, options)).digest).toBe(digest);
  });

  test('stands beside images of others, which stay pinned', async () => {
    const here = await desk();
    const plainHttp = [here.host];
    await putFiles(here.root, {
      ...files,
      'cluster/images/shim/a': `${here.host}/acme/app:1\n`,
    });
    await here.run(buildVerb, image);
    const locked = await here.run(lockVerb, { context: 'cluster', plainHttp });
    expect(locked.changes.map(({ reference }) => reference)).toEqual([`${here.host}/acme/app:1`]);
    const built = await here.run(buildVerb, { context: 'cluster', tag: 'cluster:1', plainHttp });
    expect(built.images).toBe(2);
  });

  test('may be what another is built upon', async () => {
    const here = await place({
      ...files,
      'apps/base/Dockerfile': 'FROM scratch\nCOPY a /a\nENV A=1\n',
      'apps/base/a': 'a',
      'apps/api/Dockerfile': 'FROM acme/base\nCOPY main.js /main.js\n',
      'apps/api/cluster-image.json': JSON.stringify({
        workspaceImages: { 'acme/base': 'oci:../base/dist/image' },
      }),
    });
    const base = { context: 'apps/base', tag: 'base:1', thin: 'apps/base/dist/image', bare: true };
    await here.run(buildVerb, base);
    const first = await here.run(buildVerb, image);
    expect(first.layers).toBe(2);
    await putFiles(here.root, { 'apps/base/a': 'b' });
    await here.run(buildVerb, base);
    expect((await here.run(buildVerb, image)).digest).not.toBe(first.digest);
  });

  test('by digest is that digest, whoever built it', async () => {
    const { root } = imageFixture();
    const here = await place({
      ...files,
      'cluster/manifests/pod.yaml': pod(`registry.example/acme/api@${root.digest}`),
    });
    const found = await here.run(discoverVerb, { context: 'cluster' });
    expect([found.images.length, found.built]).toEqual([1, undefined]);
  });

  test('may be said with the task that builds it, which is nothing to the build', async () => {
    const image = { from: 'oci:../apps/api/dist/image', project: 'api', target: 'image' };
    const workspaceImages = { 'registry.example/acme/api': image };
    const here = await place({
      ...files,
      'cluster/cluster-image.json': JSON.stringify({ workspaceImages }),
    });
    const found = await here.run(discoverVerb, { context: 'cluster' });
    expect(found.built?.map(({ location }) => location)).toEqual([
      `oci:${here.path('apps/api/dist/image')}`,
    ]);
  });

  test.each([
    ['a tag', { 'acme/api:1': 'oci:x' }],
    ['a digest', { [`acme/api@sha256:${'0'.repeat(64)}`]: 'oci:x' }],
    ['no name', { 'Acme api': 'oci:x' }],
    ['a registry to build in', { 'acme/api': 'docker://a.io/b:1' }],
    ['nowhere', { 'acme/api': 'oci:' }],
    ['a task alone', { 'acme/api': { project: 'api', target: 'image' } }],
  ])('is not configured with %s', async (_, workspaceImages) => {
    const configuration = JSON.stringify({ workspaceImages }, undefined, 2);
    const here = await place({ ...files, 'cluster/cluster-image.json': configuration });
    const error = await failureOf(here.run(discoverVerb, { context: 'cluster' }));
    expect(error.code).toBe('INPUT_INVALID');
    expect(error.message).toContain('cluster-image.json:3: workspaceImages');
  });
});
