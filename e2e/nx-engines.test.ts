import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { nxVersion } from './support/nx-versions.ts';
import { type NxWorkspace, newNxWorkspace, tasksIn } from './support/nx-workspace.ts';
import { result } from './support/run.ts';
import { shellDirectory } from './support/shell.ts';

const stream = '--outputStyle=stream';
const settings = { neverConnectToCloud: true, analytics: false };

let work: string;
let env: Readonly<Record<string, string>>;

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'cluster-image-e2e-'));
  env = { CONTAINERS_STORAGE_CONF: join(work, 'storage.conf') };
});

afterAll(() => rm(work, { recursive: true, force: true }));

async function workspaceIn(
  name: string,
  files: Readonly<Record<string, string>>,
  packages: readonly string[] = [],
): Promise<NxWorkspace> {
  const workspace = await newNxWorkspace(join(work, name), { packages });
  const storage = `[storage]\ndriver = "vfs"\ngraphroot = "${work}/graph"\nrunroot = "${work}/run"\n`;
  await workspace.write({ '../storage.conf': storage, ...files });
  return workspace;
}

test('images whose build file has RUN are built by the engine of the plugin, anew each time', async () => {
  const plugin = '@cluster-image/nx';
  const options = { engine: 'podman', engineArg: ['--isolation=chroot'] };
  const workspace = await workspaceIn('engine', {
    'nx.json': JSON.stringify({ ...settings, plugins: [{ plugin, options }] }),
    'apps/api/project.json': '{ "name": "api" }',
    'apps/api/Dockerfile': 'FROM scratch\nCOPY shell /\nRUN echo api > /made\n',
    'clusters/edge/project.json': '{ "name": "edge" }',
    'clusters/edge/Kubefile':
      'FROM scratch\nCOPY shell /\nRUN echo edge > /made\nCOPY registry ./registry\n',
    'clusters/edge/images/shim/list': 'registry.example/acme/api:1\n',
    'clusters/edge/cluster-image.json': JSON.stringify({
      workspaceImages: { 'registry.example/acme/api': 'oci:../../apps/api/dist/image' },
    }),
    'clusters/plain/project.json': '{ "name": "plain" }',
    'clusters/plain/Kubefile': 'FROM scratch\nCOPY project.json /\n',
  });
  for (const project of ['apps/api', 'clusters/edge']) {
    await shellDirectory(join(workspace.root, project, 'shell'));
  }
  await workspace.git('add', '-A');
  await workspace.nx(['run-many', '-t', 'lock-images'], env);
  for (const _ of ['once', 'again']) {
    const printed = await workspace.nx(['run-many', '-t', 'build-image', stream], env);
    expect(tasksIn(printed)).toMatchObject({ 'api:image': 'run', 'edge:build-image': 'run' });
  }
  const again = await workspace.nx(['run', 'plain:build-image', stream], env);
  expect(tasksIn(again)).toMatchObject({ 'plain:build-image': 'cached' });
  const thin = join(workspace.root, 'clusters/edge/dist/image');
  const inCommand = { env: { CLUSTER_IMAGE_STORE: join(work, 'engine-store') } };
  const { digest, images } = await result(['inspect', `oci:${thin}`, '--images'], inCommand);
  expect(`${digest}\n`).toBe(await workspace.read('clusters/edge/dist/image.digest'));
  const api = (await workspace.read('apps/api/dist/image.digest')).trim();
  expect(images).toMatchObject([{ repository: 'acme/api', digest: api }]);
  await workspace.nx(['run', 'edge:save-image', stream], env);
  const archive = join(workspace.root, 'clusters/edge/dist/image.tar');
  expect((await result(['verify', `docker-archive:${archive}`])).problems).toEqual([]);
});

test('a cluster image that needs an engine says so, and is built when it has one', async () => {
  const workspace = await workspaceIn('without', {
    'nx.json': JSON.stringify({ ...settings, plugins: ['@cluster-image/nx'] }),
    'edge/project.json': '{ "name": "edge" }',
    'edge/Kubefile': 'FROM scratch\nCOPY shell /\nRUN echo edge > /made\n',
  });
  await shellDirectory(join(workspace.root, 'edge/shell'));
  await workspace.nx(['run', 'edge:lock-images'], env);
  const { code, stdout, stderr } = await workspace.attempt(['run', 'edge:build-image'], env);
  expect(code).toBe(1);
  expect(stdout + stderr).toMatch(/Kubefile:3: RUN needs a container(?:.|\n)*--engine docker/);
  const options = { engine: 'buildah', engineArg: ['--isolation=chroot'] };
  await workspace.write({
    'edge/project.json': JSON.stringify({ name: 'edge', targets: { 'build-image': { options } } }),
  });
  await workspace.nx(['run', 'edge:build-image'], env);
  expect(await workspace.read('edge/dist/image.digest')).toMatch(/^sha256:[0-9a-f]{64}\n$/);
});

// It cannot be installed beside Nx 24.
describe.runIf(!nxVersion.nx.startsWith('24.'))('a service that nx-container builds', () => {
  test('goes into the cluster image, which is built again when its image is another one', async () => {
    const outputs = ['{workspaceRoot}/node_modules/.cache/nx-container/{projectName}'];
    const from = 'containers-storage:docker.io/web:dev';
    const workspace = await workspaceIn(
      'nx-container',
      {
        'nx.json': JSON.stringify({
          ...settings,
          plugins: [
            { plugin: '@nx-tools/nx-container', options: { defaultEngine: 'podman' } },
            { plugin: '@cluster-image/nx', options: { imageTargetName: false } },
          ],
          targetDefaults: { container: { outputs } },
        }),
        'apps/web/project.json': '{ "name": "web" }',
        'apps/web/Dockerfile': 'FROM scratch\nCOPY apps/web/main.js /\n',
        'apps/web/main.js': 'first',
        'clusters/edge/project.json': '{ "name": "edge" }',
        'clusters/edge/Kubefile': 'FROM scratch\nCOPY registry ./registry\n',
        'clusters/edge/images/shim/list': 'registry.example/acme/web:1\n',
        'clusters/edge/cluster-image.json': JSON.stringify({
          workspaceImages: {
            'registry.example/acme/web': { from, project: 'web', target: 'container' },
          },
        }),
      },
      ['@nx-tools/nx-container@7.3.0', 'dotenv', 'tslib', `@nx/js@${nxVersion.plugins}`],
    );
    await workspace.git('add', '-A');
    await workspace.nx(['run', 'edge:lock-images'], env);
    const build = async (): Promise<Readonly<Record<string, string>>> =>
      tasksIn(await workspace.nx(['run-many', '-t', 'build-image', stream], env));
    expect(await build()).toMatchObject({ 'web:container': 'run', 'edge:build-image': 'run' });
    const id = await workspace.read('node_modules/.cache/nx-container/web/imageid');
    expect(id).toMatch(/^sha256:[0-9a-f]{64}$/);
    const first = await workspace.read('clusters/edge/dist/image.digest');
    await workspace.write({ 'apps/web/README.md': 'not copied' });
    expect(await build()).toMatchObject({ 'web:container': 'run', 'edge:build-image': 'cached' });
    await workspace.write({ 'apps/web/main.js': 'second' });
    expect(await build()).toMatchObject({ 'edge:build-image': 'run' });
    expect(await workspace.read('clusters/edge/dist/image.digest')).not.toBe(first);
  });
});
