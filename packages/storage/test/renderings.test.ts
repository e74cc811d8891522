import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createContext, digestOf } from '@cluster-image/oci';
import { nodeFileSystem, openStore } from '@cluster-image/storage';
import { temporaryDirectory } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { day } from './aged.ts';
import { faulty } from './faulty.ts';

const inputs = digestOf(Buffer.from('inputs'));
const path = `renderings/sha256/${inputs.slice(7)}`;

describe('what was rendered', () => {
  test('is remembered by what it was made of, whatever it is', async () => {
    const { renderings, root } = openStore(await temporaryDirectory());
    expect(await renderings.recall(inputs)).toBeUndefined();
    for (const text of ['', 'a: 1\n', '\n\u{1F600}\n']) {
      await renderings.remember(inputs, text);
      expect(await openStore(root).renderings.recall(inputs)).toBe(text);
    }
    expect(await renderings.recall(digestOf(Buffer.from('others')))).toBeUndefined();
  });

  test.each([
    ['changed', (text: string) => text.replace('a: 1', 'a: 2')],
    ['cut off', (text: string) => text.slice(0, -1)],
    ['emptied', () => ''],
    ['without a digest', () => 'a: 1\n'],
  ])('is not known where it was %s', async (_, damage) => {
    const { renderings, root } = openStore(await temporaryDirectory());
    await renderings.remember(inputs, 'a: 1\nb: 2\n');
    writeFileSync(join(root, path), damage(readFileSync(join(root, path), 'utf8')));
    expect(await renderings.recall(inputs)).toBeUndefined();
  });

  test.each(['EACCES', 'EROFS', 'ENOSPC'] as const)(
    'is not remembered after %s, which is no failure',
    async (errno) => {
      const root = await temporaryDirectory();
      await openStore(root).registry.disk.makeDirectory(join(root, 'renderings/sha256'));
      for (const at of [1, 2, 3, 4, 5, 6]) {
        const { renderings } = openStore(root, faulty(errno, at, nodeFileSystem).fs);
        await renderings.remember(digestOf(Buffer.from(`${at}`)), 'a: 1\n');
      }
    },
  );

  test('goes with the next prune unless it was used in the grace period', async () => {
    const store = openStore(await temporaryDirectory());
    await store.renderings.remember(inputs, 'a: 1\n');
    const context = createContext();
    await store.prune({ grace: day }, context);
    expect(await store.renderings.recall(inputs)).toBe('a: 1\n');
    const { freed } = await store.prune({ grace: 0 }, context);
    expect(freed).toBeGreaterThan(0);
    expect(await store.renderings.recall(inputs)).toBeUndefined();
  });

  test('is as old as its last use', async () => {
    const { renderings, root } = openStore(await temporaryDirectory());
    await renderings.remember(inputs, 'a: 1\n');
    const before = statSync(join(root, path)).ctimeMs;
    await new Promise((resolve) => setTimeout(resolve, 20));
    await renderings.recall(inputs);
    expect(statSync(join(root, path)).ctimeMs).toBeGreaterThan(before);
  });
});
