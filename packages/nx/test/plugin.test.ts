import { createNodes, type PluginOptions } from '@cluster-image/nx';
import type { CreateNodesContext, TargetConfiguration } from '@nx/devkit';
import { describe, expect, test } from 'vitest';

const context: CreateNodesContext = { nxJsonConfiguration: {}, workspaceRoot: '/workspace' };

async function infer(files: readonly string[], options?: PluginOptions) {
  const [, create] = createNodes;
  const results = await create(files, options, context);
  return results.map(([file, { projects = {} }]) => ({ file, projects }));
}

async function targetsOf(
  files: readonly string[],
  root: string,
  options?: PluginOptions,
): Promise<Record<string, TargetConfiguration>> {
  const [only] = await infer(files, options);
  return only?.projects[root]?.targets ?? {};
}

describe('inferred targets', () => {
  test('every project with a Kubefile or Sealfile has them', async () => {
    const results = await infer([
      'a/Kubefile',
      'a/project.json',
      'b/Sealfile',
      'b/project.json',
      'c/Kubefile',
      'd/project.json',
    ]);
    expect(results.map(({ file }) => file)).toEqual(['a/Kubefile', 'b/Sealfile']);
  });

  test('a directory with both files is one project, built from its Sealfile', async () => {
    const results = await infer(['a/Kubefile', 'a/Sealfile', 'a/project.json']);
    expect(results.map(({ file }) => file)).toEqual(['a/Sealfile']);
  });

  test('are the same whatever order the files come in', async () => {
    const files = [
      'b/Kubefile',
      'b/project.json',
      'a/Kubefile',
      'a/project.json',
      'a/charts/x.tgz',
    ];
    expect(await infer(files)).toEqual(await infer([...files].reverse()));
  });

  test('building and caching are cached, and leave kilobytes only', async () => {
    const targets = await targetsOf(['a/Kubefile', 'a/project.json'], 'a');
    expect(targets['build-image']).toMatchObject({
      executor: '@cluster-image/nx:build-image',
      cache: true,
      dependsOn: ['cache-images'],
      outputs: ['{projectRoot}/dist/image', '{projectRoot}/dist/image.digest'],
      options: { context: 'a', thin: 'a/dist/image', digestFile: 'a/dist/image.digest' },
    });
    expect(targets['cache-images']).toMatchObject({ cache: true });
  });

  test('pushing, saving, locking and syncing are never cached', async () => {
    const targets = await targetsOf(['a/Kubefile', 'a/project.json'], 'a');
    const uncached = Object.entries(targets).filter(([, target]) => target.cache !== true);
    expect(uncached.map(([name]) => name).sort()).toEqual([
      'lock-images',
      'nx-release-publish',
      'push-image',
      'save-image',
      'serve-image',
      'sync-registry',
    ]);
  });

  test('serving goes on while others need it, and tells Nx 24 when it is up', async () => {
    const targets = await targetsOf(['a/Kubefile', 'a/project.json'], 'a');
    expect(targets['serve-image']).toMatchObject({
      continuous: true,
      readyWhen: { logMatches: 'serving on' },
      dependsOn: ['build-image'],
      options: { locations: ['oci:a/dist/image'], endpointFile: 'a/dist/registry.endpoint' },
    });
  });

  test('depend on helm only where there is a chart, or a configuration that may name one, and on no package', async () => {
    const helm = { runtime: 'helm version --short || echo none' };
    const packages = { externalDependencies: [] };
    const without = await targetsOf(['a/Kubefile', 'a/project.json'], 'a');
    expect(without['build-image']?.inputs).not.toContainEqual(helm);
    expect(without['build-image']?.inputs).toContainEqual(packages);
    const charts = [
      'a/charts/web/Chart.yaml',
      'a/charts/web-1.0.tgz',
      'a/charts/group/db/Chart.yaml',
      'a/deploy/Chart.yaml',
      'a/cluster-image.json',
    ];
    for (const chart of charts) {
      const targets = await targetsOf(['a/Kubefile', 'a/project.json', chart], 'a');
      expect(targets['build-image']?.inputs).toContainEqual(helm);
    }
    const other = await targetsOf(
      ['a/Kubefile', 'a/project.json', 'ab/charts/web/Chart.yaml'],
      'a',
    );
    expect(other['build-image']?.inputs).not.toContainEqual(helm);
  });

  test('depend on kustomize only where there is a kustomization, or a configuration that may name one', async () => {
    const kustomize = { runtime: 'kustomize version || kubectl version --client || echo none' };
    const targetsWith = (file: string) => targetsOf(['a/Kubefile', 'a/project.json', file], 'a');
    const some = ['manifests/kustomization.yaml', 'manifests/b/kustomization.yml'];
    for (const file of [...some, 'manifests/b/c/Kustomization', 'cluster-image.json']) {
      const { 'build-image': build } = await targetsWith(`a/${file}`);
      expect(build?.inputs).toContainEqual(kustomize);
    }
    for (const file of ['a/deploy/kustomization.yaml', 'b/manifests/kustomization.yaml']) {
      const { 'build-image': build } = await targetsWith(file);
      expect(build?.inputs).not.toContainEqual(kustomize);
    }
  });

  test('take no part of what a build makes as input', async () => {
    const { 'build-image': build } = await targetsOf(['a/Kubefile', 'a/project.json'], 'a');
    for (const made of ['registry', 'node_modules', 'dist/image', 'dist/images.json']) {
      expect(build?.inputs).toContain(`!{projectRoot}/${made}/**/*`);
    }
    // What other tasks leave in dist/ may be copied.
    expect(build?.inputs).not.toContain('!{projectRoot}/dist/**/*');
    expect(build?.options.exclude).toContain('dist/registry.endpoint');
  });

  test('take what lies in projects below as input, which is none of their own files to Nx', async () => {
    const files = ['a/Kubefile', 'a/project.json'];
    const { 'build-image': build } = await targetsOf([...files, 'a/charts/web/project.json'], 'a');
    expect(build?.inputs).toContain('{workspaceRoot}/a/**/*');
    expect(build?.inputs).toContain('!{workspaceRoot}/a/dist/image/**/*');
    const { 'build-image': alone } = await targetsOf([...files, 'ab/project.json'], 'a');
    expect(alone?.inputs).toContain('{projectRoot}/**/*');
  });

  test('take what tasks of the project leave before them as input', async () => {
    const { 'build-image': build } = await targetsOf(['a/Kubefile', 'a/project.json'], 'a');
    expect(build?.inputs).toContainEqual({ dependentTasksOutputFiles: 'a/**/*' });
  });

  test('go by the names that nx.json gives them, which they depend on each other by', async () => {
    const targets = await targetsOf(['a/Kubefile', 'a/project.json'], 'a', {
      buildTargetName: 'image',
      cacheTargetName: 'fetch',
    });
    expect(Object.keys(targets)).toContain('image');
    expect(targets.image?.dependsOn).toEqual(['fetch']);
    expect(targets['push-image']).toMatchObject({
      dependsOn: ['image'],
      options: { buildTarget: 'image' },
    });
  });

  test('release what is a cluster image and no npm package', async () => {
    const [released] = await infer(['a/Kubefile', 'a/project.json']);
    expect(released?.projects.a?.release).toEqual({
      version: { versionActions: '@cluster-image/nx/version-actions' },
    });
    expect(released?.projects.a?.targets?.['nx-release-publish']).toMatchObject({
      executor: '@cluster-image/nx:release-publish',
      dependsOn: ['build-image'],
    });
    const [npm] = await infer(['a/Kubefile', 'a/project.json', 'a/package.json']);
    expect(npm?.projects.a?.release).toBeUndefined();
    expect(npm?.projects.a?.targets).not.toHaveProperty('nx-release-publish');
  });

  test('work for a project at the root of the workspace', async () => {
    const targets = await targetsOf(['Kubefile', 'project.json', 'charts/web/Chart.yaml'], '.');
    expect(targets['build-image']?.options).toMatchObject({ context: '.', thin: 'dist/image' });
    expect(targets['build-image']?.inputs).toContainEqual({
      runtime: 'helm version --short || echo none',
    });
    const kustomized = await targetsOf(
      ['Kubefile', 'project.json', 'manifests/kustomization.yaml'],
      '.',
    );
    expect(kustomized['build-image']?.inputs).toContainEqual({
      runtime: 'kustomize version || kubectl version --client || echo none',
    });
  });
});
