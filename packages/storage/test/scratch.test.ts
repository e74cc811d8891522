import { existsSync, statSync } from 'node:fs';
import { appendFile } from 'node:fs/promises';
import { codeOf, readAll } from '@cluster-image/oci';
import { nodeFileSystem, openStore, type Scratch } from '@cluster-image/storage';
import { noise, temporaryDirectory } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { faulty } from './faulty.ts';
import { bury, leftBelow } from './wreck.ts';

async function* chunksOf(...chunks: readonly Uint8Array[]): AsyncIterable<Uint8Array> {
  yield* chunks;
}

async function textIn(file: Scratch): Promise<string> {
  const content = await file.content();
  return content ? new TextDecoder().decode(await readAll(content, 1000)) : 'gone';
}

describe('a scratch file', () => {
  test('has what was put into it, by us and by a program that was told its path', async () => {
    const file = await openStore(await temporaryDirectory()).scratch();
    await file.append(chunksOf(Buffer.from('one '), new Uint8Array(), Buffer.from('two ')));
    await appendFile(file.path, 'three');
    expect(await textIn(file)).toBe('one two three');
    expect(statSync(file.path).mode & 0o777).toBe(0o600);
  });

  test('is gone when it is ended, also after its source broke off', async () => {
    const root = await temporaryDirectory();
    const file = await openStore(root).scratch();
    async function* broken(): AsyncIterable<Uint8Array> {
      yield noise('part', 3_000_000);
      throw new Error('the line went dead');
    }
    await expect(file.append(broken())).rejects.toThrow('the line went dead');
    expect((await file.content())?.size).toBe(3_000_000);
    await file.end();
    await file.end();
    expect([await textIn(file), await leftBelow(root)]).toEqual(['gone', []]);
  });

  test('says that the disk is full', async () => {
    const root = await temporaryDirectory();
    const failures = [];
    for (let at = 1; at < 30; at++) {
      const { fs, hit } = faulty('ENOSPC', at, nodeFileSystem);
      const writing = openStore(root, fs)
        .scratch()
        .then((file) => file.append(chunksOf(noise('all', 100))));
      const code = await writing.then(() => undefined, codeOf);
      if (hit() === 'writev') failures.push(code);
    }
    expect(failures).toEqual(['NO_SPACE']);
  });

  test('of a process that is gone is removed by the next that needs one', async () => {
    const root = await temporaryDirectory();
    const left = await openStore(root).scratch();
    await left.append(chunksOf(noise('left', 1000)));
    const live = await openStore(root).scratch();
    expect(existsSync(left.path)).toBe(true);
    await live.end();
    await bury(root);
    const dead = await leftBelow(root);
    expect(dead).toHaveLength(1);
    const next = await openStore(root).scratch();
    await next.end();
    expect(await leftBelow(root)).toEqual([]);
  });
});
