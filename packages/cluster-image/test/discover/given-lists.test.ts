import { directory } from '@cluster-image/storage';
import { describe, expect, test } from 'vitest';
import type { Findings } from '../../src/discover/discovery.ts';
import {
  findInGivenLists,
  ignoredTexts,
  listsWithCredentials,
} from '../../src/discover/given-lists.ts';
import { findInSections } from '../../src/discover/image-sections.ts';
import type { DiscoverSettings } from '../../src/discover/settings.ts';
import { contextDirectory, type Given } from '../context.ts';

async function find(
  files: Readonly<Record<string, Given>>,
  settings: DiscoverSettings = {},
): Promise<Findings> {
  return findInGivenLists(directory(await contextDirectory(files)), settings);
}

const seen = ({ images }: Findings): readonly string[] =>
  images.flatMap(({ reference, origins }) =>
    origins.map(({ file, line }) => `${reference} ${file}:${line}`),
  );

const sections = `# registries of ours
- registry: a.io:5000
  username: me
  password: secret
  images:
    - team/app:1
    - b.io/team/app:1 # has its own
    - localhost/app:1
    - nginx
- images: [nginx:1, &x 'redis:7']
- registry: docker.io
  images: ["busybox", *x]
- registry: c.io
`;

describe('lists that sealer knows', () => {
  test('are found where it has them', async () => {
    const found = await find({
      'manifests/imageList': '#all\r\n\r\n a.io/x:1 \r\n\'a.io/y:1\'\r\n"a.io/z" # last\r\n',
      'imageListWithAuth.yaml': '- {registry: b.io, username: u, password: p, images: [w:1]}',
      imageList: 'a.io/none:1',
    });
    expect(seen(found)).toEqual([
      'a.io/x:1 manifests/imageList:3',
      'a.io/y:1 manifests/imageList:4',
      'a.io/z:latest manifests/imageList:5',
      'b.io/w:1 imageListWithAuth.yaml:1',
    ]);
    expect([found.suspects, found.unresolved]).toEqual([[], []]);
  });

  test('are named in the configuration where they are elsewhere', async () => {
    const files = { 'lists/one': 'a.io/x:1', 'lists/two.yml': '- images: [a.io/y:1]' };
    expect(seen(await find(files, { lists: ['lists/one', './lists/two.yml'] }))).toEqual([
      'a.io/x:1 lists/one:1',
      'a.io/y:1 lists/two.yml:1',
    ]);
  });

  test.each(['gone', '../outside', '/etc/passwd', ''])('are there: %j', async (path) => {
    await expect(find({}, { lists: [path] })).rejects.toMatchObject({
      code: 'INPUT_INVALID',
      message: `cluster-image.json: lists: there is no file ${path} in the context`,
    });
  });

  test('have lines that are no reference', async () => {
    const { unresolved } = await find({ 'manifests/imageList': 'a.io/X:1\n' });
    expect(unresolved).toMatchObject([
      { text: 'a.io/X:1', origin: { file: 'manifests/imageList', line: 1 } },
    ]);
  });
});

describe('a list in sections', () => {
  test('has images in the registry of their section, unless they name one', () => {
    const found = findInSections(sections, 'list.yaml');
    expect(seen(found)).toEqual([
      'a.io:5000/nginx:latest list.yaml:9',
      'a.io:5000/team/app:1 list.yaml:6',
      'b.io/team/app:1 list.yaml:7',
      'docker.io/library/busybox:latest list.yaml:12',
      'docker.io/library/nginx:1 list.yaml:10',
      'docker.io/library/redis:7 list.yaml:10',
      'docker.io/library/redis:7 list.yaml:12',
      'localhost/app:1 list.yaml:8',
    ]);
    expect(found.unresolved).toEqual([]);
  });

  test('tells nobody its credentials', () => {
    const texts = [
      sections,
      '- registry: https://me:secret@a.io\n  images: [x:1]',
      '- {password: secret, images: secret}',
      '- secret',
      'password: secret',
      '- password: "secret',
      '- {registry: a.io, password: [secret], images: [[secret]]}',
    ];
    for (const text of texts) {
      expect(JSON.stringify(findInSections(text, 'list.yaml'))).not.toContain('secret');
    }
  });

  test.each([
    ['password: x', 1],
    ['- images: [a:1]\n- x', 2],
    ['- registry: a.io\n  images: x', 2],
    ['- images:\n    - [x]', 2],
    ['- images: [a:1]\n- "', 2],
    [`${'['.repeat(200)}`, 1],
    ['- registry: a.io\n  images: ["a b"]', 2],
  ])('that is none names its line: %j', (text, line) => {
    const { unresolved } = findInSections(text, 'list.yaml');
    expect(unresolved).toHaveLength(1);
    expect(unresolved[0]?.origin).toEqual({ file: 'list.yaml', line });
  });

  test.each(['', '# none\n', '- registry: a.io\n'])('may be empty: %j', (text) => {
    expect(findInSections(text, 'list.yaml')).toEqual({ images: [], suspects: [], unresolved: [] });
  });

  test('is no part of an image, for its credentials', () => {
    expect(listsWithCredentials({ lists: ['one', './two.yaml', '../three.yaml'] })).toEqual([
      'imageListWithAuth.yaml',
      'two.yaml',
    ]);
  });
});

test('what is left out is listed in .sealignore, and where the configuration says', async () => {
  const tree = directory(
    await contextDirectory({ '.sealignore': 'a.io/x:1 # old\n', 'lists/ignored': '\na.io/y:1\n' }),
  );
  expect(await ignoredTexts(tree, {})).toEqual(['a.io/x:1']);
  expect(await ignoredTexts(tree, { ignoredLists: ['lists/ignored'] })).toEqual([
    'a.io/x:1',
    'a.io/y:1',
  ]);
  await expect(ignoredTexts(tree, { ignoredLists: ['gone'] })).rejects.toMatchObject({
    code: 'INPUT_INVALID',
    message: 'cluster-image.json: ignoredLists: there is no file gone in the context',
  });
});
