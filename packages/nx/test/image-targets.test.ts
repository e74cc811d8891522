import { describe, expect, test } from 'vitest';
import { sketch } from '../src/inference/dockerfile.ts';
import { nxWorkspace } from './workspace.ts';

const project = { 'apps/api/project.json': '{}' };

async function workspaceWith(dockerfile: string) {
  return nxWorkspace({ ...project, 'apps/api/Dockerfile': dockerfile });
}

describe('a project with a Dockerfile', () => {
  test('builds its image after itself, of what the Dockerfile copies', async () => {
    const { targets } = await workspaceWith('FROM scratch\nCOPY dist/main.js /\nCOPY www/ /www\n');
    const { image } = await targets('apps/api');
    expect(image).toMatchObject({
      executor: '@cluster-image/nx:image',
      cache: true,
      dependsOn: ['build'],
      outputs: ['{projectRoot}/dist/image', '{projectRoot}/dist/image.digest'],
      options: {
        context: 'apps/api',
        thin: 'apps/api/dist/image',
        digestFile: 'apps/api/dist/image.digest',
      },
    });
    expect(image?.inputs?.slice(0, 5)).toEqual([
      '{projectRoot}/dist/main.js',
      '{projectRoot}/dist/main.js/**/*',
      '{projectRoot}/www',
      '{projectRoot}/www/**/*',
      '{projectRoot}/Dockerfile',
    ]);
    expect(image?.inputs).toContain('{projectRoot}/cluster-image.lock.json');
    expect(image?.inputs).toContainEqual({ externalDependencies: [] });
  });

  test('pins, pushes and saves it too', async () => {
    const { targets } = await workspaceWith('FROM node:24\nCOPY . .\n');
    const found = await targets('apps/api');
    expect(Object.keys(found).sort()).toEqual(['image', 'lock-images', 'push-image', 'save-image']);
    expect(found['lock-images']?.options).toEqual({ context: 'apps/api', bare: true });
    expect(found['push-image']).toMatchObject({
      dependsOn: ['image'],
      options: { from: 'oci:apps/api/dist/image', buildTarget: 'image' },
    });
  });

  test('has none of that where the Dockerfile needs an engine and nx.json names none', async () => {
    const { targets } = await workspaceWith('FROM node:24\nRUN npm ci\nCOPY . .\n');
    expect(await targets('apps/api')).toEqual({});
    const { image } = await targets('apps/api', { engine: 'podman' });
    expect(image).toMatchObject({ cache: false, options: { engine: 'podman' } });
    expect(image?.outputs).toHaveLength(2);
  });

  test('builds without that engine where it needs none', async () => {
    const { targets } = await workspaceWith('FROM scratch\nCOPY a /\n');
    const { image } = await targets('apps/api', { engine: 'docker' });
    expect(image?.cache).toBe(true);
    expect(image?.options).not.toHaveProperty('engine');
  });

  test('calls the target what nx.json says, or has none', async () => {
    const { targets } = await workspaceWith('FROM scratch\n');
    expect(await targets('apps/api', { imageTargetName: 'container' })).toHaveProperty('container');
    expect(await targets('apps/api', { imageTargetName: false })).toEqual({});
  });

  test('and a Kubefile is a cluster image', async () => {
    const { targets } = await nxWorkspace({
      ...project,
      'apps/api/Dockerfile': 'FROM scratch\n',
      'apps/api/Kubefile': 'FROM scratch\n',
    });
    const found = Object.keys(await targets('apps/api'));
    expect([found.includes('build-image'), found.includes('image')]).toEqual([true, false]);
  });

  test('that cannot be read leaves the others as they are', async () => {
    const { targets } = await nxWorkspace({
      ...project,
      'apps/api/Dockerfile': '\0\xff',
      'apps/web/project.json': '{}',
      'apps/web/Dockerfile': 'FROM scratch\n',
    });
    expect(await targets('apps/web')).toHaveProperty('image');
  });
});

describe('a Dockerfile at a glance', () => {
  test.each([
    ['RUN', 'FROM a\nRUN b\n', true],
    ['run, in small letters', 'FROM a\n  run b\n', true],
    ['a health check', 'FROM a\nHEALTHCHECK CMD b\n', true],
    ['RUN in a comment', 'FROM a\n# RUN b\n', false],
    ['RUN in a continued line', 'FROM a\nENV A=b \\\n  # why\n  RUN=c\n', false],
    ['RUN after a backtick', '# escape=`\nFROM a\nENV A=b `\n  RUN=c\n', false],
    ['RUN in a file in place', 'FROM a\nCOPY <<EOF /b\nRUN c\nEOF\n', false],
    ['RUN after one', 'FROM a\nCOPY <<-"EOF" /b\nc\n\tEOF\nRUN d\n', true],
    ['Windows lines', 'FROM a\r\nRUN b\r\n', true],
  ])('tells whether it needs an engine: %s', (_, text, needsEngine) => {
    expect(sketch(text).needsEngine).toBe(needsEngine);
  });

  test.each([
    ['COPY b c', ['b']],
    ['ADD ./b /c/', ['b']],
    ['COPY --chown=1:1 b/ d/*.js /c', ['b', 'd/*.js']],
    ['COPY --from=x /b /c', []],
    ['COPY . .', undefined],
    ['COPY ../b c', undefined],
    ['COPY ["b", "c"]', undefined],
    [`COPY \${A} c`, undefined],
    ['COPY <<EOF c\nEOF', undefined],
  ])('tells what it copies: %s', (line, copies) => {
    expect(sketch(`FROM scratch\n${line}\n`).copies).toEqual(copies);
  });
});
