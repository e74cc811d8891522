import { execFileSync } from 'node:child_process';
import { chmod, mkdir, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { directory } from '@cluster-image/storage';
import { beforeAll, describe, expect, test } from 'vitest';
import { contextSource, over } from '../../src/assemble/source.ts';
import { contextDirectory, type Given } from '../context.ts';
import { sourceOf } from './stages.ts';

const files: Readonly<Record<string, Given>> = {
  '.g/g': '',
  '.hidden': '',
  'a.txt': '',
  'arr[0].txt': '',
  'b.txt': '',
  'dir/sub/y': '',
  'dir/x': '',
  'dir/inner': { link: '../a.txt' },
  'other/z': '',
  'with space/s': '',
};
const all = Object.keys(files);

/** What docker leaves out of the same files by the same lines. */
describe('.dockerignore leaves out', () => {
  const left = async (root: string, text: string): Promise<readonly string[]> => {
    const source = await sourceOf(root, text);
    return all.filter((path) => !source.has(path));
  };

  test.each<[string, readonly string[]]>([
    ['', []],
    ['# a.txt\n\n', []],
    ['*.txt', ['a.txt', 'arr[0].txt', 'b.txt']],
    ['a.txt', ['a.txt']],
    ['/a.txt', ['a.txt']],
    ['./a.txt', ['a.txt']],
    [' a.txt \r\nb.txt\r\n', ['a.txt', 'b.txt']],
    ['\uFEFFa.txt', ['a.txt']],
    ['dir/../a.txt', ['a.txt']],
    ['../a.txt', []],
    ['..', []],
    ['.', []],
    ['/', []],
    ['!a.txt', []],
    ['dir', ['dir/sub/y', 'dir/x', 'dir/inner']],
    ['/dir/', ['dir/sub/y', 'dir/x', 'dir/inner']],
    ['dir/*', ['dir/sub/y', 'dir/x', 'dir/inner']],
    ['dir/**', ['dir/sub/y', 'dir/x', 'dir/inner']],
    ['dir/sub/..', ['dir/sub/y', 'dir/x', 'dir/inner']],
    ['dir/su', []],
    ['sub', []],
    ['**/sub', ['dir/sub/y']],
    ['**/sub/*', ['dir/sub/y']],
    ['dir/**/y', ['dir/sub/y']],
    ['**/**/y', ['dir/sub/y']],
    ['**/x', ['dir/x']],
    ['*/x', ['dir/x']],
    ['x', []],
    ['*/*/*', ['dir/sub/y']],
    ['*/*', ['.g/g', 'dir/sub/y', 'dir/x', 'dir/inner', 'other/z', 'with space/s']],
    ['d?r', ['dir/sub/y', 'dir/x', 'dir/inner']],
    ['a*t', ['a.txt', 'arr[0].txt']],
    ['[ab].txt', ['a.txt', 'b.txt']],
    ['[^a].txt', ['b.txt']],
    ['arr[[]0].txt', ['arr[0].txt']],
    ['arr\\[0\\].txt', ['arr[0].txt']],
    ['.*', ['.g/g', '.hidden']],
    ['with space', ['with space/s']],
    ['{a,b}.txt', []],
    ['@(a|b).txt', []],
    ['A.TXT', []],
    ['*', all],
    ['**', all],
    ['*.txt\n!b.txt', ['a.txt', 'arr[0].txt']],
    ['*.txt\n!*.txt\nb.txt', ['b.txt']],
    ['!b.txt\n*.txt', ['a.txt', 'arr[0].txt', 'b.txt']],
    ['dir\n!dir/x', ['dir/sub/y', 'dir/inner']],
    ['dir/*\n!dir/sub', ['dir/x', 'dir/inner']],
    ['dir/sub\n!dir/sub/y\ndir/sub/y', ['dir/sub/y']],
    ['*\n!dir', all.filter((path) => !path.startsWith('dir/'))],
    ['*\n!dir/sub/y', all.filter((path) => path !== 'dir/sub/y')],
    ['*\n!**/x', all.filter((path) => path !== 'dir/x')],
    ['**\n!dir/x', all.filter((path) => path !== 'dir/x')],
    ['*\n! dir/x', all.filter((path) => path !== 'dir/x')],
  ])('%j', async (text, expected) => {
    expect(await left(await contextDirectory(files), text)).toEqual(expected);
  });

  test('files, not the directory that a file is let through from', async () => {
    const source = await sourceOf(await contextDirectory(files), '*\n!dir/sub/y');
    expect([...source.keys()]).toEqual(['dir', 'dir/sub', 'dir/sub/y']);
  });
});

describe('the files of a context', () => {
  test('have modes that do not depend on the machine', async () => {
    const root = await contextDirectory({ 'd/a': '', 'd/b': '', c: { link: 'd' } });
    await chmod(join(root, 'd/a'), 0o600);
    await chmod(join(root, 'd/b'), 0o4777);
    await chmod(join(root, 'd'), 0o700);
    const modes = [...(await sourceOf(root)).values()].map((entry) =>
      entry.type === 'symlink' ? [entry.path] : [entry.path, entry.type, entry.mode],
    );
    expect(modes).toEqual([
      ['c'],
      ['d', 'directory', 0o755],
      ['d/a', 'file', 0o644],
      ['d/b', 'file', 0o755],
    ]);
  });

  test('come in an order that depends on their names alone', async () => {
    const names = ['b', 'a', 'B', 'ä', '10', '9', 'a-b', 'a.b', 'a/b'.replace('/', '_')];
    const orders = [names, names.toReversed()].map(async (order) => {
      const root = await contextDirectory(Object.fromEntries(order.map((name) => [name, name])));
      for (const [at, name] of order.entries()) await utimes(join(root, name), at, at);
      return [...(await sourceOf(root)).keys()];
    });
    const [one, other] = await Promise.all(orders);
    expect(one).toEqual(['10', '9', 'B', 'a', 'a-b', 'a.b', 'a_b', 'b', 'ä']);
    expect(other).toEqual(one);
  });

  describe('that cannot be in an image', () => {
    let root: string;
    beforeAll(async () => {
      const path = execFileSync('mktemp', ['-d'], { encoding: 'utf8' }).trim();
      root = path;
      await mkdir(join(root, 'run/deep'), { recursive: true });
      execFileSync('mkfifo', [join(root, 'run/deep/pipe')]);
      await writeFile(join(root, 'run/keep'), '');
      return () => execFileSync('rm', ['-r', path]);
    });

    test('T10: are an error that says how to leave them out', async () => {
      await expect(sourceOf(root)).rejects.toMatchObject({
        code: 'FILE_SYSTEM',
        hint: expect.stringContaining('.dockerignore'),
      });
    });

    test.each(['run', '**/pipe', 'run/deep', '*\n!run/keep', 'run/deep/*\n!keep'])(
      'are not looked at when %j leaves them out',
      async (text) => {
        expect([...(await sourceOf(root, text)).keys()]).not.toContain('run/deep/pipe');
      },
    );
  });

  test('are none of what earlier runs made, whatever the file says', async () => {
    const root = await contextDirectory({
      'registry/docker/x': '',
      'registry/own': '',
      'registry/dockers': '',
    });
    const looked: string[] = [];
    const source = await contextSource(
      (skip) =>
        directory(root, (path) => {
          looked.push(path);
          return skip(path);
        }),
      '!registry/docker/x',
      ['registry/docker'],
    );
    expect([...source.keys()]).toEqual(['registry', 'registry/dockers', 'registry/own']);
    expect(looked).not.toContain('registry/docker/x');
  });
});

test('directories that hold nothing but what is made in them are no part of a context', async () => {
  const root = await contextDirectory({
    'dist/deep/image/x': '',
    'out/digest': '',
    'out/own': '',
    'empty/x': '',
    'linked/target/x': '',
    link: { link: 'linked/target' },
  });
  await rm(join(root, 'empty/x'));
  const made = ['dist/deep/image', 'out/digest', 'link/image', '../elsewhere/image'];
  const source = await contextSource((skip) => directory(root, skip), '', made);
  expect([...source.keys()]).toEqual([
    'empty',
    'link',
    'linked',
    'linked/target',
    'linked/target/x',
    'out',
    'out/own',
  ]);
});

test('one source lies over another', () => {
  const entry = (path: string, target: string) => ({ type: 'symlink', path, target }) as const;
  const upper = new Map([['b', entry('b', 'upper')]]);
  const lower = new Map([
    ['a', entry('a', 'lower')],
    ['b', entry('b', 'lower')],
  ]);
  expect([...over(upper, lower).values()]).toEqual([entry('a', 'lower'), entry('b', 'upper')]);
});
