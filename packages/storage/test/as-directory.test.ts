import { lstat, readdir, readFile, readlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { bytes, type TreeEntry } from '@cluster-image/oci';
import { asDirectory } from '@cluster-image/storage';
import { temporaryDirectory } from '@cluster-image/testing';
import { expect, onTestFinished, test, vi } from 'vitest';

const entries: readonly TreeEntry[] = [
  { type: 'directory', path: 'bin', mode: 0o755 },
  { type: 'file', path: 'bin/run', mode: 0o755, content: bytes('#!/bin/sh') },
  { type: 'symlink', path: 'bin/to', mode: 0o777, target: '../nowhere' },
  { type: 'file', path: 'a', mode: 0o644, content: bytes('a') },
];

test('entries are a directory for as long as it is needed, with their modes and no time', async () => {
  let path = '';
  await asDirectory(entries, async (root) => {
    path = root;
    expect((await readdir(root, { recursive: true })).sort()).toEqual([
      'a',
      'bin',
      'bin/run',
      'bin/to',
    ]);
    expect(await readFile(join(root, 'a'), 'utf8')).toBe('a');
    expect(await readlink(join(root, 'bin/to'))).toBe('../nowhere');
    for (const at of ['', 'bin', 'bin/run', 'bin/to', 'a']) {
      const { mode, mtimeMs } = await lstat(join(root, at));
      const expected = entries.find((entry) => entry.path === at)?.mode ?? 0o755;
      expect([at, mode & 0o777, mtimeMs]).toEqual([at, expected, 0]);
    }
  });
  expect(dirname(path)).toBe(tmpdir());
  await expect(readdir(path)).rejects.toThrow('ENOENT');
});

test('nothing is written through a link, and nothing is left where it fails', async () => {
  vi.stubEnv('TMPDIR', await temporaryDirectory());
  onTestFinished(() => void vi.unstubAllEnvs());
  const through: readonly TreeEntry[] = [
    { type: 'symlink', path: 'charts', mode: 0o777, target: tmpdir() },
    { type: 'file', path: 'charts/cluster-image-through', mode: 0o644, content: bytes('a') },
  ];
  await expect(asDirectory(through, async () => 1)).rejects.toMatchObject({ code: 'FILE_SYSTEM' });
  expect(await readdir(tmpdir())).toEqual([]);
});
