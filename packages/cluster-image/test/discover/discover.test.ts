import { directory } from '@cluster-image/storage';
import { describe, expect, test } from 'vitest';
import { type DiscoverOptions, discover } from '../../src/discover/discover.ts';
import type { Discovery } from '../../src/discover/discovery.ts';
import { contextDirectory, type Given } from '../context.ts';
import { countingFileSystem } from '../counting.ts';

const tools: Pick<DiscoverOptions, 'render' | 'kustomize'> = {
  render: async () => '',
  kustomize: async () => ({ type: 'failed', reason: 'not expected' }),
};

async function find(
  files: Readonly<Record<string, Given>>,
  options: Partial<DiscoverOptions> = {},
): Promise<Discovery> {
  const root = await contextDirectory(files);
  return discover(directory(root), { ...tools, ...options });
}

async function references(files: Readonly<Record<string, Given>>): Promise<readonly string[]> {
  return (await find(files)).images.map(({ reference }) => reference);
}

describe('a context is searched where sealos searches it', () => {
  test('and each image says where it is', async () => {
    const found = await find({
      Kubefile: 'ARG BASE=labring/kubernetes:v1.30\nFROM $BASE AS base\nFROM base\nFROM scratch\n',
      'manifests/deep/a.yaml': 'image: a.io/yaml:1',
      'manifests/a.yml': 'image: a.io/yml:1',
      'manifests/a.json': '{"image": "a.io/json:1"}',
      'manifests/a.yaml.tmpl': '{{ if .x }}\nimage: a.io/tmpl:1\n{{ end }}',
      'manifests/A.YAML': 'image: a.io/upper:1',
      'manifests/a.txt': 'image: a.io/none:1',
      'images/shim/deep/list': 'a.io/shim:1\n',
      'images/skopeo/tar.txt': 'docker-archive:app.tar@acme/app:1\n',
      'images/skopeo/other.txt': 'docker-archive:none.tar@acme/none:1\n',
      'other/a.yaml': 'image: a.io/none:1',
    });
    expect(found).toEqual({
      images: [
        { reference: 'a.io/json:1', origins: [{ file: 'manifests/a.json', line: 1 }] },
        { reference: 'a.io/shim:1', origins: [{ file: 'images/shim/deep/list', line: 1 }] },
        { reference: 'a.io/tmpl:1', origins: [{ file: 'manifests/a.yaml.tmpl', line: 2 }] },
        { reference: 'a.io/upper:1', origins: [{ file: 'manifests/A.YAML', line: 1 }] },
        { reference: 'a.io/yaml:1', origins: [{ file: 'manifests/deep/a.yaml', line: 1 }] },
        { reference: 'a.io/yml:1', origins: [{ file: 'manifests/a.yml', line: 1 }] },
        {
          reference: 'docker.io/acme/app:1',
          archive: 'docker-archive:images/skopeo/app.tar',
          origins: [{ file: 'images/skopeo/tar.txt', line: 1 }],
        },
      ],
      bases: [
        {
          reference: 'docker.io/labring/kubernetes:v1.30',
          origins: [{ file: 'Kubefile', line: 2, via: 'FROM' }],
        },
      ],
      suspects: [],
      unresolved: [],
    });
  });

  test('and each file is looked at and opened once', async () => {
    const manifests = Array.from({ length: 20 }, (_, at) => [
      `manifests/${at}.yaml`,
      `image: a.io/b:${at}`,
    ]);
    const root = await contextDirectory(Object.fromEntries(manifests));
    const { fs, calls } = countingFileSystem();
    const { images } = await discover(directory(root, undefined, fs), tools);
    expect(images).toHaveLength(20);
    expect(calls.get('open')).toBe(20);
    const empty = countingFileSystem();
    const none = await contextDirectory({ 'manifests/none': '' });
    await discover(directory(none, undefined, empty.fs), tools);
    expect((calls.get('lstat') ?? 0) - (empty.calls.get('lstat') ?? 0)).toBe(20 - 1);
    expect(calls.get('stat')).toBe(empty.calls.get('stat'));
  });

  test('and may be empty', async () => {
    const nothing = { images: [], bases: [], suspects: [], unresolved: [] };
    expect(await find({})).toEqual(nothing);
    expect(await find({ manifests: 'a file', charts: 'a file', 'images/shim': 'a.io/b' })).toEqual(
      nothing,
    );
  });

  test('by arguments that are given', async () => {
    const { bases } = await find(
      { Sealfile: 'ARG TAG=1\nFROM a.io/b:$TAG\n', Kubefile: 'FROM a.io/other\n' },
      { buildArguments: { TAG: '2' } },
    );
    expect(bases.map(({ reference }) => reference)).toEqual(['a.io/b:2']);
  });

  test('with the build file that is named', async () => {
    const { bases } = await find(
      { Kubefile: 'FROM a.io/b:1\n', 'other/file': 'FROM a.io/c:1\n' },
      { file: './other/file' },
    );
    expect(bases.map(({ reference }) => reference)).toEqual(['a.io/c:1']);
  });

  test('the charts being rendered', async () => {
    const { images } = await find(
      { 'charts/web/Chart.yaml': 'name: web', 'charts/web.values.yaml': 'a: 1' },
      { render: async ({ path, values }) => `image: a.io/b:${values.length}\n# ${path}` },
    );
    expect(images).toEqual([
      {
        reference: 'a.io/b:1',
        origins: [
          { file: 'charts/web', via: 'helm template charts/web -f charts/web.values.yaml' },
        ],
      },
    ]);
  });

  test('the order of files and the way they are found changing nothing', async () => {
    const many = Array.from({ length: 50 }, (_, at) => `manifests/${(at * 7) % 50}.yaml`);
    const files = many.map((path) => [path, `image: a.io/b:1\n---\nimage: a.io/${path.length}:1`]);
    const one = await find(Object.fromEntries(files));
    const other = await find(Object.fromEntries(files.reverse()));
    expect(one).toEqual(other);
    expect(one.images.map(({ origins }) => origins.length)).toEqual([10, 40, 50]);
  });
});

describe('.sealignore', () => {
  const files = { 'manifests/a.yaml': 'containers: [{image: nginx}]\nb: {image: quay.io/a/b:v1}' };

  test.each([
    'nginx',
    'nginx:latest',
    'docker.io/nginx',
    'docker.io/library/nginx:latest',
    'index.docker.io/nginx',
  ])('Y09: leaves out an image by the name %s', async (line) => {
    const ignore = `# not these\r\n${line}  # at all\r\n`;
    expect(await references({ ...files, '.sealignore': ignore })).toEqual(['quay.io/a/b:v1']);
  });

  test('leaves out no other image', async () => {
    expect(await references({ ...files, '.sealignore': 'quay.io/a/b\nnginx:1\n' })).toHaveLength(2);
  });

  test('leaves out no archive, which is there', async () => {
    const ignored = {
      'images/skopeo/tar.txt': 'docker-archive:a.tar@acme/app:1',
      '.sealignore': 'acme/app:1',
    };
    expect(await references(ignored)).toEqual(['docker.io/acme/app:1']);
  });

  test.each(['acme/app:1', 'docker-daemon:acme/app:1', 'docker-daemon:docker.io/acme/app:1'])(
    'leaves out an image of this machine by %s',
    async (line) => {
      const list = 'docker-daemon:acme/app:1\ncontainers-storage:acme/app:2\n';
      const ignored = { 'images/shim/list': list, '.sealignore': line };
      expect(await references(ignored)).toEqual(['docker.io/acme/app:2']);
    },
  );

  test('settles suspects and what is unresolved, by text or by file', async () => {
    const given = {
      'manifests/a.yaml': 'args: ["quay.io/a/b:v1"]\nimage: "a:{{ .x }}"',
      'manifests/b.yaml': 'image: [',
      'manifests/c.yaml': 'args: ["quay.io/a/c:v1"]',
    };
    const before = await find(given);
    expect([before.suspects.length, before.unresolved.length]).toEqual([2, 2]);
    const lines = ['quay.io/a/b:v1', 'a:{{ .x }}', 'manifests/b.yaml', 'manifests/c.yaml'];
    const after = await find({ ...given, '.sealignore': lines.join('\n') });
    expect(after).toEqual({ images: [], bases: [], suspects: [], unresolved: [] });
  });
});

test('a suspect that is an image elsewhere is none', async () => {
  const found = await find({ 'manifests/a.yaml': 'args: [a.io/b:1, a.io/c:1]\nimage: a.io/b:1' });
  expect(found.suspects.map(({ text }) => text)).toEqual(['a.io/c:1']);
});

describe('a file that cannot be read', () => {
  const wide = (text: string): Buffer => Buffer.from(`\uFEFF${text}`, 'utf16le');

  test('Y03: may be in UTF-16 all the same', async () => {
    const little = wide('image: a.io/little:1');
    const big = Buffer.from(wide('image: a.io/big:1')).swap16();
    expect(await references({ 'manifests/a.yaml': little, 'manifests/b.yaml': big })).toEqual([
      'a.io/big:1',
      'a.io/little:1',
    ]);
  });

  test.each([
    ['bytes that are no text', Buffer.from([0x69, 0xff, 0xfe, 0x0a])],
    ['text with NUL', 'image: a.io/b:1\0'],
    ['UTF-16 without a mark', Buffer.from('image: a.io/b:1', 'utf16le')],
  ])('Y03: %s is unresolved', async (_, body) => {
    const files = { 'manifests/a.yaml': body, 'images/shim/b': body };
    expect((await find(files)).unresolved).toEqual(
      ['manifests/a.yaml', 'images/shim/b'].map((file) => ({
        text: '',
        reason: 'neither UTF-8 nor UTF-16',
        origin: { file },
      })),
    );
  });

  test('a link inside the context is followed, any other is unresolved', async () => {
    const found = await find({
      'manifests/a.yaml': { link: '../shared/a.yaml' },
      'manifests/b.yaml': { link: '/etc/hostname' },
      'manifests/c.yaml': { link: '../../../etc/hostname' },
      'manifests/d.yaml': { link: 'd.yaml' },
      'shared/a.yaml': 'image: a.io/b:1',
    });
    expect(found.images).toEqual([
      { reference: 'a.io/b:1', origins: [{ file: 'manifests/a.yaml', line: 1 }] },
    ]);
    expect(found.unresolved.map(({ origin, reason }) => [origin.file, reason])).toEqual(
      ['b', 'c', 'd'].map((name) => [`manifests/${name}.yaml`, 'a link to no file of the context']),
    );
  });

  test('one that is larger than any manifest stops the search', async () => {
    const large = find({ 'manifests/a.yaml': Buffer.alloc(16 * 1024 * 1024 + 1) });
    await expect(large).rejects.toMatchObject({
      code: 'INPUT_INVALID',
      message: 'manifests/a.yaml has over 16777216 bytes',
    });
  });
});
