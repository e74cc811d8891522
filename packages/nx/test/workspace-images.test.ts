import { describe, expect, test } from 'vitest';
import { nxWorkspace } from './workspace.ts';

const files = {
  'apps/api/project.json': '{"name":"api"}',
  'apps/api/Dockerfile': 'FROM scratch\n',
  'apps/web/project.json': '{"name":"web"}',
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

  test('come from no task where nothing tells which', async () => {
    const { targets, edges } = await workspaceWith({
      'acme/api': 'docker-daemon:apps-api',
      'acme/far': 'oci:../../elsewhere/image',
    });
    expect((await targets('cluster'))['build-image']?.dependsOn).toEqual(['cache-images']);
    expect(await edges(projects)).toEqual([]);
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
