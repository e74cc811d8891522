import { symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { sketch, wholeBehindLinks } from '../src/inference/dockerfile.ts';
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
    expect(image?.inputs?.slice(0, 4)).toEqual([
      '{projectRoot}/dist/main.js',
      '{projectRoot}/dist/main.js/**/*',
      '{projectRoot}/www',
      '{projectRoot}/www/**/*',
    ]);
    expect(image?.inputs).toContain('{projectRoot}/Dockerfile');
    // Of what is in dist/ all but what tasks of ours leave there by these very names.
    const ours = ['image', 'image.digest', 'image.tar', 'images.json', 'registry.endpoint'];
    expect(image?.inputs).toContainEqual({
      dependentTasksOutputFiles: `!**/{${ours.map((name) => `dist/${name},dist/${name}/**`).join()}}`,
    });
    expect(image?.options.exclude).toEqual(ours.map((name) => `dist/${name}`));
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

describe('what a Dockerfile is built upon', () => {
  const dollar = '$';

  test.each([
    ['FROM a/b:1', ['a/b:1']],
    ['ARG BASE=a/b:1\nFROM $BASE', ['a/b:1']],
    [
      `ARG TAG=1\nARG NAME=a/b BASE="a/b:${dollar}{TAG}"\nFROM --platform=x ${dollar}{BASE} AS y`,
      ['a/b:1'],
    ],
    [`ARG NAME='a/b'\nFROM ${dollar}NAME:1`, ['a/b:1']],
    [`FROM ${dollar}{BASE:-a/b}`, ['a/b']],
    [`ARG BASE=a\nFROM ${dollar}{BASE:-b}`, ['a']],
    // Only what comes before the first FROM counts for one.
    ['FROM a\nARG BASE=b\nFROM $BASE', ['a']],
    // What is not plain hides nothing else.
    ['ARG BASE\nFROM $BASE\nFROM a-$TARGETARCH\nFROM b', ['b']],
    ['ARG BASE=\nFROM $BASE', []],
  ])('is told: %s', (text, bases) => {
    expect(sketch(`${text}\nCOPY x y\n`).bases).toEqual(bases);
  });
});

describe('what is copied through a link', () => {
  const links = new Set(['data', 'conf/link']);

  test.each([
    ['COPY data /', undefined],
    ['COPY data/some.json /', undefined],
    ['COPY data/*.json /', undefined],
    ['COPY plain conf/link /', undefined],
    ['COPY conf /', ['conf']],
    ['COPY *.json /', ['*.json']],
    ['COPY . /', undefined],
  ])('is not plain to see: %s', (line, copies) => {
    const build = sketch(`FROM scratch\n${line}\n`);
    expect(wholeBehindLinks(build, (path) => links.has(path)).copies).toEqual(copies);
  });
});

describe('a project whose configuration says what its image is', () => {
  const files = {
    ...project,
    'apps/api/cluster-image.json': JSON.stringify({ image: { files: { dist: '/app/' } } }),
  };

  test('builds it, of what it copies', async () => {
    const { targets } = await nxWorkspace(files);
    const found = await targets('apps/api');
    expect(Object.keys(found).sort()).toEqual(['image', 'lock-images', 'push-image', 'save-image']);
    expect(found.image).toMatchObject({ executor: '@cluster-image/nx:image', cache: true });
    expect(found.image?.inputs?.slice(0, 3)).toEqual([
      '{projectRoot}/dist',
      '{projectRoot}/dist/**/*',
      '!{projectRoot}/dist/image',
    ]);
  });

  test('has all of the project as inputs where it is not plain what that copies', async () => {
    const dollar = '$';
    const { targets } = await nxWorkspace({
      ...project,
      'apps/api/cluster-image.json': JSON.stringify({
        image: { files: { [`bin/${dollar}{TARGETARCH}`]: '/bin/' } },
      }),
    });
    expect((await targets('apps/api')).image?.inputs).toContain('{projectRoot}/**/*');
  });

  test('has all of the project as inputs where what that copies is a link', async () => {
    const { root, targets } = await nxWorkspace({
      ...files,
      'apps/web/project.json': '{}',
      'apps/web/Dockerfile': 'FROM scratch\nCOPY dist/main.js /\n',
    });
    expect((await targets('apps/web')).image?.inputs).not.toContain('{projectRoot}/**/*');
    for (const app of ['api', 'web']) await symlink('out', join(root, 'apps', app, 'dist'));
    for (const app of ['api', 'web']) {
      const { image } = await targets(`apps/${app}`);
      expect(image?.inputs).toContain('{projectRoot}/**/*');
    }
  });

  test.each(['{"platforms": ["linux/arm64"]}', '{"image": ', '{"image": "node"}', '[]'])(
    'has none where that is %s',
    async (text) => {
      const { targets } = await nxWorkspace({ ...project, 'apps/api/cluster-image.json': text });
      expect(await targets('apps/api')).toEqual({});
    },
  );
});

describe('an image for several platforms', () => {
  const platforms = ['linux/amd64', 'linux/arm/v7'];
  const files = {
    ...project,
    'apps/api/Dockerfile': 'FROM scratch\nCOPY . .\n',
    'cluster-image.json': JSON.stringify({ platforms }),
  };

  test('is built by one task', async () => {
    const { targets } = await nxWorkspace(files);
    const found = await targets('apps/api');
    expect(Object.keys(found)).toHaveLength(4);
    // An archive of docker's has room for one.
    expect(found['save-image']?.options.to).toBe('oci-archive:apps/api/dist/image.tar');
  });

  test('is built by a task for each, and joined, where nx.json says so', async () => {
    const { targets } = await nxWorkspace(files);
    const found = await targets('apps/api', { platformTargets: true });
    expect(Object.keys(found).sort()).toEqual([
      'image',
      'image-linux-amd64',
      'image-linux-arm-v7',
      'lock-images',
      'push-image',
      'save-image',
    ]);
    const exclude = [
      'dist/image',
      'dist/image.digest',
      'dist/image.linux-amd64',
      'dist/image.linux-amd64.digest',
      'dist/image.linux-arm-v7',
      'dist/image.linux-arm-v7.digest',
      'dist/image.tar',
      'dist/images.json',
      'dist/registry.endpoint',
    ];
    expect(found['image-linux-arm-v7']).toMatchObject({
      executor: '@cluster-image/nx:image',
      cache: true,
      dependsOn: ['build'],
      outputs: [
        '{projectRoot}/dist/image.linux-arm-v7',
        '{projectRoot}/dist/image.linux-arm-v7.digest',
      ],
      options: {
        platform: ['linux/arm/v7'],
        thin: 'apps/api/dist/image.linux-arm-v7',
        digestFile: 'apps/api/dist/image.linux-arm-v7.digest',
        defaultTag: 'linux-arm-v7',
        exclude,
      },
    });
    expect(found.image).toMatchObject({
      executor: '@cluster-image/nx:image-index',
      cache: true,
      dependsOn: ['image-linux-amd64', 'image-linux-arm-v7'],
      outputs: ['{projectRoot}/dist/image', '{projectRoot}/dist/image.digest'],
      options: {
        images: ['oci:apps/api/dist/image.linux-amd64', 'oci:apps/api/dist/image.linux-arm-v7'],
        thin: 'apps/api/dist/image',
      },
    });
  });

  test('is built so by an engine, which builds for one at a time, and never cached', async () => {
    const { targets } = await nxWorkspace({
      ...files,
      'apps/api/Dockerfile': 'FROM node:24\nRUN npm ci\n',
      'apps/api/cluster-image.json': JSON.stringify({ platforms: ['linux/arm64', 'linux/amd64'] }),
    });
    const found = await targets('apps/api', { engine: 'podman' });
    expect(found.image).toMatchObject({
      cache: false,
      dependsOn: ['image-linux-arm64', 'image-linux-amd64'],
    });
    expect(found['image-linux-amd64']).toMatchObject({
      cache: false,
      options: { engine: 'podman', platform: ['linux/amd64'] },
    });
    expect(found['image-linux-amd64']?.options).not.toHaveProperty('exclude');
  });

  test('may be a cluster image', async () => {
    const { targets } = await nxWorkspace({
      ...project,
      'apps/api/Kubefile': 'FROM scratch\n',
      'cluster-image.json': JSON.stringify({ platforms }),
    });
    const found = await targets('apps/api', { platformTargets: true });
    expect(found['build-image']).toMatchObject({
      executor: '@cluster-image/nx:image-index',
      dependsOn: ['build-image-linux-amd64', 'build-image-linux-arm-v7'],
    });
    expect(found['build-image-linux-amd64']?.dependsOn).toEqual(['cache-images']);
  });

  test.each(['linux/amd64', '{projectRoot}/x', '../../x', 'linux'])(
    'of which %s alone is not one of several',
    async (platform) => {
      const { targets } = await nxWorkspace({
        ...files,
        'cluster-image.json': JSON.stringify({ platforms: ['linux/amd64', platform] }),
      });
      expect(Object.keys(await targets('apps/api', { platformTargets: true }))).toHaveLength(4);
    },
  );
});
