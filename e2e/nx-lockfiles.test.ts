import { join } from 'node:path';
import { imageFixture } from '@cluster-image/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fillRegistry } from './support/cluster.ts';
import { nxVersions } from './support/nx-versions.ts';
import { type NxWorkspace, newNxWorkspace, tasksIn } from './support/nx-workspace.ts';
import { dockerRegistry, type RegistryServer } from './support/servers.ts';
import { workDirectory } from './support/work-directory.ts';

const stream = '--outputStyle=stream';

const work = workDirectory();

describe.each(nxVersions)('with Nx $nx, lockfiles', (version) => {
  let workspace: NxWorkspace;
  let upstream: RegistryServer;

  beforeAll(async () => {
    upstream = await dockerRegistry(join(work, `upstream-${version.nx}`), work);
    const image = imageFixture({ seed: 'app', layers: [1000] });
    await fillRegistry(upstream.host, [{ reference: 'docker.io/acme/app:1', image }]);
    workspace = await newNxWorkspace(join(work, `locks-${version.nx}`), { version });
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
    const sync = await workspace.attempt(['sync']);
    expect(sync.code).toBe(1);
    expect(sync.stdout + sync.stderr).toMatch(/broken: .*broken\/cluster-image\.json:1: /);
    expect(await workspace.read('edge/cluster-image.lock.json')).not.toContain('acme/app');
    await workspace.nx(['run', 'edge:build-image']);
    const broken = await workspace.attempt(['run', 'broken:cache-images']);
    expect(broken.code).toBe(1);
    expect(broken.stdout + broken.stderr).toContain('broken/cluster-image.json:1: ');
  });

  test('are built from through a registry that is a task itself, for which ours wait', async () => {
    const upstreamImages = 'tmp/upstream.endpoint';
    const serve = {
      executor: '@cluster-image/nx:serve-image',
      continuous: true,
      options: { locations: [`registry:${upstream.directory}`], endpointFile: upstreamImages },
    };
    const dependsOn = [{ projects: ['upstream'], target: 'serve' }];
    await workspace.write({
      'cluster-image.json': JSON.stringify({
        registries: { '*': { mirrors: [{ endpointFile: upstreamImages, path: '{host}' }] } },
      }),
      'upstream/project.json': JSON.stringify({ name: 'upstream', targets: { serve } }),
      'served/project.json': JSON.stringify({
        name: 'served',
        targets: { 'lock-images': { dependsOn }, 'cache-images': { dependsOn } },
      }),
      'served/Kubefile': 'FROM scratch\nCOPY registry ./registry\n',
      'served/images/shim/list': 'docker.io/acme/app:1\n',
    });
    await workspace.nx(['run', 'served:lock-images']);
    const env = { CLUSTER_IMAGE_STORE: `${workspace.root}-empty-store` };
    const printed = await workspace.nx(['run', 'served:build-image', stream], env);
    expect(tasksIn(printed)).toEqual({
      'upstream:serve': 'run',
      'served:cache-images': 'run',
      'served:build-image': 'run',
    });
    expect(printed).toContain('docker.io/acme/app:1');
  });
});
