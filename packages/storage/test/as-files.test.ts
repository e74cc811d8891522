import { readdir, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { bytes, type Content, digestOf } from '@cluster-image/oci';
import { asFiles, openStore } from '@cluster-image/storage';
import { temporaryDirectory } from '@cluster-image/testing';
import { expect, onTestFinished, test, vi } from 'vitest';

const texts = (paths: ReadonlyMap<string, string>): Promise<readonly string[]> =>
  Promise.all([...paths.values()].map((path) => readFile(path, 'utf8')));

test('contents are files for as long as they are needed', async () => {
  const contents = new Map([
    ['a', bytes('one')],
    ['b/../c', bytes('two')],
  ]);
  let scratch = '';
  const read = await asFiles(contents, (paths) => {
    scratch = dirname(paths.get('a') ?? '');
    return texts(paths);
  });
  expect([read, dirname(scratch)]).toEqual([['one', 'two'], tmpdir()]);
  await expect(readdir(scratch)).rejects.toThrow('ENOENT');
});

test('nothing is left where it fails', async () => {
  const broken: Content = {
    size: 5,
    open: () => {
      throw new Error('broken');
    },
  };
  vi.stubEnv('TMPDIR', await temporaryDirectory());
  onTestFinished(() => void vi.unstubAllEnvs());
  await expect(asFiles(new Map([['a', broken]]), async () => 1)).rejects.toThrow('broken');
  expect(await readdir(tmpdir())).toEqual([]);
});

test('what a store keeps is read where it lies', async () => {
  const store = openStore(join(await temporaryDirectory(), 'store'));
  const digest = digestOf(Buffer.from('kept'));
  await store.registry.putBlob('a/b', digest, bytes('kept'));
  const content = await store.registry.blob('a/b', digest);
  if (!content) throw new Error('no blob');
  await asFiles(new Map([['a', content]]), async (paths) => {
    expect(await texts(paths)).toEqual(['kept']);
    expect(paths.get('a')?.startsWith(store.root)).toBe(true);
  });
  expect((await store.registry.blob('a/b', digest))?.size).toBe(4);
});
