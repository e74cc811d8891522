import { readFile, stat, writeFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { buildVerb } from '../../src/verbs/build.ts';
import { initVerb } from '../../src/verbs/init.ts';
import { lockVerb } from '../../src/verbs/lock.ts';
import { failureOf } from '../failure.ts';
import { place } from '../place.ts';

describe('init', () => {
  test('makes a context that can be locked and built at once', async () => {
    const here = await place();
    const made = await here.run(initVerb, { context: 'cluster' });
    expect(made.written).toEqual([
      'cluster/Kubefile',
      'cluster/charts/.gitkeep',
      'cluster/manifests/.gitkeep',
      'cluster/images/shim/images.txt',
      'cluster/package.json',
    ]);
    await here.run(lockVerb, { context: 'cluster' });
    await here.run(buildVerb, { context: 'cluster', tag: 'cluster:1' });
    const { scripts } = JSON.parse(await readFile(here.path('cluster/package.json'), 'utf8'));
    expect(scripts['build-image']).toBe(
      'cluster-image build -t cluster --thin dist/image --digest-file dist/image.digest',
    );
  });

  test('writes a script that pushes to the registry that the name says', async () => {
    const here = await place();
    const tag = 'registry.example/acme/cluster:1';
    const made = await here.run(initVerb, { context: 'cluster', tag });
    expect(made).not.toHaveProperty('assumed');
    const { scripts } = JSON.parse(await readFile(here.path('cluster/package.json'), 'utf8'));
    expect(scripts['push-image']).toBe(
      `cluster-image build --output docker://${tag} --exclude dist/image --exclude dist/image.digest`,
    );
  });

  test.each([
    [undefined, 'docker.io/library/cluster:latest'],
    ['acme/cluster:1', 'docker.io/acme/cluster:1'],
    ['docker.io/acme/cluster:1', undefined],
  ])('of the name %s tells that the registry goes without saying: %s', async (tag, assumed) => {
    const here = await place();
    const made = await here.run(initVerb, { context: 'cluster', tag });
    expect(made.assumed).toBe(assumed);
    const told = initVerb.lines(made).filter((line) => line.startsWith('push-image pushes to'));
    expect(told).toHaveLength(assumed === undefined ? 0 : 1);
    expect(told.join()).toContain(assumed ?? '');
  });

  test('refuses what cannot be the name of an image, and writes nothing', async () => {
    const here = await place();
    const error = await failureOf(here.run(initVerb, { context: 'My Cluster' }));
    expect(error.code).toBe('REFERENCE_INVALID');
    await expect(stat(here.path('My Cluster'))).rejects.toThrow('ENOENT');
    await here.run(initVerb, { context: 'My Cluster', tag: 'cluster' });
  });

  test('has Turborepo build images before what takes their files from the store, and cache what does not deliver', async () => {
    const here = await place();
    await here.run(initVerb, { context: 'cluster', turbo: true });
    const { tasks } = JSON.parse(await readFile(here.path('turbo.json'), 'utf8'));
    expect(tasks.image).toMatchObject({ dependsOn: ['build', '^image'], cache: false });
    expect(tasks['build-image']).not.toHaveProperty('cache');
    expect(tasks['build-image'].inputs).toEqual([
      '$TURBO_DEFAULT$',
      '$TURBO_ROOT$/cluster-image.json',
      '!dist/image/**',
      '!dist/image.digest',
      '!.turbo/**',
      { mode: 'dependencyOutputs', globs: ['dist/image.digest'], from: ['^image'] },
    ]);
    expect(tasks['push-image']).toMatchObject({ cache: false });
  });

  test('leaves what is there, comments and all, and does nothing twice', async () => {
    const turbo =
      '{\n  // ours\n  "tasks": {\n    // not yours\n    "build-image": { "cache": false },\n  },\n}\n';
    const here = await place({
      'turbo.json': turbo,
      'cluster/Kubefile': 'FROM scratch\n',
      'cluster/package.json': '{\n\t"name": "x",\n\t"scripts": { "push-image": "mine" }\n}\n',
    });
    const options = { context: 'cluster', tag: 'acme/cluster:1', turbo: true };
    const made = await here.run(initVerb, options);
    expect(made).not.toHaveProperty('assumed');
    expect(made.written).not.toContain('cluster/Kubefile');
    const text = await readFile(here.path('turbo.json'), 'utf8');
    expect(text).toContain('// ours');
    expect(text).toMatch(/\/\/ not yours\s+"build-image": \{\s*"cache": false\s*\}/);
    expect(text).toContain('"image": {');
    const own = await readFile(here.path('cluster/package.json'), 'utf8');
    expect(own).toContain('"push-image": "mine"');
    expect(own).toContain('\n\t\t"build-image": "cluster-image build -t acme/cluster:1');
    const before = await stat(here.path('turbo.json'), { bigint: true });
    expect(await here.run(initVerb, options)).toEqual({ written: [] });
    expect((await stat(here.path('turbo.json'), { bigint: true })).ino).toBe(before.ino);
    expect(initVerb.lines({ written: [] })).toEqual(['nothing to do']);
  });

  test.each(['not JSON', '[]', '{"scripts": []}', '{"scripts": "x"}'])(
    'refuses a package.json that is %s, and leaves it',
    async (text) => {
      const here = await place();
      await here.run(initVerb, { context: 'cluster' });
      await writeFile(here.path('cluster/package.json'), text);
      const error = await failureOf(here.run(initVerb, { context: 'cluster' }));
      expect([error.code, error.message]).toEqual([
        'INPUT_INVALID',
        expect.stringContaining('package.json'),
      ]);
      expect(await readFile(here.path('cluster/package.json'), 'utf8')).toBe(text);
    },
  );
});
