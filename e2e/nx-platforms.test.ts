import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type NxWorkspace, newNxWorkspace, tasksIn } from './support/nx-workspace.ts';
import { result } from './support/run.ts';

const stream = '--outputStyle=stream';
const dollar = '$';

let work: string;
let workspace: NxWorkspace;

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'cluster-image-e2e-'));
  workspace = await newNxWorkspace(join(work, 'platforms'));
  await workspace.write({
    'cluster-image.json': JSON.stringify({ platforms: ['linux/amd64', 'linux/arm64'] }),
    'apps/api/project.json': '{ "name": "api" }',
    'apps/api/cluster-image.json': JSON.stringify({
      image: { files: { [`bin/${dollar}{TARGETARCH}/api`]: '/api' }, entrypoint: ['/api'] },
    }),
    'apps/api/bin/amd64/api': 'for x86',
    'apps/api/bin/arm64/api': 'for arm',
    // What copies all of its project copies nothing that the other tasks leave there.
    'apps/web/project.json': '{ "name": "web" }',
    'apps/web/Dockerfile': 'FROM scratch\nCOPY . /web\n',
    'edge/project.json': '{ "name": "edge" }',
    'edge/Kubefile': 'FROM scratch\nCOPY . .\n',
    'edge/images/shim/list': 'registry.example/api:1\nregistry.example/web:1\n',
    'edge/cluster-image.json': JSON.stringify({
      workspaceImages: {
        'registry.example/api': 'oci:../apps/api/dist/image',
        'registry.example/web': 'oci:../apps/web/dist/image',
      },
    }),
  });
});

afterAll(async () => {
  await rm(work, { recursive: true, force: true });
});

async function configure(options: object): Promise<void> {
  const plugins = [{ plugin: '@cluster-image/nx', options }];
  await workspace.write({
    'nx.json': JSON.stringify({ neverConnectToCloud: true, analytics: false, plugins }),
  });
}

const places = ['apps/api', 'apps/web', 'edge'];

async function digests(): Promise<readonly string[]> {
  return Promise.all(places.map((at) => workspace.read(`${at}/dist/image.digest`)));
}

async function build(env?: Readonly<Record<string, string>>) {
  return tasksIn(await workspace.nx(['run', 'edge:build-image', stream], env));
}

describe('images for several platforms', () => {
  let together: readonly string[];

  test('are built by one task each', async () => {
    await configure({});
    await workspace.nx(['run', 'edge:lock-images']);
    expect(Object.keys(await build())).toHaveLength(4);
    together = await digests();
  });

  test('are the same, built by a task for each platform and joined', async () => {
    await configure({ platformTargets: true });
    const tasks = await build();
    expect(tasks).toEqual({
      'api:image-linux-amd64': 'run',
      'api:image-linux-arm64': 'run',
      'api:image': 'run',
      'web:image-linux-amd64': 'run',
      'web:image-linux-arm64': 'run',
      'web:image': 'run',
      'edge:cache-images': 'run',
      'edge:build-image-linux-amd64': 'run',
      'edge:build-image-linux-arm64': 'run',
      'edge:build-image': 'run',
    });
    expect(await digests()).toEqual(together);
    expect(new Set(Object.values(await build()))).toEqual(new Set(['cached']));
  });

  test('come back from the cache, and are made again where the store is empty', async () => {
    for (const at of places) await rm(join(workspace.root, at, 'dist'), { recursive: true });
    const env = { CLUSTER_IMAGE_STORE: join(work, 'fresh-store') };
    const printed = await workspace.nx(['run', 'edge:save-image', stream], env);
    expect(tasksIn(printed)).toMatchObject({ 'edge:build-image': 'cached' });
    expect(printed).toContain('edge:build-image: parts of the image are not in the store');
    expect(printed).toContain(`digest  ${together[2]?.trim()}`);
    expect(await digests()).toEqual(together);
  });
});

test('an engine builds for one platform in a task, and none is lost', async () => {
  await configure({ engine: 'buildah' });
  await workspace.write({
    'storage.conf': `[storage]\ndriver = "vfs"\ngraphroot = "${work}/graph"\nrunroot = "${work}/run"\n`,
    'apps/tool/project.json': '{ "name": "tool" }',
    'apps/tool/Dockerfile': 'FROM scratch\nCOPY main.js /\nHEALTHCHECK NONE\n',
    'apps/tool/main.js': 'main',
  });
  const env = {
    BUILDAH_ISOLATION: 'chroot',
    CONTAINERS_STORAGE_CONF: join(workspace.root, 'storage.conf'),
  };
  const printed = await workspace.nx(['run', 'tool:image', stream], env);
  expect(tasksIn(printed)).toEqual({
    'tool:image-linux-amd64': 'run',
    'tool:image-linux-arm64': 'run',
    'tool:image': 'run',
  });
  const { platforms, digest } = await result(
    ['inspect', `oci:${workspace.root}/apps/tool/dist/image`],
    { env: { CLUSTER_IMAGE_STORE: `${workspace.root}-store` } },
  );
  expect(platforms.map(({ platform }: { platform: string }) => platform)).toEqual([
    'linux/amd64',
    'linux/arm64',
  ]);
  expect(await workspace.read('apps/tool/dist/image.digest')).toBe(`${digest}\n`);
});
