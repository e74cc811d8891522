import { createNodes } from '@cluster-image/nx';
import { expect, test } from 'vitest';
import { namesFor } from '../src/inference/entries.ts';
import { nxWorkspace } from './workspace.ts';

const [, create] = createNodes;

test.each<[unknown, string]>([
  [
    { buildTargetname: 'x' },
    '"buildTargetname" of @cluster-image/nx is none; there are lockTarget',
  ],
  [{ __proto__: null, toString: 'x' }, '"toString" of @cluster-image/nx is none'],
  [{ buildTargetName: 5 }, '"buildTargetName" of @cluster-image/nx is 5, not the name of a target'],
  [{ buildTargetName: '' }, '"buildTargetName" of @cluster-image/nx is "", not the name'],
  [{ pushTargetName: null }, '"pushTargetName" of @cluster-image/nx is null, not the name'],
  [{ buildTargetName: false }, '"buildTargetName" of @cluster-image/nx is false, not the name'],
  [
    { imageTargetName: true },
    '"imageTargetName" of @cluster-image/nx is true, not the name of a target, without spaces and colons, or false',
  ],
  [
    { platformTargets: 'yes' },
    '"platformTargets" of @cluster-image/nx is "yes", not true or false',
  ],
  [{ engine: 'dockr' }, 'is "dockr", not one of docker, buildx, podman, buildah, sealos'],
  [{ engineArg: '--x' }, 'is "--x", not a list of arguments'],
  [['x'], 'are no object'],
])('an option of the plugin that is none is refused, by name: %j', async (options, message) => {
  const context = { nxJsonConfiguration: {}, workspaceRoot: '/workspace' };
  const found = Promise.resolve(Reflect.apply(create, undefined, [[], options, context]));
  await expect(found).rejects.toThrow(message);
});

test.each([
  undefined,
  {},
  { imageTargetName: false },
  { engine: 'podman', engineArg: ['--pull'] },
] as const)('options that are right are taken: %j', async (options) => {
  expect(await create([], options, { nxJsonConfiguration: {}, workspaceRoot: '/' })).toEqual([]);
});

test('a project is one that Nx can name', async () => {
  const build = { 'a/Kubefile': 'FROM scratch' };
  for (const text of ['{', '{}', '{"name": 5}', '[]']) {
    const { targets } = await nxWorkspace({ ...build, 'a/package.json': text });
    expect(await targets('a')).toEqual({});
    const named = await nxWorkspace({ ...build, 'a/package.json': text, 'a/project.json': '{}' });
    expect(await named.targets('a')).toHaveProperty('build-image');
  }
  const { targets } = await nxWorkspace({ ...build, 'a/package.json': '{"name": "a"}' });
  expect(await targets('a')).toHaveProperty('build-image');
});

test('only a cluster image has a release of ours, whatever the targets are called', async () => {
  const { targets } = await nxWorkspace({ 'a/Dockerfile': 'FROM scratch', 'a/project.json': '{}' });
  const found = await targets('a', { buildTargetName: 'image' });
  expect(found).toHaveProperty('image');
  expect(found).not.toHaveProperty('nx-release-publish');
});

test('an entry covers what Nx gives it', () => {
  const plugin = '@cluster-image/nx';
  const nameFor = (file: string, ...plugins: Parameters<typeof namesFor>[0]['plugins'] & object) =>
    namesFor({ plugins }, file)?.imageTargetName;
  const entry = (imageTargetName: string, rest: object = {}) => ({
    plugin,
    options: { imageTargetName },
    ...rest,
  });
  expect(nameFor('a/Dockerfile')).toBeUndefined();
  expect(nameFor('a/Dockerfile', 'other')).toBeUndefined();
  expect(nameFor('a/Dockerfile', plugin)).toBe('image');
  expect(nameFor('a/Dockerfile', entry('x'))).toBe('x');
  expect(nameFor('a/Dockerfile', entry('x', { include: ['b/**'] }))).toBeUndefined();
  expect(nameFor('.a/Dockerfile', entry('x', { include: ['.a/*'] }))).toBe('x');
  expect(nameFor('a/Dockerfile', entry('x', { exclude: ['a/**'] }))).toBeUndefined();
  expect(nameFor('a/Dockerfile', entry('x', { include: ['!a/**'] }))).toBeUndefined();
  expect(nameFor('b/Dockerfile', entry('x', { include: ['!a/**'] }))).toBe('x');
  expect(nameFor('a/b/Dockerfile', entry('x', { include: ['!a/**', 'a/b/*'] }))).toBe('x');
  expect(nameFor('a/Dockerfile', entry('x'), entry('y'), entry('z', { include: ['b/**'] }))).toBe(
    'y',
  );
});
