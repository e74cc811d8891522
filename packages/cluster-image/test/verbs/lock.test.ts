import { existsSync } from 'node:fs';
import { readFile, rm, stat } from 'node:fs/promises';
import {
  type FaultRegistry,
  faultRegistry,
  imageFixture,
  indexFixture,
} from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { lockVerb } from '../../src/verbs/lock.ts';
import { clusterFiles, putImages } from '../cluster-files.ts';
import { putFiles } from '../context.ts';
import { failureOf } from '../failure.ts';
import { type Place, place } from '../place.ts';

const platforms = ['linux/amd64', 'linux/arm64'];
const web = indexFixture(platforms, { seed: 'web' });
const moved = indexFixture(platforms, { seed: 'moved' });
const tool = imageFixture({ seed: 'tool' });

async function upstreamAnd(): Promise<{ upstream: FaultRegistry; here: Place; host: string }> {
  const upstream = await faultRegistry();
  await putImages(upstream, { 'acme/web:1': web, 'acme/tool:1': tool });
  const files = clusterFiles(upstream.host, ['acme/web:1', 'acme/tool:1']);
  return { upstream, here: await place(files), host: upstream.host };
}

describe('lock', () => {
  test('pins what a context refers to, and tells what it changed', async () => {
    const { here, host } = await upstreamAnd();
    const options = { context: 'cluster', plainHttp: [host] };
    const locked = await here.run(lockVerb, options);
    expect(locked).toEqual({
      lockfile: 'cluster-image.lock.json',
      images: 2,
      changes: [
        { reference: `${host}/acme/tool:1`, to: tool.root.digest },
        { reference: `${host}/acme/web:1`, to: web.root.digest },
      ],
    });
    expect(lockVerb.lines(locked)).toEqual([
      `+ ${host}/acme/tool:1 ${tool.root.digest}`,
      `+ ${host}/acme/web:1 ${web.root.digest}`,
      'cluster-image.lock.json pins 2 images',
    ]);
    expect(here.events).toContainEqual({ type: 'stage', name: 'lock', total: 2 });
  });

  test('once more asks nothing and writes nothing', async () => {
    const { here, upstream, host } = await upstreamAnd();
    const options = { context: 'cluster', plainHttp: [host] };
    await here.run(lockVerb, options);
    const before = await stat(here.path('cluster/cluster-image.lock.json'), { bigint: true });
    const asked = upstream.log.length;
    const again = await here.run(lockVerb, options);
    const after = await stat(here.path('cluster/cluster-image.lock.json'), { bigint: true });
    expect([again.changes, upstream.log.length]).toEqual([[], asked]);
    expect([after.ino, after.mtimeNs]).toEqual([before.ino, before.mtimeNs]);
    expect(lockVerb.lines(again)).toEqual(['cluster-image.lock.json pins 2 images, as before']);
  });

  test('refuses two images that would have one name, unless hosts are kept', async () => {
    const [first, second] = [await faultRegistry(), await faultRegistry()];
    await putImages(first, { 'acme/web:1': web });
    await putImages(second, { 'acme/web:1': moved });
    const hosts = [first.host, second.host];
    const shim = hosts.map((host) => `${host}/acme/web:1\n`).join('');
    const files = { 'cluster/Kubefile': 'FROM scratch\n', 'cluster/images/shim/a': shim };
    const here = await place(files);
    const options = { context: 'cluster', plainHttp: hosts };
    const error = await failureOf(here.run(lockVerb, options));
    expect(error.code).toBe('CONFLICT');
    for (const host of hosts) expect(error.message).toContain(`${host}/acme/web:1`);
    const lockfile = here.path('cluster/cluster-image.lock.json');
    expect(existsSync(lockfile)).toBe(false);
    await putFiles(here.root, { 'cluster/cluster-image.json': '{ "keepHosts": true }' });
    expect((await here.run(lockVerb, options)).images).toBe(2);
  });

  test('packs no suspect, and tells of it; refuses it where that was asked for', async () => {
    const manifest = 'spec: {args: ["--helper=quay.io/a/b:v1"]}\n';
    const here = await place({
      'cluster/Kubefile': 'FROM scratch\n',
      'cluster/manifests/a.yaml': manifest,
    });
    expect((await here.run(lockVerb, { context: 'cluster' })).images).toBe(0);
    const warnings = here.events.filter(({ type }) => type === 'warning');
    expect(warnings).toEqual([
      expect.objectContaining({ message: expect.stringContaining('quay.io/a/b:v1') }),
    ]);
    await putFiles(here.root, { 'cluster/cluster-image.json': '{ "strict": true }' });
    const error = await failureOf(here.run(lockVerb, { context: 'cluster' }));
    expect([error.code, error.message]).toEqual([
      'INPUT_INVALID',
      expect.stringContaining('quay.io/a/b:v1  (manifests/a.yaml:1, '),
    ]);
    const ignore = '{ "strict": true, "ignore": ["quay.io/a/*"] }';
    await putFiles(here.root, { 'cluster/cluster-image.json': ignore });
    expect((await here.run(lockVerb, { context: 'cluster' })).images).toBe(0);
  });

  test('does not move a pin unless it is asked to, and then only that one', async () => {
    const { here, upstream, host } = await upstreamAnd();
    const options = { context: 'cluster', plainHttp: [host] };
    await here.run(lockVerb, options);
    await putImages(upstream, { 'acme/web:1': moved, 'acme/tool:1': moved });
    expect((await here.run(lockVerb, options)).changes).toEqual([]);
    const some = await here.run(lockVerb, {
      ...options,
      update: true,
      references: [`${host}/acme/web:1`],
    });
    expect(lockVerb.lines(some)).toEqual([
      `~ ${host}/acme/web:1 ${web.root.digest} -> ${moved.root.digest}`,
      'cluster-image.lock.json pins 2 images',
    ]);
    const all = await here.run(lockVerb, { ...options, update: true });
    expect(all.changes).toEqual([
      { reference: `${host}/acme/tool:1`, from: tool.root.digest, to: moved.root.digest },
    ]);
  });

  test('forgets what is referred to no more', async () => {
    const { here, host } = await upstreamAnd();
    const options = { context: 'cluster', plainHttp: [host] };
    await here.run(lockVerb, options);
    await rm(here.path('cluster/manifests/1.yaml'));
    const error = await failureOf(here.run(lockVerb, { ...options, check: true }));
    expect([error.code, error.message, error.hint]).toEqual([
      'LOCK_DRIFT',
      `cluster-image.lock.json pins what nothing refers to any more:\n  ${host}/acme/tool:1`,
      'Run `cluster-image lock cluster` and commit the lockfile.',
    ]);
    const locked = await here.run(lockVerb, options);
    expect(lockVerb.lines(locked)).toEqual([
      `- ${host}/acme/tool:1`,
      'cluster-image.lock.json pins 1 image',
    ]);
  });

  test('pins for the platforms that are asked for, else for those of the configuration', async () => {
    const { here, host } = await upstreamAnd();
    await rm(here.path('cluster/manifests/1.yaml'));
    await putFiles(here.root, {
      'cluster/cluster-image.json': '{"platforms": ["linux/arm64"]}',
    });
    const pinned = async (platform: string[]): Promise<unknown> => {
      await here.run(lockVerb, { context: 'cluster', plainHttp: [host], platform });
      const text = await readFile(here.path('cluster/cluster-image.lock.json'), 'utf8');
      return JSON.parse(text).platforms;
    };
    expect(await pinned([])).toEqual(['linux/arm64']);
    expect(await pinned(['linux/amd64', 'linux/arm64', 'linux/amd64'])).toEqual(platforms);
  });
});

describe('lock --check', () => {
  test('asks nobody, writes nothing, and passes where everything is pinned', async () => {
    const { here, upstream, host } = await upstreamAnd();
    await here.run(lockVerb, { context: 'cluster', plainHttp: [host] });
    await putImages(upstream, { 'acme/web:1': moved });
    const asked = upstream.log.length;
    const checked = await here.run(lockVerb, { context: 'cluster', check: true });
    expect(checked).toEqual({ lockfile: 'cluster-image.lock.json', images: 2, changes: [] });
    expect(upstream.log.length).toBe(asked);
  });

  test('fails where there is no lockfile, naming images and places, and the command that helps', async () => {
    const { here, host } = await upstreamAnd();
    const check = { context: 'cluster', check: true, platform: ['linux/arm64'] };
    const error = await failureOf(here.run(lockVerb, check));
    expect([error.code, error.message, error.hint]).toEqual([
      'LOCK_DRIFT',
      `cluster-image.lock.json does not pin 2 of the context's images:
  ${host}/acme/tool:1  (manifests/1.yaml:5)
  ${host}/acme/web:1  (manifests/0.yaml:5)`,
      'Run `cluster-image lock cluster --platform linux/arm64` and commit the lockfile.',
    ]);
    await expect(stat(here.path('cluster/cluster-image.lock.json'))).rejects.toThrow('ENOENT');
  });
});

describe('lock refuses', () => {
  test.each([
    ['references without --update', { references: ['nginx'] }, 'USAGE'],
    ['--check with --update', { check: true, update: true }, 'USAGE'],
    [
      'a reference that the context does not have',
      { references: ['nginx'], update: true },
      'USAGE',
    ],
    ['what is no reference', { references: ['A b'], update: true }, 'REFERENCE_INVALID'],
    ['what is no platform', { platform: ['x'] }, 'PLATFORM_INVALID'],
  ])('%s', async (_, options, code) => {
    const { here, upstream } = await upstreamAnd();
    const error = await failureOf(here.run(lockVerb, { context: 'cluster', ...options }));
    expect([error.code, upstream.log.length]).toEqual([code, 0]);
  });

  test('an image that is not there, saying where it is referred to, and leaves the lockfile alone', async () => {
    const { here, host } = await upstreamAnd();
    const options = { context: 'cluster', plainHttp: [host] };
    await here.run(lockVerb, options);
    const lockfile = here.path('cluster/cluster-image.lock.json');
    const before = await readFile(lockfile, 'utf8');
    await putFiles(here.root, clusterFiles(host, ['acme/web:1', 'acme/tool:1', 'acme/gone:1']));
    const error = await failureOf(here.run(lockVerb, options));
    expect([error.code, error.message]).toEqual([
      'NOT_FOUND',
      `${host}/acme/gone:1 (manifests/2.yaml:5): there is no such image, or no access to it`,
    ]);
    expect(await readFile(lockfile, 'utf8')).toBe(before);
  });

  test('a lockfile that is broken, naming its line', async () => {
    const { here, host } = await upstreamAnd();
    await putFiles(here.root, { 'cluster/cluster-image.lock.json': '{\n"lockfileVersion": 1,\n' });
    const error = await failureOf(here.run(lockVerb, { context: 'cluster', plainHttp: [host] }));
    expect([error.code, error.message]).toEqual([
      'INPUT_INVALID',
      'cluster-image.lock.json:3: ends too early',
    ]);
  });
});
