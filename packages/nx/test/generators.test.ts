import {
  addProjectConfiguration,
  readJson,
  readProjectConfiguration,
  type Tree,
  updateJson,
} from '@nx/devkit';
import { createTreeWithEmptyWorkspace } from '@nx/devkit/testing';
import { configurationSchema } from 'cluster-image';
import { beforeEach, describe, expect, test } from 'vitest';
import clusterImage from '../src/generators/cluster-image.ts';
import convert from '../src/generators/convert.ts';
import image from '../src/generators/image.ts';
import init from '../src/generators/init.ts';

const skipFormat = true;
let tree: Tree;

/** Two entries of the plugin, of which the first covers all but what is old. */
const renamed = [
  {
    plugin: '@cluster-image/nx',
    include: ['clusters/**', 'apps/**', 'old/**'],
    exclude: ['old/**'],
    options: { lockTargetName: 'pin', buildTargetName: 'cluster', imageTargetName: 'container' },
  },
  { plugin: '@cluster-image/nx', include: ['old/**'] },
];

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

  test('takes a name with a scope', async () => {
    await clusterImage(tree, { directory: 'clusters/edge', name: '@acme/edge', skipFormat });
    expect(readProjectConfiguration(tree, '@acme/edge').root).toBe('clusters/edge');
  });

  test('refuses the name of a project elsewhere, which would break the graph of all', async () => {
    addProjectConfiguration(tree, 'edge', { root: 'apps/edge' });
    await expect(clusterImage(tree, { directory: 'other/edge', skipFormat })).rejects.toThrow(
      'there is a project edge in apps/edge already: give this one another name with --name',
    );
    expect(tree.exists('other/edge')).toBe(false);
    await clusterImage(tree, { directory: 'other/edge', name: 'other-edge', skipFormat });
    expect(readProjectConfiguration(tree, 'other-edge').root).toBe('other/edge');
  });

  test('leaves a project that is there its name, a package too', async () => {
    updateJson(tree, 'package.json', (json) => ({ ...json, workspaces: ['clusters/*'] }));
    tree.write('clusters/edge/package.json', '{ "name": "@acme/edge" }');
    await clusterImage(tree, { directory: 'clusters/edge', name: 'other', skipFormat });
    expect(tree.exists('clusters/edge/project.json')).toBe(false);
    expect(tree.read('clusters/edge/README.md', 'utf8')).toContain('nx run @acme/edge:build-image');
  });

  test('calls targets as the entry of the plugin does that covers the directory', async () => {
    updateJson(tree, 'nx.json', (json) => ({ ...json, plugins: renamed }));
    const tag = 'registry.example/edge:1.0';
    await clusterImage(tree, { directory: 'clusters/edge', tag, skipFormat });
    expect(readProjectConfiguration(tree, 'edge').targets).toEqual({
      cluster: { options: { tag } },
    });
    expect(tree.read('clusters/edge/README.md', 'utf8')).toContain(
      [
        '    nx run edge:pin            pins the images to digests; commit cluster-image.lock.json',
        '    nx run edge:cluster        builds the cluster image',
        '    nx run edge:push-image     pushes it',
      ].join('\n'),
    );
    await clusterImage(tree, { directory: 'old/core', tag, skipFormat });
    expect(readProjectConfiguration(tree, 'core').targets).toEqual({
      'build-image': { options: { tag } },
    });
  });

  test('leaves the files of an existing context as they are', async () => {
    tree.write('edge/Kubefile', 'FROM scratch\n');
    await clusterImage(tree, { directory: 'edge', skipFormat });
    expect(tree.read('edge/Kubefile', 'utf8')).toBe('FROM scratch\n');
  });

  test('begins with a chart of the workspace, which it installs', async () => {
    tree.write('charts/web/Chart.yaml', 'name: web\n');
    tree.write('charts/web/templates/a.yaml', 'a');
    await clusterImage(tree, { directory: 'edge', chart: 'charts/web', skipFormat });
    expect(tree.read('edge/charts/web/Chart.yaml', 'utf8')).toBe('name: web\n');
    expect(tree.exists('edge/charts/web/templates/a.yaml')).toBe(true);
    expect(tree.read('edge/Kubefile', 'utf8')).toContain(
      'CMD ["helm upgrade --install web charts/web"]',
    );
  });

  test('begins with a packed chart', async () => {
    tree.write('web-1.2.3.tgz', Buffer.from([0x1f, 0x8b, 0xff]));
    await clusterImage(tree, { directory: 'edge', chart: 'web-1.2.3.tgz', skipFormat });
    expect(tree.read('edge/charts/web-1.2.3.tgz')).toEqual(Buffer.from([0x1f, 0x8b, 0xff]));
    expect(tree.read('edge/Kubefile', 'utf8')).toContain('--install web charts/web-1.2.3.tgz');
  });

  test('begins with a chart of a repository, which the lockfile is to pin', async () => {
    const chart = 'oci://registry.example:5000/charts/web:1.2.3';
    await clusterImage(tree, { directory: 'edge', chart, skipFormat });
    const configuration = readJson(tree, 'edge/cluster-image.json');
    expect(configuration).toEqual({
      charts: {
        'charts/web.tgz': {
          repository: 'oci://registry.example:5000/charts',
          name: 'web',
          version: '1.2.3',
        },
      },
    });
    expect(configurationSchema.safeParse(configuration).success).toBe(true);
  });

  test('refuses what is no chart', async () => {
    const options = { directory: 'edge', chart: 'nowhere', skipFormat };
    await expect(clusterImage(tree, options)).rejects.toThrow('nowhere');
  });

  test('begins with a list of images', async () => {
    tree.write('lists/images.txt', 'nginx:1\n');
    await clusterImage(tree, { directory: 'edge', list: 'lists/images.txt', skipFormat });
    expect(tree.read('edge/images/shim/images.txt', 'utf8')).toBe('nginx:1\n');
  });

  test('makes a project of a context of sealer and changes nothing in it', async () => {
    tree.write('edge/Kubefile', 'FROM docker.io/sealerio/kubernetes:v1\nLAUNCH ["a"]\n');
    await clusterImage(tree, { directory: 'edge', skipFormat });
    const changes = tree.listChanges().map(({ path }) => path);
    expect(changes.filter((path) => path.startsWith('edge/')).sort()).toEqual([
      'edge/Kubefile',
      'edge/project.json',
    ]);
  });

  test('changes nothing the second time', async () => {
    const options = { directory: 'edge', chart: 'https://charts.example/web', skipFormat };
    await clusterImage(tree, options);
    const before = tree.listChanges().map(({ path, content }) => [path, content?.toString()]);
    await clusterImage(tree, options);
    const after = tree.listChanges().map(({ path, content }) => [path, content?.toString()]);
    expect(after).toEqual(before);
  });

  test.each(['../outside', '/absolute', 'a/../../b'])(
    'refuses to go to %s (N07)',
    async (directory) => {
      await expect(clusterImage(tree, { directory, skipFormat })).rejects.toThrow();
      expect(tree.listChanges().some(({ path }) => path.endsWith('Kubefile'))).toBe(false);
    },
  );
});

describe('image', () => {
  beforeEach(() => {
    addProjectConfiguration(tree, 'api', { root: 'apps/api' });
    addProjectConfiguration(tree, 'edge', { root: 'clusters/edge' });
  });

  const options = {
    project: 'api',
    base: 'node:24',
    files: ['dist', 'package.json'],
    entrypoint: ['node', 'dist/main.js'],
    tag: 'registry.example:5000/acme/api:dev',
    clusters: ['edge'],
    skipFormat,
  };

  test('writes a Dockerfile, names the image, and has it in cluster images', async () => {
    await image(tree, options);
    expect(tree.read('apps/api/Dockerfile', 'utf8')).toBe(
      'FROM node:24\nWORKDIR /app\nCOPY dist ./dist\nCOPY package.json ./package.json\nENTRYPOINT ["node","dist/main.js"]\n',
    );
    expect(readProjectConfiguration(tree, 'api').targets).toEqual({
      image: { options: { tag: options.tag } },
    });
    expect(readJson(tree, 'clusters/edge/cluster-image.json')).toEqual({
      workspaceImages: { 'registry.example:5000/acme/api': 'oci:../../apps/api/dist/image' },
    });
  });

  test('leaves what is there as it is', async () => {
    tree.write('apps/api/Dockerfile', 'FROM scratch\n');
    tree.write('clusters/edge/cluster-image.json', '{"workspaceImages":{"a":"oci:b"}}');
    await image(tree, options);
    await image(tree, options);
    expect(tree.read('apps/api/Dockerfile', 'utf8')).toBe('FROM scratch\n');
    expect(readJson(tree, 'clusters/edge/cluster-image.json').workspaceImages).toEqual({
      'registry.example:5000/acme/api': 'oci:../../apps/api/dist/image',
      a: 'oci:b',
    });
  });

  test('says it in the configuration where no Dockerfile is wanted, once', async () => {
    await image(tree, { ...options, dockerfile: false });
    const said = {
      from: 'node:24',
      workdir: '/app',
      files: { dist: './dist', 'package.json': './package.json' },
      entrypoint: ['node', 'dist/main.js'],
    };
    expect(readJson(tree, 'apps/api/cluster-image.json')).toEqual({ image: said });
    await image(tree, { ...options, base: 'other:1', dockerfile: false });
    await image(tree, options);
    expect(readJson(tree, 'apps/api/cluster-image.json')).toEqual({ image: said });
    expect(tree.exists('apps/api/Dockerfile')).toBe(false);
  });

  test('calls its target as the entry of the plugin does that covers the project', async () => {
    updateJson(tree, 'nx.json', (json) => ({ ...json, plugins: renamed }));
    await image(tree, options);
    expect(readProjectConfiguration(tree, 'api').targets).toEqual({
      container: { options: { tag: options.tag } },
    });
  });

  test('names the image of an explicit target', async () => {
    updateJson(tree, 'nx.json', (json) => ({ ...json, plugins: renamed }));
    const container = { executor: '@cluster-image/nx:image', options: { context: 'apps/own' } };
    addProjectConfiguration(tree, 'own', { root: 'apps/own', targets: { own: container } });
    await image(tree, { ...options, project: 'own' });
    expect(readProjectConfiguration(tree, 'own').targets).toEqual({
      own: { ...container, options: { context: 'apps/own', tag: options.tag } },
    });
  });

  test('is refused where the plugin leaves images alone', async () => {
    const plugin = { plugin: '@cluster-image/nx', options: { imageTargetName: false } };
    updateJson(tree, 'nx.json', (json) => ({ ...json, plugins: [plugin] }));
    await expect(image(tree, options)).rejects.toThrow(
      'nx.json: "imageTargetName": false gives apps/api/Dockerfile no target',
    );
    expect(tree.exists('apps/api/Dockerfile')).toBe(false);
  });

  test('has nothing to name it by in cluster images without a tag', async () => {
    await expect(image(tree, { ...options, tag: undefined })).rejects.toThrow('--tag');
  });
});

describe('convert', () => {
  beforeEach(async () => {
    await init(tree, { skipFormat });
    await clusterImage(tree, { directory: 'edge', tag: 'acme/edge:1', skipFormat });
    await clusterImage(tree, { directory: 'core', skipFormat });
  });

  test('writes the targets of a project, and has the plugin look elsewhere', async () => {
    await convert(tree, { to: 'explicit', project: 'edge', skipFormat });
    const { targets = {} } = readProjectConfiguration(tree, 'edge');
    expect(targets['build-image']).toMatchObject({
      executor: '@cluster-image/nx:build-image',
      cache: true,
      options: { context: 'edge', tag: 'acme/edge:1' },
    });
    expect(Object.keys(targets)).toContain('push-image');
    expect(readProjectConfiguration(tree, 'core').targets).toEqual({});
    expect(readJson(tree, 'nx.json').plugins).toEqual([
      { plugin: '@cluster-image/nx', exclude: ['edge/Kubefile'] },
    ]);
  });

  test('writes how `nx release` versions the image, beside what the project says of that', async () => {
    const release = { version: { currentVersionResolver: 'disk' } };
    updateJson(tree, 'edge/project.json', (json) => ({ ...json, release }));
    await convert(tree, { to: 'explicit', skipFormat });
    const versionActions = '@cluster-image/nx/version-actions';
    expect(readJson(tree, 'core/project.json').release).toEqual({ version: { versionActions } });
    expect(readJson(tree, 'edge/project.json').release).toEqual({
      version: { versionActions, currentVersionResolver: 'disk' },
    });
    await convert(tree, { to: 'inferred', skipFormat });
    expect(readJson(tree, 'edge/project.json').release).toEqual(release);
    expect(readJson(tree, 'core/project.json')).not.toHaveProperty('release');
  });

  test('leaves the format of outputs to the hash of the release, which is part of no file', async () => {
    await convert(tree, { to: 'explicit', skipFormat });
    const { targets } = readJson(tree, 'edge/project.json');
    expect(targets['build-image'].options).not.toHaveProperty('format');
    expect(targets['build-image'].inputs).toContain('{workspaceRoot}/cluster-image.json');
    expect(JSON.stringify(targets)).not.toContain('externalDependencies');
  });

  test('looks where the entries of the plugin do, and calls targets as each of them does', async () => {
    const plugin = '@cluster-image/nx';
    const first = { plugin, include: ['edge/**'], options: { buildTargetName: 'cluster' } };
    const second = { plugin, exclude: ['edge/**', 'apps/**'] };
    const plugins = [first, '@nx/docker', second];
    updateJson(tree, 'nx.json', (json) => ({ ...json, plugins }));
    addProjectConfiguration(tree, 'web', { root: 'apps/web' });
    tree.write('apps/web/Kubefile', 'FROM scratch\n');
    const before = tree.read('apps/web/project.json', 'utf8');
    await convert(tree, { to: 'explicit', skipFormat });
    expect(tree.read('apps/web/project.json', 'utf8')).toBe(before);
    const edge = Object.keys(readJson(tree, 'edge/project.json').targets);
    expect(edge).toContain('cluster');
    expect(Object.keys(readJson(tree, 'core/project.json').targets)).toContain('build-image');
    expect(readJson(tree, 'nx.json').plugins).toEqual([
      { ...first, exclude: ['edge/Kubefile'] },
      '@nx/docker',
      { ...second, exclude: ['edge/**', 'apps/**', 'core/Kubefile'] },
    ]);
    await convert(tree, { to: 'inferred', skipFormat });
    expect(readJson(tree, 'nx.json').plugins).toEqual(plugins);
  });

  test('writes into package.json where that is what makes a project, and no scripts', async () => {
    updateJson(tree, 'package.json', (json) => ({ ...json, workspaces: ['apps/*'] }));
    const text = '{ "name": "@acme/web", "scripts": { "test": "true" } }';
    tree.write('apps/web/package.json', text);
    tree.write('apps/web/Kubefile', 'FROM scratch\n');
    await convert(tree, { to: 'explicit', project: '@acme/web', skipFormat });
    const { nx } = readJson(tree, 'apps/web/package.json');
    expect(nx.targets['build-image'].executor).toBe('@cluster-image/nx:build-image');
    expect(nx.targets).not.toHaveProperty('test');
    await convert(tree, { to: 'inferred', project: '@acme/web', skipFormat });
    expect(readJson(tree, 'apps/web/package.json')).toEqual(JSON.parse(text));
  });

  test('and back again leaves what was there before', async () => {
    const files = ['edge/project.json', 'core/project.json', 'nx.json'];
    const before = files.map((file) => tree.read(file, 'utf8'));
    await convert(tree, { to: 'explicit', skipFormat });
    await convert(tree, { to: 'inferred', skipFormat });
    expect(files.map((file) => tree.read(file, 'utf8'))).toEqual(before);
  });

  test('the second time changes nothing', async () => {
    await convert(tree, { to: 'explicit', skipFormat });
    const before = [tree.read('edge/project.json', 'utf8'), readJson(tree, 'nx.json')];
    await convert(tree, { to: 'explicit', skipFormat });
    expect([tree.read('edge/project.json', 'utf8'), readJson(tree, 'nx.json')]).toEqual(before);
  });

  test('knows of no project where the plugin finds nothing', async () => {
    await expect(convert(tree, { to: 'explicit', project: 'none', skipFormat })).rejects.toThrow(
      'none',
    );
  });
});
