import { directory } from '@cluster-image/storage';
import { expect, test } from 'vitest';
import { target } from '../src/follow.ts';
import { contextDirectory } from './context.ts';

test.each([
  ['a/file', 'a/file'],
  ['link', 'a/file'],
  ['directory', 'a'],
  ['directory/file', 'a/file'],
  ['nested/inner/file', 'a/file'],
  ['directory/none', undefined],
  ['outward/hostname', undefined],
  ['outward', undefined],
  ['loop', undefined],
  ['loop/file', undefined],
  ['twice/twice/twice/file', 'b/file'],
  ['', ''],
])('what is at %j is found through links that stay inside', async (path, expected) => {
  const tree = directory(
    await contextDirectory({
      'a/file': '',
      link: { link: 'directory/file' },
      directory: { link: './a' },
      'b/deep/inner': { link: '../../directory' },
      'b/file': '',
      'b/twice': { link: '.' },
      nested: { link: 'b/deep' },
      outward: { link: '/etc' },
      loop: { link: 'loop/loop' },
      twice: { link: 'b' },
    }),
  );
  expect((await target(tree, path))?.path).toBe(expected);
});
