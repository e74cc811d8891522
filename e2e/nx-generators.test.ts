import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { pluginTarball } from './support/nx-template.ts';
import { nxVersions } from './support/nx-versions.ts';
import { type NxWorkspace, newNxWorkspace, tasksIn } from './support/nx-workspace.ts';
import { answers, dockerRegistry, type RegistryServer } from './support/servers.ts';
import { workDirectory } from './support/work-directory.ts';

const stream = '--outputStyle=stream';

const work = workDirectory();

describe.each(nxVersions)('with Nx $nx, a workspace of its own', (version) => {
  let workspace: NxWorkspace;
  let registry: RegistryServer;
  const at = (name: string): string => `@cluster-image/nx:${name}`;

  /** What is in the workspace, by name and content. */
  async function state(): Promise<string> {
    await workspace.git('add', '-A');
    return workspace.git('write-tree');
  }

  /** Runs a generator, and again to see that this changes nothing. */
  async function generate(name: string, ...args: readonly string[]): Promise<void> {
    await workspace.nx(['g', at(name), ...args]);
    const first = await state();
    await workspace.nx(['g', at(name), ...args]);
    expect(await state()).toBe(first);
  }

  /** What becomes of the explicit `build-image` where another release of the plugin is installed. */
  async function buildsAgainWithEachRelease(): Promise<void> {
    const build = async () =>
      tasksIn(await workspace.nx(['run', 'edge:build-image', stream]))['edge:build-image'];
    const lockfile = await workspace.read('package-lock.json');
    await build();
    expect(await build()).toBe('cached');
    const { packages, ...rest } = JSON.parse(lockfile);
    packages['node_modules/@cluster-image/nx'].version = '0.0.1';
    packages['node_modules/@cluster-image/nx'].integrity = 'sha512-other';
    await workspace.write({ 'package-lock.json': JSON.stringify({ packages, ...rest }) });
    expect(await build()).toBe('run');
    await workspace.write({ 'package-lock.json': lockfile });
  }

  beforeAll(async () => {
    registry = await dockerRegistry(join(work, `releases-${version.nx}`), work);
    workspace = await newNxWorkspace(join(work, `own-${version.nx}`), { version });
    await workspace.write({
      'cluster-image.json': JSON.stringify({
        registries: { [registry.host]: { plainHttp: true } },
      }),
      'charts/web/Chart.yaml': 'apiVersion: v2\nname: web\nversion: 1.0.0\n',
      'charts/web/templates/a.yaml': 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n',
      'apps/api/project.json': '{ "name": "api" }',
      'apps/api/main.js': 'main',
      'lists/images.txt': 'registry.example/acme/api:dev\n',
      'clusters/sealos/Kubefile': 'FROM scratch\nCOPY manifests ./manifests\n',
      'clusters/sealos/manifests/a.yaml':
        'apiVersion: v1\nkind: ConfigMap\nmetadata: { name: a }\n',
    });
  });

  afterAll(() => registry.stop());

  test('gets the plugin with `nx add`, which sets it up', async () => {
    // Nx alone: what else the plugin needs comes with it.
    await workspace.npm('uninstall', '@cluster-image/nx', '@nx/devkit');
    await workspace.nx(['add', `@cluster-image/nx@file:${await pluginTarball(inject('shared'))}`]);
    const nxJson = JSON.parse(await workspace.read('nx.json'));
    expect(nxJson.plugins).toEqual([{ plugin: '@cluster-image/nx' }]);
    expect(nxJson.sync.globalGenerators).toEqual([at('sync')]);
    const listed = await workspace.nx(['list', '@cluster-image/nx']);
    for (const name of ['cluster-image', 'image', 'convert', 'build-image', 'push-image']) {
      expect(listed).toMatch(new RegExp(`^\\s*${name} : \\w`, 'm'));
    }
    await generate('init');
  });

  test('gets projects from generators, which a dry run only shows', async () => {
    const tag = `${registry.host}/acme/edge:1.0.0`;
    const edge = ['clusters/edge', '--tag', tag, '--chart', 'charts/web'];
    const shown = await workspace.nx(['g', at('cluster-image'), ...edge, '--dry-run']);
    expect(shown).toContain('clusters/edge/Kubefile');
    await expect(workspace.read('clusters/edge/Kubefile')).rejects.toThrow();
    await generate('cluster-image', ...edge);
    expect(await workspace.read('clusters/edge/charts/web/Chart.yaml')).toContain('name: web');
    const image = ['api', '--files', 'main.js', '--clusters', 'edge'];
    await generate('image', ...image, '--tag', 'registry.example/acme/api:dev');
    await workspace.write({
      'clusters/edge/images/shim/images.txt': 'registry.example/acme/api:dev\n',
    });
    await generate('sync');
    const printed = await workspace.nx(['run', 'edge:build-image', stream]);
    expect(Object.keys(tasksIn(printed))).toEqual(
      expect.arrayContaining(['api:image', 'edge:build-image']),
    );
    const project = JSON.parse(await workspace.nx(['show', 'project', 'edge', '--json']));
    expect(project.targets['build-image'].metadata.description).toBe('Build the cluster image');
  });

  test('makes cluster images of nothing, of a list, and of what sealos has built so far', async () => {
    await generate('cluster-image', 'clusters/empty');
    await generate('cluster-image', 'clusters/listed', '--list', 'lists/images.txt');
    const kubefile = await workspace.read('clusters/sealos/Kubefile');
    await generate('cluster-image', 'clusters/sealos', '--name', 'old');
    expect(await workspace.read('clusters/sealos/Kubefile')).toBe(kubefile);
    await workspace.nx(['sync']);
    const printed = await workspace.nx(['run-many', '-t', 'build-image', stream]);
    expect(tasksIn(printed)).toMatchObject({
      'empty:build-image': 'run',
      'listed:build-image': 'run',
      'old:build-image': 'run',
      'api:image': 'cached',
    });
  });

  test('is asked for what a generator needs, and told of it', async () => {
    const help = await workspace.nx(['g', at('cluster-image'), '--help']);
    for (const option of ['directory', 'name', 'tag', 'chart', 'list', 'skipFormat']) {
      expect(help).toContain(`--${option} `);
    }
    const made = ['g', at('cluster-image'), '--dry-run'];
    const asked = await workspace.answer(made, 'In which directory?', 'clusters/asked');
    expect(asked).toContain('CREATE clusters/asked/Kubefile');
    const { code, stdout, stderr } = await workspace.attempt(made);
    expect(code).toBe(1);
    expect(stdout + stderr).toContain("Required property 'directory' is missing");
  });

  test('has the same targets explicitly', async () => {
    const digest = await workspace.read('clusters/edge/dist/image.digest');
    const inferred = await state();
    await generate('convert', 'explicit');
    expect(await workspace.read('clusters/edge/project.json')).toContain('push-image');
    await workspace.nx(['run', 'edge:build-image', '--skip-nx-cache']);
    expect(await workspace.read('clusters/edge/dist/image.digest')).toBe(digest);
    const project = JSON.parse(await workspace.nx(['show', 'project', 'edge', '--json']));
    expect(project.release.version.versionActions).toBe('@cluster-image/nx/version-actions');
    await buildsAgainWithEachRelease();
    await generate('convert', 'inferred');
    expect(await state()).toBe(inferred);
  });

  test('releases its cluster images: versions are tags, and publishing pushes', async () => {
    await workspace.write({
      'nx.json': JSON.stringify({
        ...JSON.parse(await workspace.read('nx.json')),
        release: { projects: ['edge'], version: { currentVersionResolver: 'disk' } },
      }),
    });
    await workspace.git('add', '-A');
    await workspace.git('commit', '-q', '-m', 'all');
    const version = ['release', 'version', 'minor', '--git-commit=false', '--git-tag=false'];
    expect(await workspace.nx([...version, '--dry-run'])).toContain('1.1.0');
    expect(await workspace.read('clusters/edge/project.json')).toContain('edge:1.0.0');
    await workspace.nx([...version, '--stage-changes=false']);
    expect(await workspace.read('clusters/edge/project.json')).toContain('edge:1.1.0');
    expect(await workspace.nx(['release', 'publish', '--dry-run', stream])).toContain('would push');
    expect(await answers(`http://${registry.host}/v2/acme/edge/tags/list`)).toBe(false);
    await workspace.nx(['release', 'publish']);
    const url = `http://${registry.host}/v2/acme/edge/tags/list`;
    expect(await (await fetch(url)).json()).toEqual({ name: 'acme/edge', tags: ['1.1.0'] });
  });

  test('releases a cluster image for the first time, if that has a name', async () => {
    await workspace.write({
      'nx.json': JSON.stringify({
        ...JSON.parse(await workspace.read('nx.json')),
        release: { projects: ['empty'] },
      }),
    });
    const version = ['release', 'version', '1.0.0', '--git-commit=false', '--stage-changes=false'];
    const { code, stdout, stderr } = await workspace.attempt([...version, '--first-release']);
    expect(code).toBe(1);
    expect(stdout + stderr).toContain('clusters/empty/project.json names no image');
    const text = (tag: string): string =>
      `{ "name": "empty",\n  "targets": {"build-image": {"options": {"tag": "${tag}"}}}, "tags": [] }\n`;
    await workspace.write({ 'clusters/empty/project.json': text('registry.example/acme/empty') });
    await workspace.nx([...version, '--first-release']);
    expect(await workspace.read('clusters/empty/project.json')).toBe(
      text('registry.example/acme/empty:1.0.0'),
    );
  });

  test('formats what is generated where prettier is installed', async () => {
    const args = ['clusters/formatted', '--tag', 'registry.example/acme/f:1'];
    await workspace.npm('install', '-D', 'prettier@3');
    await workspace.write({ '.prettierrc': '{ "useTabs": true }\n' });
    await workspace.nx(['g', at('cluster-image'), ...args, '--skipFormat']);
    expect(await workspace.read('clusters/formatted/project.json')).toMatch(/^ {2}"/m);
    await rm(join(workspace.root, 'clusters/formatted'), { recursive: true });
    await generate('cluster-image', ...args);
    expect(await workspace.read('clusters/formatted/project.json')).toMatch(/^\t"/m);
  });
});
