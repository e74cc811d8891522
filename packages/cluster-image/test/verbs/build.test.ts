import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { codeOf } from '@cluster-image/oci';
import { faultRegistry } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { isDeliverable } from '../../src/completeness.ts';
import { buildVerb } from '../../src/verbs/build.ts';
import { inspectVerb } from '../../src/verbs/inspect.ts';
import { lockVerb } from '../../src/verbs/lock.ts';
import { copyVerb } from '../../src/verbs/transfer.ts';
import { verifyVerb } from '../../src/verbs/verify.ts';
import { commonOptions } from '../../src/workspace.ts';
import { clusterFiles } from '../cluster-files.ts';
import { putFiles } from '../context.ts';
import { type Desk, desk, image, index } from '../desk.ts';
import { failureOf } from '../failure.ts';

interface Cluster extends Desk {
  readonly options: { readonly context: string; readonly plainHttp: string[] };
}

/** A desk with a context that refers to the images of its registry, and their lockfile. */
async function cluster(
  images: readonly string[] = ['acme/app:1', 'acme/index:1'],
): Promise<Cluster> {
  const here = await desk();
  await putFiles(here.root, clusterFiles(here.host, images));
  const options = { context: 'cluster', plainHttp: [here.host] };
  await here.run(lockVerb, options);
  return { ...here, options };
}

describe('build', () => {
  test('makes an image in the store, and tells what it is', async () => {
    const { run, options, store } = await cluster();
    const built = await run(buildVerb, { ...options, tag: 'acme/cluster:1' });
    expect(built).toEqual({
      name: 'docker.io/acme/cluster:1',
      digest: expect.stringMatching(/^sha256:[0-9a-f]{64}$/),
      size: expect.any(Number),
      layers: expect.any(Number),
      images: 2,
      fetched: expect.any(Number),
      locations: ['docker.io/acme/cluster:1'],
    });
    const lines = buildVerb.lines(built);
    expect(lines.slice(0, 2)).toEqual([
      'built docker.io/acme/cluster:1',
      `  digest  ${built.digest}`,
    ]);
    expect(lines[2]).toMatch(/^ {2}size {4}[\d.]+ kB in \d+ layers, with 2 images$/);
    expect(lines.slice(3)).toEqual(['  at      docker.io/acme/cluster:1']);
    const inspected = await run(inspectVerb, { location: 'acme/cluster:1', images: true });
    expect(inspected).toMatchObject({
      digest: built.digest,
      platforms: [
        {
          platform: 'linux/amd64',
          size: built.size,
          labels: { 'sealos.io.type': 'application' },
          command: ['kubectl apply -f manifests'],
        },
      ],
      images: [
        { repository: 'acme/app', tag: '1', digest: image.root.digest },
        { repository: 'acme/index', tag: '1', digest: index.manifests[0]?.digest },
      ],
    });
    expect(built.fetched).toBeGreaterThan(0);
    expect((await run(verifyVerb, { location: 'acme/cluster:1' })).problems).toEqual([]);
    expect((await run(verifyVerb, {})).location).toBe(store.root);
  });

  test('once more gives the same, and asks nobody', async () => {
    const { run, options, upstream } = await cluster();
    const first = await run(buildVerb, { ...options, tag: 'one' });
    const asked = upstream.log.length;
    const second = await run(buildVerb, { ...options, tag: 'two' });
    // The name is part of the image.
    const third = await run(buildVerb, { ...options, tag: 'one' });
    expect([third.digest, third.fetched, upstream.log.length]).toEqual([first.digest, 0, asked]);
    expect(second.layers).toBe(first.layers);
  });

  test('-o delivers at once, wherever that is', async () => {
    const { run, options, host, upstream, path } = await cluster();
    const output = [
      `docker://${host}/out/cluster:1`,
      'oci:layout:1',
      'docker-archive:cluster.tar',
      'oci-archive:cluster.oci.tar',
      'copy:1',
    ];
    const built = await run(buildVerb, { ...options, tag: 'acme/cluster:1', output });
    expect(built.locations).toEqual(['docker.io/acme/cluster:1', ...output]);
    for (const location of output) {
      const plainHttp = [host];
      expect((await run(inspectVerb, { location, plainHttp })).digest).toBe(built.digest);
      expect((await run(verifyVerb, { location, plainHttp })).problems).toEqual([]);
    }
    expect((await upstream.registry.resolve('out/cluster', '1'))?.digest).toBe(built.digest);
    expect((await stat(path('cluster.tar'))).size).toBeGreaterThan(built.size);
  });

  test('takes its name from where it is delivered', async () => {
    const { run, options, host } = await cluster(['acme/app:1']);
    const output = ['oci:layout', `docker://${host}/out/cluster:2`, `docker://${host}/other:1`];
    const built = await run(buildVerb, { ...options, output });
    expect([built.name, built.locations]).toEqual([
      `${host}/out/cluster:2`,
      [`${host}/out/cluster:2`, ...output],
    ]);
  });

  test('--digest-file and --thin write what a task keeps, and nothing of them gets into the image', async () => {
    const here = await cluster();
    await putFiles(here.root, {
      'cluster/Kubefile': 'FROM scratch\nCOPY . ./\n',
      'cluster/dist/other': '',
    });
    const options = {
      ...here.options,
      tag: 'acme/cluster:1',
      thin: 'cluster/dist/image',
      digestFile: 'cluster/dist/image.digest',
      output: ['oci-archive:cluster/out.tar', 'oci:cluster/layout:1'],
    };
    const built = await here.run(buildVerb, options);
    expect(await readFile(here.path('cluster/dist/image.digest'), 'utf8')).toBe(
      `${built.digest}\n`,
    );
    expect((await readdir(here.path('cluster/dist/image'))).sort()).toEqual([
      'blobs',
      'index.json',
      'oci-layout',
      'plans',
    ]);
    expect(built.locations).toContain('oci:cluster/dist/image');
    const again = await here.run(buildVerb, options);
    expect(again.digest).toBe(built.digest);
    const saved = await here.run(copyVerb, { from: 'oci:cluster/dist/image', to: 'oci:out' });
    expect(saved.digest).toBe(built.digest);
  });

  test('for several platforms is an index', async () => {
    const { run, options } = await cluster(['acme/index:1']);
    const platform = ['linux/amd64', 'linux/arm64'];
    await run(lockVerb, { ...options, platform });
    const built = await run(buildVerb, { ...options, platform, tag: 'cluster' });
    const inspected = await run(inspectVerb, { location: 'cluster' });
    expect(inspected.mediaType).toBe('application/vnd.oci.image.index.v1+json');
    expect(inspected.platforms.map((one) => one.platform)).toEqual(platform);
    expect(inspected.digest).toBe(built.digest);
    const of = await failureOf(run(inspectVerb, { location: 'cluster', images: true }));
    expect([of.code, of.hint]).toEqual(['USAGE', 'Choose one with --platform.']);
    const one = { location: 'cluster', images: true, platform: ['linux/arm64'] };
    expect((await run(inspectVerb, one)).images).toHaveLength(1);
  });

  test('takes platforms, layers and arguments from the configuration, and flags before it', async () => {
    const here = await cluster(['acme/index:1']);
    const { run, root, options } = here;
    await putFiles(root, {
      'cluster/Kubefile':
        'FROM scratch\nARG WHO=nobody\nLABEL who=$WHO\nCOPY registry ./registry\n',
      'cluster/cluster-image.json': JSON.stringify({
        platforms: ['linux/arm64'],
        buildArguments: { WHO: 'file' },
      }),
    });
    await run(lockVerb, options);
    const who = async (buildArg: string[]): Promise<unknown> => {
      await run(buildVerb, { ...options, tag: 'x', buildArg });
      const [only] = (await run(inspectVerb, { location: 'x' })).platforms;
      return [only?.platform, only?.labels.who];
    };
    expect(await who([])).toEqual(['linux/arm64', 'file']);
    expect(await who(['WHO=flag'])).toEqual(['linux/arm64', 'flag']);
  });
});

describe('build refuses, before anything is fetched or written', () => {
  test.each([
    ['no name', {}, 'USAGE'],
    ['no name but that of a file', { output: ['oci:x'] }, 'USAGE'],
    ['a name that is none', { tag: 'A b' }, 'REFERENCE_INVALID'],
    ['a name with a digest', { tag: `x@${image.root.digest}` }, 'USAGE'],
    ['a target with a digest', { output: [`docker://a.io/b@${image.root.digest}`] }, 'USAGE'],
    ['a target for many images', { tag: 'x', output: ['registry:out'] }, 'USAGE'],
    ['a target that is none', { tag: 'x', output: ['docker:out'] }, 'USAGE'],
    ['a platform that is none', { tag: 'x', platform: ['linux'] }, 'PLATFORM_INVALID'],
    ['an argument that is none', { tag: 'x', buildArg: ['A'] }, 'USAGE'],
    ['a build file that is not there', { tag: 'x', file: 'Nofile' }, 'NOT_FOUND'],
    ['a context that is not there', { tag: 'x', context: 'nowhere' }, 'NOT_FOUND'],
    ['what is not pinned', { tag: 'x', platform: ['linux/arm64'] }, 'LOCK_DRIFT'],
  ])('%s', async (_, given, code) => {
    const { run, options, upstream, root } = await cluster();
    const asked = upstream.log.length;
    const before = await readdir(root);
    const error = await failureOf(run(buildVerb, { ...options, ...given }));
    expect([error.code, upstream.log.length]).toEqual([code, asked]);
    expect(await readdir(root)).toEqual(before);
  });

  test('too few or too many layers', () => {
    for (const maxLayers of [9, 1001, 10.5, -1]) {
      expect(buildVerb.options.safeParse({ maxLayers }).success).toBe(false);
    }
  });
});

describe('a thin image can be delivered', () => {
  test('where the store has all of its parts, and not where one is missing or another size', async () => {
    const here = await cluster();
    await here.run(buildVerb, { ...here.options, tag: 'x', thin: 'thin' });
    const ask = (store?: string): Promise<boolean> =>
      isDeliverable('thin', commonOptions.parse({ store }), here.environment);
    expect(await ask()).toBe(true);
    expect(await ask('empty')).toBe(false);
    const options = commonOptions.parse({});
    expect(await isDeliverable('nowhere', options, here.environment)).toBe(false);
    const layer = image.root.layers.at(-1)?.digest ?? image.root.digest;
    const hex = layer.slice('sha256:'.length);
    const blob = `.store/docker/registry/v2/blobs/sha256/${hex.slice(0, 2)}/${hex}/data`;
    await rm(here.path(blob));
    expect(await ask()).toBe(false);
    await writeFile(here.path(blob), 'short');
    expect(await ask()).toBe(false);
  });

  test('in another workspace when it was pulled there, not when its plans are damaged', async () => {
    const here = await cluster();
    await here.run(buildVerb, { ...here.options, tag: 'x', thin: 'thin' });
    await putFiles(here.root, { 'thin/index.json': '{' });
    const work = isDeliverable('thin', commonOptions.parse({}), here.environment);
    await expect(work).rejects.toSatisfy((error) => codeOf(error) === 'MANIFEST_INVALID');
  });
});

test('a registry that goes wrong while images are fetched fails the build, and nothing is delivered', async () => {
  const here = await cluster(['acme/app:1']);
  const bad = await faultRegistry();
  const error = await failureOf(
    here.run(buildVerb, {
      ...here.options,
      plainHttp: [bad.host],
      output: [`docker://${bad.host}/out:1`],
    }),
  );
  const changes = bad.log.filter(({ method }) => method !== 'GET' && method !== 'HEAD');
  expect([error.code, changes]).toEqual(['NETWORK', []]);
});
