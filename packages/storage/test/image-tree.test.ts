import { gzipSync } from 'node:zlib';
import {
  bytes,
  type Content,
  codeOf,
  digestOf,
  fileOf,
  type ImageManifest,
  mediaTypes,
  parseManifest,
  readAll,
  type Tree,
} from '@cluster-image/oci';
import { imageTree, type TarEntry, tarball } from '@cluster-image/storage';
import { expect, test } from 'vitest';

const file = (path: string, body = path): TarEntry => ({
  type: 'file',
  path,
  mode: 0o644,
  content: bytes(body),
});
const directory = (path: string): TarEntry => ({ type: 'directory', path, mode: 0o755 });

async function layered(...layers: readonly (readonly TarEntry[])[]): Promise<Tree> {
  return treeOf(layers.map((entries) => tarball(entries)));
}

function treeOf(contents: readonly (Content | undefined)[]): Promise<Tree> {
  const layers = contents.map((content, at) => ({
    mediaType: mediaTypes.ociLayer,
    digest: digestOf(Buffer.from(`${at}`)),
    size: content?.size ?? 0,
  }));
  const config = {
    mediaType: mediaTypes.ociConfig,
    digest: digestOf(Buffer.from('config')),
    size: 2,
  };
  const body = { schemaVersion: 2, mediaType: mediaTypes.ociManifest, config, layers };
  return imageTree(
    imageOf(JSON.stringify(body)),
    async ({ digest }) => contents[layers.findIndex((layer) => layer.digest === digest)],
    'image',
  );
}

function imageOf(text: string): ImageManifest {
  const manifest = parseManifest(Buffer.from(text), 'image');
  if (manifest.kind !== 'image') throw new Error('not an image');
  return manifest;
}

const paths = async (tree: Tree, below?: string): Promise<string[]> =>
  (await Array.fromAsync(tree.entries(below))).map(({ path }) => path);

test('a later layer lies over an earlier one', async () => {
  const tree = await layered(
    [directory('d'), file('d/a', 'old'), file('d/b')],
    [file('d/a', 'new'), file('c')],
  );
  expect(await paths(tree)).toEqual(['c', 'd', 'd/a', 'd/b']);
  expect(await paths(tree, 'd')).toEqual(['d/a', 'd/b']);
  const content = await fileOf(tree, 'd/a');
  expect(content && Buffer.from(await readAll(content, 10)).toString()).toBe('new');
});

test('T12: a whiteout takes away what earlier layers have, and nothing of its own layer', async () => {
  const below = [
    directory('d'),
    file('d/a'),
    file('d/b'),
    directory('e'),
    file('e/f'),
    file('da'),
    file('top'),
  ];
  const tree = await layered(below, [
    file('d/.wh.a', ''),
    file('.wh.e', ''),
    file('.wh.top', ''),
    file('top'),
  ]);
  expect(await paths(tree)).toEqual(['d', 'd/b', 'da', 'top']);
  const content = await fileOf(tree, 'top');
  expect(content?.size).toBe(3);
});

test('T12: an opaque whiteout takes away all that is below its directory, the root\u2019s too', async () => {
  const below = [directory('d'), file('d/a'), directory('d/e'), file('d/e/f'), file('da')];
  expect(await paths(await layered(below, [file('d/.wh..wh..opq', ''), file('d/new')]))).toEqual([
    'd',
    'd/new',
    'da',
  ]);
  expect(await paths(await layered(below, [file('.wh..wh..opq', ''), file('new')]))).toEqual([
    'new',
  ]);
});

test('a file in the place of a directory takes away what was below it', async () => {
  const tree = await layered([directory('d'), file('d/a'), file('d-')], [file('d', 'now a file')]);
  expect(await paths(tree)).toEqual(['d', 'd-']);
});

test('a layer that is missing is NOT_FOUND, a compressed one UNSUPPORTED, a broken one ARCHIVE_INVALID', async () => {
  for (const [content, code] of [
    [undefined, 'NOT_FOUND'],
    [bytes(gzipSync('x')), 'UNSUPPORTED'],
    [bytes('no tar'), 'ARCHIVE_INVALID'],
  ] as const) {
    const failure = await treeOf([content]).catch((error) => error);
    expect(codeOf(failure)).toBe(code);
    expect(String(failure)).toContain('image');
  }
});
