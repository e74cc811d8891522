import { readJson, readProjectConfiguration, type Tree, updateJson } from '@nx/devkit';
import { createTreeWithEmptyWorkspace } from '@nx/devkit/testing';
import { beforeEach, describe, expect, test } from 'vitest';
import clusterImage from '../src/generators/cluster-image.ts';
import init from '../src/generators/init.ts';

const skipFormat = true;
let tree: Tree;

beforeEach(() => {
  tree = createTreeWithEmptyWorkspace();
});

describe('init', () => {
  test('adds the plugin and ignores what builds make', async () => {
    await init(tree, { skipFormat });
    expect(readJson(tree, 'nx.json')).toMatchObject({
      plugins: [{ plugin: '@cluster-image/nx' }],
      sync: { globalGenerators: ['@cluster-image/nx:sync'] },
    });
    const ignored = tree.read('.gitignore', 'utf8')?.split('\n');
    expect(ignored).toContain('dist');
    expect(ignored).toContain('**/registry/docker/');
  });

  test('changes nothing the second time', async () => {
    await init(tree, { skipFormat });
    const before = [tree.read('nx.json', 'utf8'), tree.read('.gitignore', 'utf8')];
    await init(tree, { skipFormat });
    expect([tree.read('nx.json', 'utf8'), tree.read('.gitignore', 'utf8')]).toEqual(before);
  });

  test('keeps the plugins and lines that are there', async () => {
    updateJson(tree, 'nx.json', (json) => ({
      ...json,
      plugins: ['@nx/docker'],
      sync: { applyChanges: true, globalGenerators: ['a:b'] },
    }));
    tree.write('.gitignore', '/dist/\nnode_modules');
    await init(tree, { skipFormat });
    expect(readJson(tree, 'nx.json').plugins).toEqual([
      '@nx/docker',
      { plugin: '@cluster-image/nx' },
    ]);
    expect(readJson(tree, 'nx.json').sync).toEqual({
      applyChanges: true,
      globalGenerators: ['a:b', '@cluster-image/nx:sync'],
    });
    expect(tree.read('.gitignore', 'utf8')).toBe('/dist/\nnode_modules\n**/registry/docker/\n');
  });
});

describe('cluster-image', () => {
  test('creates a project that can be built, named after its directory', async () => {
    await clusterImage(tree, { directory: 'clusters/edge', skipFormat });
    expect(readProjectConfiguration(tree, 'edge').root).toBe('clusters/edge');
    expect(tree.read('clusters/edge/Kubefile', 'utf8')).toContain('COPY registry ./registry');
    expect(tree.exists('clusters/edge/images/shim/images.txt')).toBe(true);
    expect(readJson(tree, 'nx.json').plugins).toEqual([{ plugin: '@cluster-image/nx' }]);
  });

  test('gives the image the name it is told', async () => {
    const tag = 'registry.example/edge:1.0';
    await clusterImage(tree, { directory: 'edge', name: 'edge-cluster', tag, skipFormat });
    expect(readProjectConfiguration(tree, 'edge-cluster').targets).toEqual({
      'build-image': { options: { tag } },
    });
  });

  test('leaves the files of an existing context as they are', async () => {
    tree.write('edge/Kubefile', 'FROM scratch\n');
    await clusterImage(tree, { directory: 'edge', skipFormat });
    expect(tree.read('edge/Kubefile', 'utf8')).toBe('FROM scratch\n');
  });

  test.each(['../outside', '/absolute', 'a/../../b'])(
    'refuses to go to %s (N07)',
    async (directory) => {
      await expect(clusterImage(tree, { directory, skipFormat })).rejects.toThrow();
      expect(tree.listChanges().some(({ path }) => path.endsWith('Kubefile'))).toBe(false);
    },
  );
});
