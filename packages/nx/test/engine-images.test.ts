import type { TargetConfiguration } from '@nx/devkit';
import { describe, expect, test } from 'vitest';
import { engineImages } from '../src/generators/engine-images.ts';

async function imagesOf(target: TargetConfiguration): Promise<readonly string[]> {
  const found = await engineImages({ root: 'apps/web', targets: { container: target } });
  expect(found.every((image) => image.target === 'container')).toBe(true);
  return found.map(({ name, location }) => `${name} at ${location}`);
}

const runs = (options: object) => ({ executor: 'nx:run-commands', options });

describe('images that targets build in an engine', () => {
  test('are those of @nx/docker', async () => {
    const options = { cwd: 'apps/web', args: ['--tag apps-web', '--iidfile', 'dist/image.iid'] };
    expect(await imagesOf({ command: 'docker build .', options })).toEqual([
      'apps-web at docker-daemon:apps-web',
    ]);
    expect(await imagesOf(runs({ command: 'docker build .', ...options }))).toHaveLength(1);
  });

  test.each([
    ['docker build -t acme/web:1 .', 'docker-daemon:acme/web:1'],
    ['cd apps && docker buildx build --load --tag=acme/web:1 .', 'docker-daemon:acme/web:1'],
    ['docker --context x image build -tacme/web:1 .', undefined],
    ['podman build -t "acme/web:1" .', 'containers-storage:localhost/acme/web:1'],
    ['buildah bud -t registry.example/web .', 'containers-storage:registry.example/web'],
    ['docker push acme/web:1', undefined],
    ['docker buildx build --push -t acme/web:1 .', undefined],
    ['docker buildx build -t acme/web:1 .', undefined],
    ['docker buildx build --load -o type=oci,dest=x -t acme/web:1 .', undefined],
    ['podman build --manifest m -t acme/web:1 .', undefined],
    ['docker build --target test -t acme/web:1 .', undefined],
    ['docker build -t $IMAGE .', undefined],
    ['docker build -t "{projectName}:1" .', undefined],
    ['echo docker build -t a .', undefined],
  ])('%s leaves %s', async (command, location) => {
    const found = await engineImages({ root: '.', targets: { a: runs({ command }) } });
    expect(found.map((image) => image.location)).toEqual(location ? [location] : []);
  });

  test('may be several, of several commands', async () => {
    const commands = ['docker build -t a:1 -t b:1 .', { command: 'podman build --tag c:1 .' }];
    expect(await imagesOf(runs({ commands }))).toEqual([
      'a:1 at docker-daemon:a:1',
      'b:1 at docker-daemon:b:1',
      'c:1 at containers-storage:localhost/c:1',
    ]);
  });

  test('are those of nx-container, by its engine', async () => {
    const executor = '@nx-tools/nx-container:build';
    const tags = ['registry/web:dev'];
    expect(await imagesOf({ executor, options: { tags, load: true } })).toEqual([
      'registry/web:dev at docker-daemon:registry/web:dev',
    ]);
    const metadata = { images: 'registry.example/acme/web', tags: ['type=sha'] };
    expect(await imagesOf({ executor, options: { engine: 'podman', metadata } })).toEqual([
      'registry.example/acme/web at containers-storage:registry.example/acme/web',
    ]);
  });

  test('are none of other executors, nor of what is not understood', async () => {
    expect(
      await imagesOf({ executor: '@nx/js:tsc', options: { command: 'docker build -t a .' } }),
    ).toEqual([]);
    expect(await imagesOf(runs({ command: ['docker', 'build'] }))).toEqual([]);
    expect(await imagesOf({})).toEqual([]);
  });
});
