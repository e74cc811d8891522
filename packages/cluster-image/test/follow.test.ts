import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readAll } from '@cluster-image/oci';
import { directory } from '@cluster-image/storage';
import { describe, expect, test } from 'vitest';
import { followed, reached, target } from '../src/follow.ts';
import { contextDirectory, type Given } from './context.ts';

const files: Readonly<Record<string, Given>> = {
  'outer/secret': 'outside',
  'outer/tree/secret': 'inside',
  'outer/tree/deep/er/file': 'a file',
  'outer/tree/deep/self': { link: '.' },
  'outer/tree/deep/down': { link: 'er' },
  'outer/tree/deep/up': { link: 'down/../../secret' },
  'outer/tree/deep/escape': { link: 'self/../../secret' },
  'outer/tree/deep/out': { link: '../../secret' },
  'outer/tree/deep/absolute': { link: '/etc/passwd' },
  'outer/tree/deep/nowhere': { link: 'none' },
  'outer/tree/loop': { link: 'loop' },
  'outer/tree/by': { link: './/deep/' },
};

const decode = (text: Uint8Array): string => new TextDecoder().decode(text);

describe('a path in a tree', () => {
  test('leads through links as a system follows them', async () => {
    const root = join(await contextDirectory(files), 'outer/tree');
    for (const path of [
      'deep/er/file',
      'deep/down/file',
      'by/down/file',
      'by/self/self/down/file',
      'deep/up',
    ]) {
      const found = await followed(directory(root), path);
      const text = found && decode(await readAll(found.content, 100));
      expect([path, text]).toEqual([path, await readFile(join(root, path), 'utf8')]);
    }
    expect(await target(directory(root), 'by')).toMatchObject({ type: 'directory', path: 'deep' });
    expect(await target(directory(root), '')).toMatchObject({ type: 'directory', path: '' });
  });

  test.each([
    '../secret',
    'deep/../../secret',
    '/etc/passwd',
    'deep/escape',
    'by/escape',
    'deep/out',
    'deep/absolute',
  ])('that leads out of it is nothing in it: %s', async (path) => {
    const tree = directory(join(await contextDirectory(files), 'outer/tree'));
    expect(await reached(tree, path)).toBe('outside');
    expect(await target(tree, path)).toBe(undefined);
  });

  test.each(['none', 'deep/nowhere', 'loop', 'secret/below', 'deep/none/file'])(
    'where nothing is, is undefined: %s',
    async (path) => {
      const tree = directory(join(await contextDirectory(files), 'outer/tree'));
      expect(await reached(tree, path)).toBe(undefined);
    },
  );
});
