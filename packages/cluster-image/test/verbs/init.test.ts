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
