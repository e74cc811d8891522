import { gzipSync } from 'node:zlib';
import { bytes, readAll, type Tree } from '@cluster-image/oci';
import { directory, type TarEntry, tarball } from '@cluster-image/storage';
import { describe, expect, test } from 'vitest';
import { chartParts, packedFiles, unpackedFiles } from '../../src/discover/chart-parts.ts';
import { openArchive } from '../../src/discover/chart-tree.ts';
import { findInCharts } from '../../src/discover/charts.ts';
import { type Declared, declaredImages } from '../../src/discover/declared-images.ts';
import { type Findings, nothing } from '../../src/discover/discovery.ts';
import { readValues } from '../../src/discover/values.ts';
import { contextDirectory, type Given } from '../context.ts';

interface Options {
  readonly values?: string;
  readonly declared?: Declared;
  readonly rendered?: readonly string[];
}

async function declaredIn(
  files: Readonly<Record<string, Given>>,
  { values = '', declared, rendered = [] }: Options = {},
): Promise<Findings> {
  const tree = directory(await contextDirectory(files));
  return declaredAt(unpackedFiles(tree, 'charts/web', 'charts/web'), values, rendered, declared);
}

async function declaredAt(
  files: Parameters<typeof chartParts>[0],
  values: string,
  rendered: readonly string[],
  declared?: Declared,
): Promise<Findings> {
  const given = readValues(values, (line) => ({ file: 'given.yaml', line }));
  const chart = await chartParts(files, async () => given);
  const images = rendered.map((reference) => ({ reference, origins: [] }));
  return declaredImages(chart, { ...nothing, images }, declared);
}

const images = ({ images }: Findings): readonly string[] =>
  images.map(({ reference }) => reference);
const suspects = ({ suspects }: Findings): readonly string[] => suspects.map(({ text }) => text);

const chart = (annotations: string, rest = ''): string =>
  `apiVersion: v2\nname: web\nversion: 1.0.0\n${rest}annotations:\n${annotations}`;

/** A packed chart: its files in a directory of its name. */
async function packed(name: string, files: Readonly<Record<string, string | Uint8Array>>) {
  const entries = Object.entries(files).map(
    ([path, given]): TarEntry => ({
      type: 'file',
      path: `${name}/${path}`,
      mode: 0o644,
      content: bytes(given),
    }),
  );
  const content = tarball(entries);
  return gzipSync(await readAll(content, content.size));
}

const artifactHub = chart(`  artifacthub.io/images: |
    - name: sidecar
      image: a.io/sidecar:1
      whitelisted: true
      platforms: [linux/amd64]
    # the web itself
    - image: a.io/web:2
`);

describe('images that a chart declares', () => {
  test('are suspects that say what declares them and where, unless they are rendered', async () => {
    const found = await declaredIn(
      { 'charts/web/Chart.yaml': artifactHub },
      { rendered: ['a.io/web:2'] },
    );
    expect(found).toEqual({
      images: [],
      suspects: [
        {
          text: 'a.io/sidecar:1',
          reason: 'declared by artifacthub.io/images, and not rendered',
          origins: [{ file: 'charts/web/Chart.yaml', line: 7 }],
        },
      ],
      unresolved: [],
    });
  });

  test('are images, or nothing, where that is said of the chart', async () => {
    const files = { 'charts/web/Chart.yaml': artifactHub };
    const accepted = await declaredIn(files, { declared: 'accept' });
    expect([images(accepted), suspects(accepted)]).toEqual([['a.io/sidecar:1', 'a.io/web:2'], []]);
    expect(await declaredIn(files, { declared: 'ignore' })).toEqual(nothing);
  });

  test.each([
    ['in JSON', `  images: '[{"name": "a", "image": "nginx:1"}]'\n`, 5],
    ['folded', '  images: >\n    - image: nginx:1\n', 5],
    ['quoted, in several lines', '  images: "- image: nginx:1\\n- name: b"\n', 5],
    ['indented', '  images: |2\n      - image: nginx:1\n', 6],
  ])('may be written %s', async (_, annotations, line) => {
    const found = await declaredIn({ 'charts/web/Chart.yaml': chart(annotations) });
    expect(found.suspects).toEqual([
      {
        text: 'docker.io/library/nginx:1',
        reason: 'declared by images, and not rendered',
        origins: [{ file: 'charts/web/Chart.yaml', line }],
      },
    ]);
  });

  test.each([
    '  images: "{{ tpl }}"\n',
    '  images: nginx:1\n',
    '  images: [a]\n',
    '  images: "- ["\n',
  ])('are none where there is no list: %j', async (annotations) => {
    expect(await declaredIn({ 'charts/web/Chart.yaml': chart(annotations) })).toEqual(nothing);
  });

  test('that are no references stay suspects, whatever is said', async () => {
    const text = chart('  helm.sh/images: |\n    - image: "a.io/b:{{ .Chart.AppVersion }}"\n');
    const found = await declaredIn({ 'charts/web/Chart.yaml': text }, { declared: 'accept' });
    expect(found.suspects).toEqual([
      {
        text: 'a.io/b:{{ .Chart.AppVersion }}',
        reason: 'declared by helm.sh/images, and is not an image reference',
        origins: [{ file: 'charts/web/Chart.yaml', line: 6 }],
      },
    ]);
  });

  test.each(['Images.lock', 'images.lock', 'images-lock.yaml', '.images.lock.yaml'])(
    'may be in a lock beside: %s',
    async (name) => {
      const found = await declaredIn({
        'charts/web/Chart.yaml': 'name: web\n',
        [`charts/web/${name}`]: 'kind: ImagesLock\nimages:\n  - image: a.io/b:1\n',
      });
      expect(found.suspects).toEqual([
        {
          text: 'a.io/b:1',
          reason: `declared by ${name}, and not rendered`,
          origins: [{ file: `charts/web/${name}`, line: 3 }],
        },
      ]);
    },
  );
});

describe('helm.sh/images', () => {
  const conditional = chart(`  helm.sh/images: |
    - {name: always, image: "a.io/always:1"}
    - {name: maybe, image: "a.io/maybe:1", condition: maybe.enabled}
  artifacthub.io/images: |
    - image: a.io/maybe:1
`);
  const files = {
    'charts/web/Chart.yaml': conditional,
    'charts/web/values.yaml': 'maybe: {enabled: false}\n',
  };

  test.each([
    ['what the chart itself says', '', ['a.io/always:1'], []],
    ['what is given', 'maybe: {enabled: true}', ['a.io/always:1', 'a.io/maybe:1'], []],
    ['no boolean', 'maybe: {enabled: "true"}', ['a.io/always:1'], ['a.io/maybe:1']],
    ['nothing', 'maybe: null', ['a.io/always:1'], ['a.io/maybe:1']],
  ])('counts as far as its conditions hold, by %s', async (_, values, found, doubted) => {
    const declared = await declaredIn(files, { values });
    expect([images(declared), suspects(declared)]).toEqual([found, doubted]);
  });

  test('is doubted where a condition is not set, with its name', async () => {
    const { suspects } = await declaredIn(files, { values: 'maybe: null' });
    expect(suspects[0]?.reason).toBe(
      'declared by helm.sh/images, if maybe.enabled, which is not set',
    );
  });

  test('counts where one of several entries does', async () => {
    const text = chart(`  helm.sh/images: |
    - {image: "a.io/b:1", condition: x}
    - {image: "a.io/b:1", condition: y}
`);
    const found = async (values: string) =>
      images(await declaredIn({ 'charts/web/Chart.yaml': text }, { values }));
    expect(await found('{x: false, y: true}')).toEqual(['a.io/b:1']);
    expect(await found('{x: false, y: false}')).toEqual([]);
  });

  test('takes the first of several conditions that is set', async () => {
    const text = chart('  helm.sh/images: |\n    - {image: "a.io/b:1", condition: "x.y, z"}\n');
    const found = async (values: string) =>
      images(await declaredIn({ 'charts/web/Chart.yaml': text }, { values }));
    expect(await found('z: true')).toEqual(['a.io/b:1']);
    expect(await found('{z: true, x: {y: false}}')).toEqual([]);
  });
});

describe('charts in a chart', () => {
  const declaring = (image: string, condition = ''): string =>
    `name: db\nannotations:\n  helm.sh/images: |\n    - {image: "${image}"${condition}}\n`;
  const dependency = (rest: string): string =>
    `name: web\ndependencies:\n  - {name: db, version: 1.0.0, ${rest}}\n`;

  test('declare with the values that are set for them', async () => {
    const files = {
      'charts/web/Chart.yaml': dependency('alias: store'),
      'charts/web/values.yaml': 'store: {on: true}\n',
      'charts/web/charts/db/Chart.yaml': declaring('a.io/db:1', ', condition: on'),
      'charts/web/charts/db/values.yaml': 'on: false\n',
    };
    const found = await declaredIn(files);
    expect(found.images).toEqual([
      {
        reference: 'a.io/db:1',
        origins: [{ file: 'charts/web/charts/db/Chart.yaml', line: 4 }],
      },
    ]);
    expect(images(await declaredIn(files, { values: 'store: {on: false}' }))).toEqual([]);
  });

  test('see what is global', async () => {
    const files = {
      'charts/web/Chart.yaml': 'name: web\n',
      'charts/web/charts/db/Chart.yaml': declaring('a.io/db:1', ', condition: global.db'),
    };
    expect(images(await declaredIn(files, { values: 'global: {db: true}' }))).toEqual([
      'a.io/db:1',
    ]);
  });

  test.each([
    ['a condition', 'condition: db.enabled', 'db: {enabled: false}', []],
    ['a condition that holds', 'condition: db.enabled', 'db: {enabled: true}', ['a.io/db:1']],
    ['a condition on nothing', 'condition: db.enabled', '', ['a.io/db:1']],
    ['a tag', 'tags: [back]', 'tags: {back: false}', []],
    ['one of its tags', 'tags: [back, front]', 'tags: {back: false, front: true}', ['a.io/db:1']],
    [
      'a tag, which a condition goes before',
      'tags: [back], condition: db.on',
      '{tags: {back: false}, db: {on: true}}',
      ['a.io/db:1'],
    ],
  ])('count as far as they are installed, by %s', async (_, rest, values, expected) => {
    const files = {
      'charts/web/Chart.yaml': dependency(rest),
      'charts/web/charts/db/Chart.yaml': declaring('a.io/db:1'),
    };
    expect(images(await declaredIn(files, { values }))).toEqual(expected);
  });

  test('may be packed, linked to, or named so that helm passes over them', async () => {
    const found = await declaredIn({
      'charts/web/Chart.yaml': 'name: web\n',
      'charts/web/charts/db-1.tgz': await packed('db', {
        'Chart.yaml': declaring('a.io/packed:1'),
      }),
      'charts/web/charts/linked': { link: '../../../shared/db' },
      'charts/web/charts/_not/Chart.yaml': declaring('a.io/none:1'),
      'charts/web/charts/README.md': 'none',
      'shared/db/Chart.yaml': declaring('a.io/linked:1'),
    });
    expect(found.images).toEqual([
      {
        reference: 'a.io/packed:1',
        origins: [{ file: 'charts/web/charts/db-1.tgz', via: 'Chart.yaml:4' }],
      },
      {
        reference: 'a.io/linked:1',
        origins: [{ file: 'charts/web/charts/linked/Chart.yaml', line: 4 }],
      },
    ]);
  });

  test('may be packed in a packed chart', async () => {
    const inner = await packed('db', { 'Chart.yaml': declaring('a.io/db:1') });
    const outer = await packed('web', {
      'Chart.yaml': 'name: web\n',
      'charts/db.tgz': inner,
      'charts/folder/Chart.yaml': declaring('a.io/folder:1'),
    });
    const tree: Tree = await openArchive(bytes(outer), 'charts/web.tgz');
    const { images } = await declaredAt(packedFiles(tree, { file: 'charts/web.tgz' }), '', []);
    expect(images.map(({ reference, origins }) => [reference, ...origins])).toEqual([
      ['a.io/db:1', { file: 'charts/web.tgz', via: 'charts/db.tgz: Chart.yaml:4' }],
      ['a.io/folder:1', { file: 'charts/web.tgz', via: 'charts/folder/Chart.yaml:4' }],
    ]);
  });
});

test('a chart of a context declares by all the ways to render it, as far as the configuration lets it', async () => {
  const tree = directory(
    await contextDirectory({
      'charts/web/Chart.yaml': chart(`  helm.sh/images: |
    - {image: "a.io/one:1", condition: one}
    - {image: "a.io/two:1", condition: two}
    - {image: "a.io/web:2"}
  images: |
    - {image: "a.io/three:1"}
`),
      'one.yaml': 'one: true\ntwo: false\n',
      'two.yaml': 'one: false\n',
    }),
  );
  const found = async (declared: Declared) =>
    findInCharts(tree, {
      render: async () => 'image: a.io/web:2',
      settings: {
        'charts/web': {
          declared,
          variants: [{ values: ['one.yaml'] }, { values: ['two.yaml'], set: { two: true } }],
        },
      },
    });
  const suspected = await found('suspect');
  expect([images(suspected), suspects(suspected)]).toEqual([
    ['a.io/one:1', 'a.io/two:1', 'a.io/web:2'],
    ['a.io/three:1'],
  ]);
  expect(suspected.images[2]?.origins.map(({ file }) => file)).toEqual([
    'charts/web',
    'charts/web',
  ]);
  expect(images(await found('accept'))).toContain('a.io/three:1');
  expect(await found('ignore')).toMatchObject({
    suspects: [],
    images: [{ reference: 'a.io/web:2' }],
  });
});
