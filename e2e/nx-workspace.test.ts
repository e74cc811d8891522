import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { imageFixture } from '@cluster-image/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { binary } from '../tools/helm/binaries.mjs';
import { fillRegistry } from './support/cluster.ts';
import { type NxWorkspace, newNxWorkspace, packPackages, tasksIn } from './support/nx-workspace.ts';
import { result } from './support/run.ts';
import { answers, dockerDaemon, dockerRegistry, type RegistryServer } from './support/servers.ts';

const stream = '--outputStyle=stream';

let work: string;
let tarballs: readonly string[];

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'cluster-image-e2e-'));
  tarballs = await packPackages(work);
});

afterAll(async () => {
  await rm(work, { recursive: true, force: true });
});

/** A service whose build leaves comments out. */
function service(name: string): Readonly<Record<string, string>> {
  const build = {
    executor: 'nx:run-commands',
    cache: true,
    inputs: ['{projectRoot}/src/**/*'],
    outputs: ['{projectRoot}/dist'],
    options: {
      command: "mkdir -p dist && grep -v '^//' src/main.js > dist/main.js",
      cwd: `apps/${name}`,
    },
  };
  return {
    [`apps/${name}/project.json`]: JSON.stringify({ name, targets: { build } }),
    [`apps/${name}/Dockerfile`]: 'FROM scratch\nCOPY dist/main.js /\nENTRYPOINT ["/main.js"]\n',
    [`apps/${name}/src/main.js`]: `console.log('${name}');\n`,
  };
}

/** A cluster image that contains images of services. */
function cluster(name: string, services: readonly string[]): Readonly<Record<string, string>> {
  const pods = services.map(
    (service) => `---
apiVersion: v1
kind: Pod
metadata: { name: ${service} }
spec: { containers: [{ name: main, image: "registry.example/acme/${service}:dev" }] }
`,
  );
  const workspaceImages = Object.fromEntries(
    services.map((service) => [
      `registry.example/acme/${service}`,
      `oci:../../apps/${service}/dist/image`,
    ]),
  );
  return {
    [`clusters/${name}/project.json`]: JSON.stringify({ name }),
    [`clusters/${name}/Kubefile`]:
      'FROM scratch\nCOPY manifests ./manifests\nCOPY registry ./registry\n',
    [`clusters/${name}/manifests/pods.yaml`]: pods.join(''),
    [`clusters/${name}/cluster-image.json`]: JSON.stringify({ workspaceImages }),
  };
}

describe('three services and two clusters', () => {
  let workspace: NxWorkspace;
  let first: Readonly<Record<string, string>>;

  const places = ['apps/api', 'apps/web', 'apps/worker', 'clusters/edge', 'clusters/core'];

  async function digests(): Promise<Readonly<Record<string, string>>> {
    const found = places.map(async (at) => [at, await workspace.read(`${at}/dist/image.digest`)]);
    return Object.fromEntries(await Promise.all(found));
  }

  async function build(env?: Readonly<Record<string, string>>) {
    const printed = await workspace.nx(['run-many', '-t', 'build-image', stream], env);
    const tasks = Object.entries(tasksIn(printed));
    return tasks.flatMap(([task, state]) => (state === 'run' ? [task] : [])).sort();
  }

  beforeAll(async () => {
    workspace = await newNxWorkspace(join(work, 'services'), tarballs);
    await workspace.nx(['g', '@cluster-image/nx:init', '--skipFormat']);
    await workspace.write({
      ...service('api'),
      ...service('web'),
      ...service('worker'),
      ...cluster('edge', ['api', 'web']),
      ...cluster('core', ['worker']),
    });
    await workspace.nx(['run-many', '-t', 'lock-images', '--projects', 'edge,core']);
    await workspace.git('add', '-A');
    await workspace.git('commit', '-q', '-m', 'all');
  });

  test('are all built the first time, and none of them the second', async () => {
    expect(await build()).toHaveLength(10);
    first = await digests();
    expect(await build()).toEqual([]);
    expect(await digests()).toEqual(first);
  });

  test('change with one service: its image and the cluster that contains it, nothing else', async () => {
    await workspace.write({ 'apps/api/src/main.js': "console.log('changed');\n" });
    expect(await build()).toEqual([
      'api:build',
      'api:image',
      'edge:build-image',
      'edge:cache-images',
    ]);
    const now = await digests();
    const changed = places.filter((at) => now[at] !== first[at]);
    expect(changed).toEqual(['apps/api', 'clusters/edge']);
  });

  test('are affected where they contain what has changed', async () => {
    const affected = JSON.parse(
      await workspace.nx(['show', 'projects', '--affected', '--base=HEAD', '--json']),
    );
    expect([...affected].sort()).toEqual(['api', 'edge']);
    const printed = await workspace.nx(['affected', '-t', 'build-image', '--base=HEAD', stream]);
    expect(Object.keys(tasksIn(printed)).filter((task) => /^core|^worker/.test(task))).toEqual([]);
  });

  test('come back from the cache, with their digests, when it is reverted', async () => {
    await workspace.git('checkout', '-q', 'apps');
    expect(await build()).toEqual([]);
    expect(await digests()).toEqual(first);
  });

  test('stay as they are where a change makes no other image', async () => {
    await workspace.write({ 'apps/api/src/main.js': "// why\nconsole.log('api');\n" });
    expect(await build()).toEqual(['api:build']);
    expect(await digests()).toEqual(first);
    await workspace.git('checkout', '-q', 'apps');
  });

  test('are edges of the graph, of projects and of tasks', async () => {
    const file = join(work, 'graph.json');
    await workspace.nx(['graph', `--file=${file}`]);
    const { graph } = JSON.parse(await readFile(file, 'utf8'));
    const edges = graph.dependencies.edge.map(({ target }: { target: string }) => target);
    expect(edges.sort()).toEqual(['api', 'web']);
    const tasks = join(work, 'tasks.json');
    await workspace.nx(['run', 'edge:build-image', `--graph=${tasks}`]);
    const { dependencies } = JSON.parse(await readFile(tasks, 'utf8')).tasks;
    // Nx 24 has objects where earlier ones have the ids themselves.
    const ids = dependencies['edge:build-image'].map((task: string | { id: string }) =>
      typeof task === 'string' ? task : task.id,
    );
    expect(ids.sort()).toEqual(['api:image', 'edge:cache-images', 'web:image']);
  });

  test('are served while a task runs that needs them', async () => {
    const probe = `
      import { readFile } from 'node:fs/promises';
      for (let tries = 0; tries < 200; tries += 1) {
        try {
          const url = (await readFile('clusters/edge/dist/registry.endpoint', 'utf8')).trim();
          const tags = await (await fetch(url + '/v2/acme/api/tags/list')).json();
          console.log('tags ' + tags.tags);
          process.exit(0);
        } catch {
          await new Promise((resolve) => setTimeout(resolve, 100));
        }
      }
      process.exit(1);
    `;
    const dependsOn = [{ projects: ['edge'], target: 'serve-image', waitFor: 'ready' }];
    await workspace.write({
      'probe/probe.mjs': probe,
      'probe/project.json': JSON.stringify({
        name: 'probe',
        targets: { probe: { command: 'node probe/probe.mjs', dependsOn } },
      }),
    });
    const printed = await workspace.nx(['run', 'probe:probe']);
    expect(printed).toContain('tags dev');
    expect(printed).not.toContain('Terminated');
    const url = (await workspace.read('clusters/edge/dist/registry.endpoint')).trim();
    await expect.poll(() => answers(`${url}/v2/`), { timeout: 10_000 }).toBe(false);
  });

  test('are built again where their cache has come without the store', async () => {
    await build();
    await workspace.write({ 'apps/web/src/main.js': "console.log('new');\n" });
    const env = { CLUSTER_IMAGE_STORE: join(work, 'fresh-store') };
    const printed = await workspace.nx(['run', 'edge:build-image'], env);
    expect(printed).toContain('api:image: parts of the image are not in the store');
    expect((await digests())['apps/api']).toBe(first['apps/api']);
    await workspace.git('checkout', '-q', 'apps');
    const saved = await workspace.nx(['run', 'edge:save-image'], {
      CLUSTER_IMAGE_STORE: join(work, 'fresher-store'),
    });
    expect(saved).toContain(`digest  ${first['clusters/edge']?.trim()}`);
  });

  test('are built again where the cache holds something else', async () => {
    await build();
    const cache = `${workspace.root}-nx-cache`;
    const paths = await readdir(cache, { recursive: true });
    const cached = paths.filter((path) => path.endsWith('apps/api/dist/image/index.json'));
    expect(cached.length).toBeGreaterThan(0);
    for (const path of cached) await writeFile(join(cache, path), '{');
    await rm(join(workspace.root, 'apps/api/dist'), { recursive: true });
    const saved = await workspace.nx(['run', 'edge:save-image', stream], {
      CLUSTER_IMAGE_STORE: join(work, 'freshest-store'),
    });
    expect(tasksIn(saved)['api:image']).toBe('cached');
    expect(saved).toMatch(/api:image: .*index\.json.*; building it again/);
    expect(saved).toContain(`digest  ${first['clusters/edge']?.trim()}`);
    expect(await digests()).toEqual(first);
  });
});

describe('a service whose Dockerfile has RUN', () => {
  test('is built by the engine that nx.json names, and goes into the cluster image as it is', async () => {
    const workspace = await newNxWorkspace(join(work, 'engine'), tarballs);
    const plugin = { plugin: '@cluster-image/nx', options: { engine: 'buildah' } };
    await workspace.write({
      'nx.json': JSON.stringify({ analytics: false, neverConnectToCloud: true, plugins: [plugin] }),
      'apps/tool/project.json': '{ "name": "tool" }',
      'apps/tool/Dockerfile': 'FROM scratch\nCOPY helm /helm\nRUN ["/helm", "version"]\n',
      'storage.conf': `[storage]\ndriver = "vfs"\ngraphroot = "${work}/graph"\nrunroot = "${work}/run"\n`,
      ...cluster('edge', ['tool']),
    });
    await cp(await binary('helm'), join(workspace.root, 'apps/tool/helm'));
    const env = {
      BUILDAH_ISOLATION: 'chroot',
      CONTAINERS_STORAGE_CONF: join(workspace.root, 'storage.conf'),
    };
    await workspace.nx(['run', 'edge:lock-images'], env);
    const printed = await workspace.nx(['run', 'edge:build-image', stream], env);
    expect(tasksIn(printed)).toMatchObject({ 'tool:image': 'run' });
    const digest = (await workspace.read('apps/tool/dist/image.digest')).trim();
    const { images } = await result(
      ['inspect', `oci:${workspace.root}/clusters/edge/dist/image`, '--images'],
      { env: { CLUSTER_IMAGE_STORE: `${workspace.root}-store` } },
    );
    expect(images).toMatchObject([{ repository: 'acme/tool', tag: 'dev', digest }]);
    const missing = { ...env, PATH: dirname(process.execPath) };
    const failed = await workspace.attempt(['run', 'tool:image'], missing);
    expect(failed.code).toBe(1);
    expect(failed.stdout + failed.stderr).toContain('buildah is not on the PATH');
  });
});

describe('lockfiles', () => {
  let workspace: NxWorkspace;
  let upstream: RegistryServer;

  beforeAll(async () => {
    upstream = await dockerRegistry(join(work, 'upstream'), work);
    const image = imageFixture({ seed: 'app', layers: [1000] });
    await fillRegistry(upstream.host, [{ reference: 'docker.io/acme/app:1', image }]);
    workspace = await newNxWorkspace(join(work, 'locks'), tarballs);
    await workspace.nx(['g', '@cluster-image/nx:init', '--skipFormat']);
    await workspace.write({
      'cluster-image.json': JSON.stringify({
        registries: { '*': { mirrors: [`http://${upstream.host}/{host}`] } },
      }),
      'edge/project.json': '{ "name": "edge" }',
      'edge/Kubefile': 'FROM scratch\nCOPY registry ./registry\n',
      'edge/images/shim/list': 'docker.io/acme/app:1\n',
    });
  });

  afterAll(() => upstream.stop());

  test('that do not fit fail `nx sync:check`, and `nx sync` mends them', async () => {
    const before = await workspace.attempt(['sync:check']);
    expect(before.code).toBe(1);
    expect(before.stdout + before.stderr).toContain('docker.io/acme/app:1');
    await expect(workspace.read('edge/cluster-image.lock.json')).rejects.toThrow();
    await workspace.nx(['sync']);
    expect(await workspace.read('edge/cluster-image.lock.json')).toContain('docker.io/acme/app:1');
    await workspace.nx(['sync:check']);
    await workspace.nx(['run', 'edge:build-image']);
  });

  test('that pin what nothing refers to any more do not stand in the way of a build', async () => {
    await workspace.write({ 'edge/images/shim/list': '' });
    await workspace.nx(['run', 'edge:build-image']);
    expect((await workspace.attempt(['sync:check'])).code).toBe(1);
    await workspace.nx(['sync']);
    expect(await workspace.read('edge/cluster-image.lock.json')).not.toContain('acme/app');
  });

  test('leave out what a project builds under that name, and `nx sync` has it come from there', async () => {
    const image = { options: { tag: 'registry.example/acme/api:dev' } };
    await workspace.write({
      'apps/api/project.json': JSON.stringify({ name: 'api', targets: { image } }),
      'apps/api/Dockerfile': 'FROM scratch\nCOPY main.js /\n',
      'apps/api/main.js': 'main',
      'edge/images/shim/list': 'registry.example/acme/api:2.0\ndocker.io/acme/app:1\n',
    });
    const check = await workspace.attempt(['sync:check']);
    expect(check.stdout + check.stderr).toContain('registry.example/acme/api is built at');
    await workspace.nx(['sync']);
    expect(JSON.parse(await workspace.read('edge/cluster-image.json'))).toEqual({
      workspaceImages: { 'registry.example/acme/api': 'oci:../apps/api/dist/image' },
    });
    const lockfile = await workspace.read('edge/cluster-image.lock.json');
    expect(lockfile).toContain('acme/app');
    expect(lockfile).not.toContain('acme/api');
    await workspace.nx(['sync:check']);
    const printed = await workspace.nx(['run', 'edge:build-image', stream]);
    expect(tasksIn(printed)).toMatchObject({ 'api:image': 'run' });
  });

  test('of a context that is broken leave the others as they are', async () => {
    await workspace.write({
      'broken/project.json': '{ "name": "broken" }',
      'broken/Kubefile': 'FROM scratch\nCOPY a b',
      'broken/cluster-image.json': '{ "workspaceImages": ',
      'edge/images/shim/list': 'registry.example/acme/api:2.0\n',
    });
    const check = await workspace.attempt(['sync:check']);
    expect(check.code).toBe(1);
    expect(check.stdout + check.stderr).toContain('broken: ');
    await workspace.nx(['sync']);
    expect(await workspace.read('edge/cluster-image.lock.json')).not.toContain('acme/app');
    await workspace.nx(['run', 'edge:build-image']);
    const broken = await workspace.attempt(['run', 'broken:cache-images']);
    expect(broken.code).toBe(1);
    expect(broken.stdout + broken.stderr).toContain('broken/cluster-image.json:1: ');
  });
});

describe('a workspace of its own', () => {
  let workspace: NxWorkspace;
  let registry: RegistryServer;

  beforeAll(async () => {
    registry = await dockerRegistry(join(work, 'releases'), work);
    workspace = await newNxWorkspace(join(work, 'own'), tarballs);
    await workspace.write({
      'cluster-image.json': JSON.stringify({
        registries: { [registry.host]: { plainHttp: true } },
      }),
      'charts/web/Chart.yaml': 'apiVersion: v2\nname: web\nversion: 1.0.0\n',
      'charts/web/templates/a.yaml': 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n',
      'apps/api/project.json': '{ "name": "api" }',
      'apps/api/main.js': 'main',
    });
  });

  afterAll(() => registry.stop());

  test('gets the plugin with `nx add`, which sets it up', async () => {
    const tarball = tarballs.find((path) => /cluster-image-nx-/.test(path));
    await workspace.nx(['add', `@cluster-image/nx@file:${tarball}`]);
    const nxJson = JSON.parse(await workspace.read('nx.json'));
    expect(nxJson.plugins).toEqual([{ plugin: '@cluster-image/nx' }]);
    expect(nxJson.sync.globalGenerators).toEqual(['@cluster-image/nx:sync']);
    expect(await workspace.nx(['list', '@cluster-image/nx'])).toContain('cluster-image');
  });

  test('gets projects from generators, which a dry run only shows', async () => {
    const tag = `${registry.host}/acme/edge:1.0.0`;
    const edge = [
      ...['g', '@cluster-image/nx:cluster-image', 'clusters/edge'],
      ...['--tag', tag, '--chart', 'charts/web', '--skipFormat'],
    ];
    expect(await workspace.nx([...edge, '--dry-run'])).toContain('clusters/edge/Kubefile');
    await expect(workspace.read('clusters/edge/Kubefile')).rejects.toThrow();
    await workspace.nx(edge);
    await workspace.nx([
      ...['g', '@cluster-image/nx:image', 'api', '--files', 'main.js', '--clusters', 'edge'],
      ...['--tag', 'registry.example/acme/api:dev', '--skipFormat'],
    ]);
    await workspace.write({
      'clusters/edge/images/shim/images.txt': 'registry.example/acme/api:dev\n',
    });
    await workspace.nx(['sync']);
    const printed = await workspace.nx(['run', 'edge:build-image', stream]);
    expect(Object.keys(tasksIn(printed))).toEqual(
      expect.arrayContaining(['api:image', 'edge:build-image']),
    );
    const shown = JSON.parse(await workspace.nx(['show', 'project', 'edge', '--json']));
    expect(shown.targets['build-image'].metadata.description).toBe('Build the cluster image');
  });

  test('has the same targets explicitly', async () => {
    const digest = await workspace.read('clusters/edge/dist/image.digest');
    await workspace.nx(['g', '@cluster-image/nx:convert', 'explicit', '--skipFormat']);
    expect(await workspace.read('clusters/edge/project.json')).toContain('push-image');
    await workspace.nx(['run', 'edge:build-image', '--skip-nx-cache']);
    expect(await workspace.read('clusters/edge/dist/image.digest')).toBe(digest);
    await workspace.nx(['g', '@cluster-image/nx:convert', 'inferred', '--skipFormat']);
    expect(await workspace.read('clusters/edge/project.json')).not.toContain('push-image');
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
});

describe('a service that @nx/docker builds', () => {
  let docker: Awaited<ReturnType<typeof dockerDaemon>>;

  beforeAll(async () => {
    docker = await dockerDaemon(work);
  });

  afterAll(() => docker.stop());

  test('goes into the cluster image, which is built again when its image is another one', async () => {
    const directory = join(work, 'docker-workspace');
    const workspace = await newNxWorkspace(directory, tarballs, ['@nx/docker']);
    const buildTarget = { name: 'docker:build', args: ['--iidfile', 'dist/image.iid'] };
    const plugins = [
      { plugin: '@nx/docker', options: { buildTarget } },
      { plugin: '@cluster-image/nx', options: { imageTargetName: false } },
    ];
    const targetDefaults = { 'docker:build': { outputs: ['{projectRoot}/dist/image.iid'] } };
    const from = { from: 'docker-daemon:apps-web', project: 'web', target: 'docker:build' };
    await workspace.write({
      'nx.json': JSON.stringify({
        neverConnectToCloud: true,
        analytics: false,
        plugins,
        targetDefaults,
      }),
      'apps/web/project.json': '{ "name": "web" }',
      'apps/web/Dockerfile': 'FROM scratch\nCOPY main.js /\n',
      'apps/web/main.js': 'first',
      'apps/web/dist/.keep': '',
      ...cluster('edge', ['web']),
      'clusters/edge/cluster-image.json': JSON.stringify({
        workspaceImages: { 'registry.example/acme/web': from },
      }),
    });
    await workspace.git('add', '-A');
    const env = { DOCKER_HOST: docker.address, DOCKER_BUILDKIT: '0' };
    const build = async (): Promise<Readonly<Record<string, string>>> =>
      tasksIn(await workspace.nx(['run-many', '-t', 'build-image', stream], env));
    await workspace.nx(['run', 'edge:lock-images'], env);
    expect(await build()).toMatchObject({ 'web:docker:build': 'run', 'edge:build-image': 'run' });
    const first = await workspace.read('clusters/edge/dist/image.digest');
    await workspace.write({ 'apps/web/README.md': 'not copied' });
    expect(await build()).toMatchObject({
      'web:docker:build': 'run',
      'edge:build-image': 'cached',
    });
    await workspace.write({ 'apps/web/main.js': 'second' });
    expect(await build()).toMatchObject({ 'edge:build-image': 'run' });
    expect(await workspace.read('clusters/edge/dist/image.digest')).not.toBe(first);
  });
});
