import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { nxWorkspace } from './workspace.ts';

const files = {
  'apps/api/project.json': '{"name":"api"}',
  'apps/api/Dockerfile': 'FROM scratch\n',
  'apps/web/project.json': '{"name":"web"}',
  'apps/web/Containerfile': 'FROM scratch\n',
  'clusters/base/project.json': '{"name":"base"}',
  'clusters/base/Kubefile': 'FROM scratch\n',
  'cluster/project.json': '{"name":"cluster"}',
  'cluster/Kubefile': 'FROM scratch\n',
};

const projects = {
  api: 'apps/api',
  web: 'apps/web',
  base: 'clusters/base',
  cluster: 'cluster',
};

const digests = { dependentTasksOutputFiles: '**/@(image.digest|image.iid|imageid)' };

function workspaceWith(images: object, path = 'cluster/cluster-image.json') {
  return nxWorkspace({ ...files, [path]: JSON.stringify({ workspaceImages: images }) });
}

describe('images that the workspace builds', () => {
  test('are built before the cluster image, whose hash is that of their digests', async () => {
    const { targets, edges } = await workspaceWith({
      'acme/api': 'oci:../apps/api/dist/image',
      'acme/base': 'oci:../clusters/base/dist/image',
    });
    const tasks = [
      { projects: ['directory:apps/api'], target: 'image' },
      { projects: ['directory:clusters/base'], target: 'build-image' },
    ];
    const { 'build-image': build, 'cache-images': cache } = await targets('cluster');
    expect(build?.dependsOn).toEqual(['cache-images', ...tasks]);
    expect(cache?.dependsOn).toEqual(tasks);
    for (const target of [build, cache]) expect(target?.inputs).toContainEqual(digests);
    expect(await edges(projects)).toEqual([
      'cluster -> api, static by cluster/cluster-image.json',
      'cluster -> base, static by cluster/cluster-image.json',
    ]);
  });

  test('are built by the task that is named, wherever they are', async () => {
    const { targets, edges } = await workspaceWith({
      'acme/api': { from: 'docker-daemon:apps-api', project: 'api', target: 'docker:build' },
      'acme/web': { from: 'oci-archive:../apps/web/web.tar', target: 'pack' },
    });
    const { 'build-image': build } = await targets('cluster');
    expect(build?.dependsOn).toEqual([
      'cache-images',
      { projects: ['api'], target: 'docker:build' },
      { projects: ['directory:apps/web'], target: 'pack' },
    ]);
    expect(build?.inputs).toContainEqual({ dependentTasksOutputFiles: 'apps/web/web.tar' });
    expect(await edges(projects)).toHaveLength(2);
  });

  test('of an engine come from no task where nothing tells which, and nothing then comes from a cache', async () => {
    const { targets, edges } = await workspaceWith({ 'acme/api': 'docker-daemon:apps-api' });
    const { 'build-image': build, 'cache-images': cache } = await targets('cluster');
    expect([build?.dependsOn, build?.cache, cache?.cache]).toEqual([
      ['cache-images'],
      false,
      false,
    ]);
    expect(await edges(projects)).toEqual([]);
    const named = { from: 'docker-daemon:apps-api', project: 'api', target: 'docker:build' };
    const known = await workspaceWith({ 'acme/api': named });
    expect((await known.targets('cluster'))['build-image']?.cache).toBe(true);
  });

  test('that no task makes are inputs themselves', async () => {
    const { targets, edges } = await nxWorkspace({
      ...files,
      'package.json': '{"name":"workspace"}',
      'cluster/cluster-image.json': JSON.stringify({
        workspaceImages: {
          'acme/layout': 'oci:../third_party/layout',
          'acme/archive': 'docker-archive:../third_party/archive.tar',
          'acme/far': 'oci:../../elsewhere/image',
        },
      }),
    });
    const { 'build-image': build } = await targets('cluster');
    expect([build?.dependsOn, build?.cache]).toEqual([['cache-images'], true]);
    expect(build?.inputs).toContain('{workspaceRoot}/third_party/layout/index.json');
    expect(build?.inputs).toContain('{workspaceRoot}/third_party/archive.tar');
    expect(JSON.stringify(build?.inputs)).not.toContain('elsewhere');
    expect(await edges(projects)).toEqual([]);
  });

  test('that other tasks leave as a layout are known by its index', async () => {
    const { targets } = await workspaceWith({
      'acme/web': { from: 'oci:../apps/web/out/layout', target: 'pack' },
      'acme/api': 'oci:../apps/api/dist/image',
    });
    const { 'build-image': build } = await targets('cluster');
    const index = { dependentTasksOutputFiles: 'apps/web/out/layout/index.json' };
    expect(build?.inputs).toContainEqual(index);
    expect(JSON.stringify(build?.inputs)).not.toContain('api/dist/image/index.json');
  });

  test.each([
    ['project.json', { targets: { pack: { executor: '@cluster-image/nx:image' } } }, 'pack'],
    [
      'package.json',
      { nx: { targets: { pack: { executor: '@cluster-image/nx:image' } } } },
      'pack',
    ],
    ['package.json', { scripts: { image: 'make' } }, 'image'],
  ])('are built by what %s says', async (file, text, target) => {
    const { targets } = await nxWorkspace({
      ...files,
      'apps/own/project.json': '{}',
      [`apps/own/${file}`]: JSON.stringify(text),
      'cluster/cluster-image.json': '{"workspaceImages": {"acme/own": "oci:../apps/own/out"}}',
    });
    const { 'build-image': build } = await targets('cluster');
    expect(build?.dependsOn).toContainEqual({ projects: ['directory:apps/own'], target });
  });

  test('may be said once for all clusters', async () => {
    const images = { 'acme/api': 'oci:apps/api/dist/image' };
    const { targets, edges } = await workspaceWith(images, 'cluster-image.json');
    for (const root of ['cluster', 'clusters/base']) {
      expect((await targets(root))['build-image']?.dependsOn).toContainEqual({
        projects: ['directory:apps/api'],
        target: 'image',
      });
    }
    expect(await edges(projects)).toEqual(['base -> api, implicit', 'cluster -> api, implicit']);
  });

  test('belong to the project that builds them, not to a package that was written among its outputs', async () => {
    const images = {
      'acme/api': 'oci:../apps/api/dist/image',
      'acme/web': { from: 'oci-archive:../apps/web/dist/web.tar', target: 'pack' },
    };
    const workspace = await workspaceWith(images);
    // Nx does not show what git ignores.
    for (const app of ['api', 'web']) {
      const made = join(workspace.root, 'apps', app, 'dist');
      await mkdir(made, { recursive: true });
      await writeFile(join(made, 'package.json'), `{ "name": "@acme/${app}" }`);
    }
    const { 'build-image': build } = await workspace.targets('cluster');
    expect(build?.dependsOn).toEqual([
      'cache-images',
      { projects: ['directory:apps/api'], target: 'image' },
      { projects: ['directory:apps/web'], target: 'pack' },
    ]);
  });

  test('for several platforms are built by the target that joins them, also where that is written down', async () => {
    const parts = ['linux-amd64', 'linux-arm64'].map((platform) => [
      `image-${platform}`,
      { executor: '@cluster-image/nx:image' },
    ]);
    const targets = {
      ...Object.fromEntries(parts),
      pack: { executor: '@cluster-image/nx:image-index' },
    };
    const workspace = await nxWorkspace({
      ...files,
      'apps/own/project.json': JSON.stringify({ targets }),
      'cluster/cluster-image.json':
        '{"workspaceImages": {"acme/own": "oci:../apps/own/dist/image"}}',
    });
    const { 'build-image': build } = await workspace.targets('cluster');
    expect(build?.dependsOn).toContainEqual({ projects: ['directory:apps/own'], target: 'pack' });
  });

  test('go by the names that nx.json gives targets', async () => {
    const { targets } = await workspaceWith({ 'acme/api': 'oci:../apps/api/dist/image' });
    const { build } = await targets('cluster', {
      buildTargetName: 'build',
      imageTargetName: 'container',
    });
    expect(build?.dependsOn).toContainEqual({
      projects: ['directory:apps/api'],
      target: 'container',
    });
  });

  test('are found where this entry of the plugin covers the cluster only', async () => {
    const plugin = '@cluster-image/nx';
    const clusters = { plugin, include: ['cluster*/**'] };
    const apps = { plugin, exclude: ['cluster*/**'], options: { imageTargetName: 'container' } };
    const images = {
      'acme/api': 'oci:apps/api/dist/image',
      'acme/base': 'oci:clusters/base/dist/image',
    };
    const all = { ...files, 'cluster-image.json': JSON.stringify({ workspaceImages: images }) };
    const isCovered = (path: string): boolean => path.startsWith('cluster');
    const { targets } = await nxWorkspace(all, { plugins: [clusters, apps] });
    const { 'build-image': build } = await targets('cluster', {}, isCovered);
    expect(build?.dependsOn).toEqual([
      'cache-images',
      { projects: ['directory:apps/api'], target: 'container' },
      { projects: ['directory:clusters/base'], target: 'build-image' },
    ]);
    // Those that no entry covers are none of ours, but for what their own files say.
    const without = await nxWorkspace(all, { plugins: [clusters] });
    const { 'build-image': lonely } = await without.targets('cluster', {}, isCovered);
    expect(lonely?.dependsOn).toEqual([
      'cache-images',
      { projects: ['directory:clusters/base'], target: 'build-image' },
    ]);
    expect(lonely?.inputs).toContain('{workspaceRoot}/apps/api/dist/image/index.json');
  });

  test('may be said in a file with a byte order mark', async () => {
    const workspaceImages = { 'acme/api': 'oci:../apps/api/dist/image' };
    const text = `\uFEFF${JSON.stringify({ workspaceImages })}`;
    const { targets, edges } = await nxWorkspace({ ...files, 'cluster/cluster-image.json': text });
    expect((await targets('cluster'))['build-image']?.dependsOn).toHaveLength(2);
    expect(await edges(projects)).toHaveLength(1);
  });

  test.each([
    '{',
    '[]',
    'null',
    '{"workspaceImages": 1}',
    '{"workspaceImages": {"a": [], "b": ""}}',
  ])('are none in a configuration that is broken: %s', async (text) => {
    const workspace = await nxWorkspace({ ...files, 'cluster/cluster-image.json': text });
    const { 'build-image': build } = await workspace.targets('cluster');
    expect(build?.dependsOn).toEqual(['cache-images']);
    expect(await workspace.edges(projects)).toEqual([]);
  });
});

describe('a configuration', () => {
  test.each([
    ['{}', []],
    ['{"charts":{}}', ['helm']],
    ['{"kustomize":{}}', ['kustomize']],
  ])('asks for no tool that it has no use for: %s', async (text, tools) => {
    const { targets } = await nxWorkspace({ ...files, 'cluster/cluster-image.json': text });
    const { 'build-image': build } = await targets('cluster');
    const runtimes = (build?.inputs ?? []).flatMap((input) =>
      typeof input === 'object' && 'runtime' in input ? [input.runtime.split(' ')[0]] : [],
    );
    expect(runtimes).toEqual(tools);
  });
});

describe('an image that is built upon one of the workspace', () => {
  const shared = {
    'cluster-image.json': JSON.stringify({
      workspaceImages: {
        'docker.io/library/base': 'oci:apps/web/dist/image',
        'registry.example/acme/other': 'oci:clusters/base/dist/image',
      },
    }),
  };

  test.each<[string, boolean]>([
    ['FROM base:1', true],
    ['FROM scratch AS one\nFROM --platform=linux/amd64 docker.io/base', true],
    ['ARG BASE=docker.io/base:1\nFROM $BASE', true],
    ['FROM registry.example/base:1', false],
    ['FROM $BASE', false],
    ['FROM scratch', false],
  ])('%j is built after it: %s', async (dockerfile, isUpon) => {
    const { targets, edges } = await nxWorkspace({
      ...files,
      ...shared,
      'apps/api/Dockerfile': dockerfile,
    });
    const { image } = await targets('apps/api');
    const task = { projects: ['directory:apps/web'], target: 'image' };
    expect(image?.dependsOn).toEqual(isUpon ? ['build', task] : ['build']);
    expect(image?.inputs?.some((input) => JSON.stringify(input) === JSON.stringify(digests))).toBe(
      isUpon,
    );
    const found = await edges({ api: 'apps/api', web: 'apps/web' });
    expect(found).toEqual(isUpon ? ['api -> web, implicit'] : []);
  });

  test('may be said in the configuration', async () => {
    const { targets } = await nxWorkspace({
      ...shared,
      'apps/web/project.json': '{}',
      'apps/web/Dockerfile': 'FROM scratch\n',
      'apps/api/project.json': '{}',
      'apps/api/cluster-image.json': '{"image": {"from": "base"}}',
    });
    expect((await targets('apps/api')).image?.dependsOn).toHaveLength(2);
    expect((await targets('apps/web')).image?.dependsOn).toEqual(['build']);
  });
});
