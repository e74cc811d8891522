import { describe, expect, test } from 'vitest';
import { nxWorkspace } from './workspace.ts';

const project = { 'clusters/edge/project.json': '{}' };
const withRun = 'FROM scratch\nCOPY registry ./registry\nRUN ["/a"]\n';

describe('a cluster image whose build file needs an engine', () => {
  test.each(['docker', 'buildx', 'podman', 'buildah', 'sealos'] as const)(
    'is built by %s where nx.json names that, and not cached',
    async (engine) => {
      const { targets } = await nxWorkspace({ ...project, 'clusters/edge/Kubefile': withRun });
      const found = await targets('clusters/edge', { engine });
      expect(found['build-image']).toMatchObject({ cache: false, options: { engine } });
      expect(found['cache-images']?.cache).toBe(true);
    },
  );

  test('has arguments for it, which are for nobody else', async () => {
    const { targets } = await nxWorkspace({
      ...project,
      'clusters/edge/Kubefile': withRun,
      'apps/api/project.json': '{}',
      'apps/api/Dockerfile': 'FROM node:24\nRUN npm ci\n',
      'apps/web/project.json': '{}',
      'apps/web/Dockerfile': 'FROM scratch\nCOPY a /\n',
    });
    const options = { engine: 'podman', engineArg: ['--isolation=chroot'] } as const;
    const edge = await targets('clusters/edge', options);
    expect(edge['build-image']?.options).toMatchObject(options);
    expect((await targets('apps/api', options)).image?.options).toMatchObject(options);
    const { image } = await targets('apps/web', options);
    expect(image?.options).not.toHaveProperty('engineArg');
  });

  test('keeps its targets where none is named, for the project may name one', async () => {
    const { targets } = await nxWorkspace({ ...project, 'clusters/edge/Sealfile': withRun });
    const found = await targets('clusters/edge');
    expect(found['build-image']).toMatchObject({ cache: false, dependsOn: ['cache-images'] });
    expect(found['build-image']?.options).not.toHaveProperty('engine');
  });

  test('is built in a task for each platform', async () => {
    const { targets } = await nxWorkspace({
      ...project,
      'clusters/edge/Kubefile': withRun,
      'cluster-image.json': JSON.stringify({ platforms: ['linux/amd64', 'linux/arm64'] }),
    });
    const found = await targets('clusters/edge', { engine: 'podman' });
    expect(found['build-image']).toMatchObject({
      cache: false,
      dependsOn: ['build-image-linux-amd64', 'build-image-linux-arm64'],
    });
    expect(found['build-image-linux-arm64']).toMatchObject({
      cache: false,
      options: { engine: 'podman', platform: ['linux/arm64'] },
    });
  });
});

test('a cluster image that needs no engine is built without the one of nx.json', async () => {
  const { targets } = await nxWorkspace({ ...project, 'clusters/edge/Kubefile': 'FROM scratch\n' });
  const found = await targets('clusters/edge', { engine: 'podman' });
  expect(found['build-image']?.cache).toBe(true);
  expect(found['build-image']?.options).not.toHaveProperty('engine');
});
