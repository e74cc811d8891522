import { cp } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { binary } from '../tools/helm/binaries.mjs';
import { cluster } from './support/nx-projects.ts';
import { nxVersions } from './support/nx-versions.ts';
import { newNxWorkspace, tasksIn } from './support/nx-workspace.ts';
import { result } from './support/run.ts';
import { dockerDaemon } from './support/servers.ts';
import { workDirectory } from './support/work-directory.ts';

const stream = '--outputStyle=stream';

const work = workDirectory();

describe('a service whose Dockerfile has RUN', () => {
  test('is built by the engine that nx.json names, and goes into the cluster image as it is', async () => {
    const workspace = await newNxWorkspace(join(work, 'engine'));
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

describe.each(nxVersions)('with Nx $nx, a service that @nx/docker builds', (version) => {
  let docker: Awaited<ReturnType<typeof dockerDaemon>>;

  beforeAll(async () => {
    docker = await dockerDaemon(join(work, version.nx));
  });

  afterAll(() => docker.stop());

  test('goes into the cluster image, which is built again when its image is another one', async () => {
    const directory = join(work, `docker-workspace-${version.nx}`);
    const workspace = await newNxWorkspace(directory, {
      version,
      packages: [`@nx/docker@${version.plugins}`],
    });
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
        sync: { globalGenerators: ['@cluster-image/nx:sync'] },
        release: { docker: { registryUrl: 'registry.example' } },
      }),
      'apps/web/project.json': JSON.stringify({
        name: 'web',
        release: { docker: { repositoryName: 'acme/web' } },
      }),
      'apps/web/Dockerfile': 'FROM scratch\nCOPY main.js /\n',
      'apps/web/main.js': 'first',
      'apps/web/dist/.keep': '',
      ...cluster('edge', ['web']),
      'clusters/edge/cluster-image.json': '{}',
    });
    await workspace.git('add', '-A');
    const env = { DOCKER_HOST: docker.address, DOCKER_BUILDKIT: '0' };
    const build = async (): Promise<Readonly<Record<string, string>>> =>
      tasksIn(await workspace.nx(['run-many', '-t', 'build-image', stream], env));
    // By the name under which nx release would publish it.
    await workspace.nx(['sync'], env);
    expect(JSON.parse(await workspace.read('clusters/edge/cluster-image.json'))).toEqual({
      workspaceImages: { 'registry.example/acme/web': from },
    });
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
