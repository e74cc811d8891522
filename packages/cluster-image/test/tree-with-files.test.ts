import { bytes, fileOf, readAll, type Tree } from '@cluster-image/oci';
import { directory } from '@cluster-image/storage';
import { expect, test } from 'vitest';
import { treeWithFiles } from '../src/tree-with-files.ts';
import { contextDirectory } from './context.ts';

const content = bytes('more');

async function paths(tree: Tree, below?: string): Promise<readonly string[]> {
  return (await Array.fromAsync(tree.entries(below))).map(({ path, type }) => `${type} ${path}`);
}

test('a tree has some more files, and the directories above them once', async () => {
  const own = directory(await contextDirectory({ 'a/x': '1', 'charts/b': '2' }));
  const tree = treeWithFiles(
    own,
    new Map([
      ['charts/web.tgz', content],
      ['c/d/e.tgz', content],
      ['c/f.tgz', content],
    ]),
  );
  expect(await paths(tree)).toEqual([
    'directory a',
    'file a/x',
    'directory charts',
    'file charts/b',
    'file charts/web.tgz',
    'directory c',
    'directory c/d',
    'file c/d/e.tgz',
    'file c/f.tgz',
  ]);
  expect(await paths(tree, 'charts')).toEqual(['file charts/b', 'file charts/web.tgz']);
  expect(await paths(tree, 'c/d')).toEqual(['file c/d/e.tgz']);
  expect(await paths(tree, 'cha')).toEqual([]);
  expect((await tree.entry('c/d'))?.type).toBe('directory');
  expect(await tree.entry('c/x')).toBeUndefined();
  const found = await fileOf(tree, 'charts/web.tgz');
  expect(found && Buffer.from(await readAll(found, 10)).toString()).toBe('more');
  expect(await fileOf(tree, 'a/x')).toBeDefined();
});

test('a tree without more files is itself', async () => {
  const own = directory(await contextDirectory({}));
  expect(treeWithFiles(own, new Map())).toBe(own);
});
