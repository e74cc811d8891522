import { cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { binary } from '../tools/helm/binaries.mjs';
import { type NxWorkspace, newNxWorkspace, packPackages, tasksIn } from './support/nx-workspace.ts';
import { result } from './support/run.ts';

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
    const printed = await workspace.nx(['run-many', '-t', 'build-image'], env);
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
    const printed = await workspace.nx(['affected', '-t', 'build-image', '--base=HEAD']);
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
    expect([...dependencies['edge:build-image']].sort()).toEqual([
      'api:image',
      'edge:cache-images',
      'web:image',
    ]);
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
    await expect(fetch(`${url}/v2/`)).rejects.toThrow();
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
    const printed = await workspace.nx(['run', 'edge:build-image'], env);
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
