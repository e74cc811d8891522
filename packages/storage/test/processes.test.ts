import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Digest } from '@cluster-image/oci';
import { distributionLayout, ociLayout, openStore } from '@cluster-image/storage';
import { temporaryDirectory } from '@cluster-image/testing';
import { describe, expect, onTestFinished, test } from 'vitest';
import { overlapping, putSlowly } from './processes/images.ts';
import { random } from './random.ts';
import { digestsBelow, expectSound, leftBelow, wholeTag } from './wreck.ts';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** Processes start slowly where there are many, in milliseconds. */
const timeout = 60_000;

describe('several processes at once', { timeout }, () => {
  const numbers = [0, 1, 2, 3];
  const orders = [0, 1, 2, 3].map((turn) => [...numbers.slice(turn), ...numbers.slice(0, turn)]);

  test('D05: put the same images into one store without an error, reading no blob more than twice', async () => {
    const base = await temporaryDirectory();
    const [root, serial, log] = [join(base, 'store'), join(base, 'serial'), join(base, 'log')];
    await all(orders.map((order) => start('store', root, log, 'team/app', '', order)));
    const one = openStore(serial).registry;
    for (const number of numbers) {
      await putSlowly(one, 'team/app', overlapping(number), `v${number}`, join(base, 'other log'));
    }
    expect(await digestsBelow(join(root, 'docker'))).toEqual(
      await digestsBelow(join(serial, 'docker')),
    );
    expect(await leftBelow(root)).toEqual([]);
    await expectSound(root);
    const reads = new Map<string, number>();
    for (const digest of readFileSync(log, 'utf8').trim().split('\n')) {
      reads.set(digest, (reads.get(digest) ?? 0) + 1);
    }
    expect(reads.size).toBe(
      new Set(numbers.flatMap((number) => [...overlapping(number).blobs.keys()])).size,
    );
    expect([...reads].filter(([, count]) => count > 2)).toEqual([]);
  });

  test('D05: put images into one registry directory, each tidying up behind the others', async () => {
    const base = await temporaryDirectory();
    const root = join(base, 'registry');
    await all(
      orders.map((order) => start('directory', root, join(base, 'log'), 'team/app', '', order)),
    );
    await expectSound(root);
    const registry = distributionLayout(root);
    for (const number of numbers) {
      expect(await wholeTag(registry, 'team/app', `v${number}`)).toBe(
        overlapping(number).root.digest,
      );
    }
    expect(existsSync(join(root, '.staging'))).toBe(false);
  });

  test('D05: name images in one OCI layout, and no name is lost', async () => {
    const base = await temporaryDirectory();
    const root = join(base, 'layout');
    const names = [
      [0, 4],
      [1, 5],
      [2, 6],
      [3, 7],
    ];
    await all(names.map((numbers) => start('layout', root, join(base, 'log'), '', '', numbers)));
    const layout = ociLayout(root);
    expect(await Array.fromAsync(layout.tags(''))).toEqual(
      names
        .flat()
        .sort()
        .map((number) => `v${number}`),
    );
    for (const number of names.flat()) {
      expect(await wholeTag(layout, '', `v${number}`)).toBe(overlapping(number).root.digest);
    }
    expect(existsSync(join(root, '.staging'))).toBe(false);
  });
});

test('D01: a process that is killed at any moment leaves a store that verifies, and the next goes on', {
  timeout,
}, async () => {
  const base = await temporaryDirectory();
  const [root, log] = [join(base, 'store'), join(base, 'log')];
  const { next } = random(20260101);
  const images = Array.from({ length: 16 }, (_, number) => overlapping(number));
  const known = new Set<Digest | undefined>(images.map((image) => image.root.digest));
  const store = openStore(root);
  let killed = 0;
  for (let round = 0; round < 8; round++) {
    const numbers = images.map((_, at) => (round * 2 + at) % images.length);
    const child = start('store', root, log, 'team/app', 'latest', numbers);
    await once(child.stdout ?? child, 'data');
    await new Promise((resolve) => setTimeout(resolve, next() * 120));
    child.kill('SIGKILL');
    const [, signal] = await once(child, 'exit');
    killed += signal === 'SIGKILL' ? 1 : 0;
    await expectSound(root);
    const digest = await wholeTag(store.registry, 'team/app', 'latest');
    expect(digest === undefined || known.has(digest)).toBe(true);
  }
  expect(killed).toBe(8);
  await all([start('store', root, log, 'team/app', 'latest', [...images.keys()])]);
  expect(await wholeTag(store.registry, 'team/app', 'latest')).toBe(images.at(-1)?.root.digest);
  expect(await leftBelow(root)).toEqual([]);
});

test('many images at once in one process, each tidying up behind the others', {
  timeout,
}, async () => {
  const base = await temporaryDirectory();
  const root = join(base, 'registry');
  const registry = distributionLayout(root);
  const numbers = Array.from({ length: 8 }, (_, number) => number);
  await Promise.all(
    numbers.map((number) =>
      putSlowly(
        registry,
        `team/${number % 4}`,
        overlapping(number),
        `v${number}`,
        join(base, 'log'),
      ),
    ),
  );
  await expectSound(root);
  for (const number of numbers) {
    const digest = await wholeTag(registry, `team/${number % 4}`, `v${number}`);
    expect(digest).toBe(overlapping(number).root.digest);
  }
  expect(existsSync(join(root, '.staging'))).toBe(false);
});

function start(
  kind: 'store' | 'directory' | 'layout',
  root: string,
  log: string,
  repository: string,
  tag: string,
  numbers: readonly number[],
): ChildProcess {
  const child = spawn(
    process.execPath,
    [
      '--import',
      here('processes/sources.ts'),
      here('processes/put.ts'),
      ...[kind, root, log, repository, tag],
      ...numbers.map(String),
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  onTestFinished(() => void child.kill('SIGKILL'));
  return child;
}

/** Waits for processes to end, and asserts that none had anything to complain of. */
async function all(children: readonly ChildProcess[]): Promise<void> {
  const results = await Promise.all(
    children.map(async (child) => {
      let complaints = '';
      child.stderr?.on('data', (chunk) => {
        complaints += chunk;
      });
      const [code] = await once(child, 'close');
      return { code, complaints };
    }),
  );
  expect(results).toEqual(children.map(() => ({ code: 0, complaints: '' })));
}
