import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { codeOf, fileOf, readAll, type Tree } from '@cluster-image/oci';
import { directory } from '@cluster-image/storage';
import { temporaryDirectory } from '@cluster-image/testing';
import { expect, onTestFinished, test } from 'vitest';

async function made(files: Readonly<Record<string, string>>): Promise<string> {
  const root = await temporaryDirectory();
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(join(root, path, '..'), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return root;
}

async function paths(tree: Tree, below?: string): Promise<string[]> {
  return (await Array.fromAsync(tree.entries(below))).map(({ type, path }) => `${type} ${path}`);
}

test('entries come parents first, in an order that depends on the names alone', async () => {
  const root = await made({
    'b/z': '',
    'b/a': '',
    'b-': '',
    a: '',
    é: '',
    Z: '',
    '\u{1F433}': '',
    '\uFFFC': '',
  });
  expect(await paths(directory(root))).toEqual([
    'file Z',
    'file a',
    'directory b',
    'file b/a',
    'file b/z',
    'file b-',
    'file é',
    'file \uFFFC',
    'file \u{1F433}',
  ]);
  expect(await paths(directory(root), 'b')).toEqual(['file b/a', 'file b/z']);
});

test('an entry has its mode, and a file its content', async () => {
  const root = await made({ 'd/run': '#!/bin/sh' });
  chmodSync(join(root, 'd/run'), 0o4751);
  chmodSync(join(root, 'd'), 0o700);
  expect(await directory(root).entry('d')).toEqual({ type: 'directory', path: 'd', mode: 0o700 });
  expect(await directory(root).entry('d/run')).toMatchObject({
    type: 'file',
    path: 'd/run',
    mode: 0o4751,
  });
  const content = await fileOf(directory(root), 'd/run');
  expect(content && Buffer.from(await readAll(content, 100)).toString()).toBe('#!/bin/sh');
});

test('what does not exist is undefined, and a directory that does not has no entries', async () => {
  const root = await made({ file: '' });
  const tree = directory(root);
  expect(await tree.entry('none')).toBeUndefined();
  expect(await tree.entry('file/below')).toBeUndefined();
  expect(await paths(tree, 'none')).toEqual([]);
  expect(await paths(tree, 'file')).toEqual([]);
  expect(await paths(directory(join(root, 'none')))).toEqual([]);
  expect(await directory(join(root, 'none')).entry('')).toBeUndefined();
});

test('T10: links are entries and are not followed, neither at the end of a path nor within it', async () => {
  const secret = await made({ 'inner/secret': 'secret' });
  const root = await made({ 'real/file': '' });
  symlinkSync(join(secret, 'inner'), join(root, 'out'));
  symlinkSync('real', join(root, 'in'));
  symlinkSync('loop', join(root, 'loop'));
  const tree = directory(root);
  expect(await tree.entry('out')).toMatchObject({ type: 'symlink', target: join(secret, 'inner') });
  for (const path of ['out/secret', 'in/file', 'loop/x']) {
    expect(await tree.entry(path)).toBeUndefined();
  }
  expect(await paths(tree, 'out')).toEqual([]);
  expect(await paths(tree)).toEqual([
    'symlink in',
    'symlink loop',
    'symlink out',
    'directory real',
    'file real/file',
  ]);
});

test('N07: the directory itself may be reached through a link', async () => {
  const root = await made({ 'real/file': '' });
  symlinkSync('real', join(root, 'link'));
  expect(await paths(directory(join(root, 'link')))).toEqual(['file file']);
});

test('T01: a path that leads out, or is spelled in a second way, is absent', async () => {
  const root = await made({ 'inside/file': '', outside: '' });
  const tree = directory(join(root, 'inside'));
  for (const path of [
    '../outside',
    '..',
    'x/../../outside',
    '/file',
    join(root, 'outside'),
    './file',
    '.',
    'file/',
    'a//b',
    'file\0',
  ]) {
    expect(await tree.entry(path)).toBeUndefined();
    expect(await paths(tree, path)).toEqual([]);
  }
  expect(await tree.entry('file')).toBeDefined();
});

test('what is skipped is absent, with all that is below it', async () => {
  const root = await made({ 'node_modules/a/b': '', 'keep/node_modules': '', 'keep/x': '' });
  const tree = directory(root, (path) => path === 'node_modules' || path === 'keep/x');
  expect(await paths(tree)).toEqual(['directory keep', 'file keep/node_modules']);
  for (const path of ['node_modules', 'node_modules/a', 'node_modules/a/b', 'keep/x']) {
    expect(await tree.entry(path)).toBeUndefined();
  }
  expect(await paths(tree, 'node_modules')).toEqual([]);
});

test('T10: a socket is FILE_SYSTEM, naming it, unless it is skipped', async () => {
  const root = await made({ file: '' });
  const server = createServer().listen(join(root, 'socket'));
  onTestFinished(() => void server.close());
  await new Promise((resolve) => server.once('listening', resolve));
  const failure = await paths(directory(root)).catch((error) => error);
  expect(codeOf(failure)).toBe('FILE_SYSTEM');
  expect(String(failure)).toContain(join(root, 'socket'));
  expect(await paths(directory(root, (path) => path === 'socket'))).toEqual(['file file']);
});

test('T10: a name that is not UTF-8 is FILE_SYSTEM', async () => {
  const root = await made({ file: '' });
  writeFileSync(Buffer.concat([Buffer.from(`${root}/`), Buffer.from([0x66, 0xff])]), '');
  await expect(paths(directory(root))).rejects.toMatchObject({ code: 'FILE_SYSTEM' });
});
