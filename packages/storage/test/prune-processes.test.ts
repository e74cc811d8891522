import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { createContext } from '@cluster-image/oci';
import { layoutPaths, openStore, type Store, verifyLayout } from '@cluster-image/storage';
import { putFixture, temporaryDirectory } from '@cluster-image/testing';
import { afterAll, expect, test } from 'vitest';
import { overlapping } from './processes/images.ts';
import { random } from './random.ts';
import { unsynced } from './unsynced.ts';
import { expectSound, wholeTag } from './wreck.ts';

/** Processes start slowly where there are many, in milliseconds. */
const timeout = 120_000;

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

const numbers = Array.from({ length: 16 }, (_, at) => at + 1);
const parts = [
  ...new Set(
    [0, ...numbers].map(overlapping).flatMap(({ root, blobs }) => [root.digest, ...blobs.keys()]),
  ),
];

const started: ChildProcess[] = [];
afterAll(() => {
  for (const child of started) child.kill('SIGKILL');
});

function start(program: string, ...given: readonly string[]): ChildProcess {
  const child = spawn(
    process.execPath,
    ['--import', here('processes/sources.ts'), here(`processes/${program}.ts`), ...given],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  started.push(child);
  return child;
}

async function ended(child: ChildProcess): Promise<unknown> {
  let complaints = '';
  child.stderr?.on('data', (chunk) => {
    complaints += chunk;
  });
  const [code] = await once(child, 'close');
  return { code, complaints };
}

async function kill(child: ChildProcess): Promise<void> {
  expect(child.exitCode).toBeNull();
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  expect(await exit).toEqual([null, 'SIGKILL']);
}

/** A store with an image that has a name, and others that share layers with it and have none. */
async function stocked(unnamed: readonly number[]): Promise<Store> {
  const store = openStore(join(await temporaryDirectory(), 'store'), unsynced);
  await putFixture(store.registry, 'team/named', overlapping(0), '1');
  for (const number of unnamed) {
    await putFixture(store.registry, `team/unnamed${number}`, overlapping(number));
  }
  return store;
}

async function expectWhole({ root }: Store): Promise<void> {
  const { registry } = openStore(root);
  await expectSound(root);
  expect((await verifyLayout(registry, { sparse: true })).problems).toEqual([]);
  expect(await wholeTag(registry, 'team/named', '1')).toBe(overlapping(0).root.digest);
}

test('D05: processes that use a store lose nothing to one that prunes it all the time', {
  timeout,
}, async () => {
  const store = await stocked([]);
  const rounds = 12;
  const users = ['a', 'b', 'c'].map((name) => start('user', store.root, name, `${rounds}`));
  const pruner = start('pruner', store.root);
  const results = await Promise.all(users.map(ended));
  expect(results).toEqual(users.map(() => ({ code: 0, complaints: '' })));
  await kill(pruner);
  const log = readFileSync(`${store.root}.log`, 'utf8').split('\n');
  expect(log.filter((line) => /^[abc] /.test(line))).toHaveLength(3 * rounds);
  await expectWhole(store);
  const meanwhile = log.filter((line) => /^pruned [1-9]/.test(line)).length;
  // Whether it had a turn while they were at work is chance; then it has all of it to do now.
  const { blobs } = await openStore(store.root).prune({ grace: 0 }, createContext());
  expect(meanwhile + blobs).toBeGreaterThan(0);
  expect(await Array.fromAsync(store.registry.repositories())).toEqual(['team/named']);
  expect(existsSync(join(store.root, '.uses'))).toBe(false);
});

test('P1: a process that is killed while it prunes leaves a store that verifies, and the next one goes on', {
  timeout,
}, async () => {
  const { next } = random(20260301);
  const store = await stocked(numbers);
  let partly = 0;
  // Whether one is killed in the middle of it is chance; more are, until one was.
  for (let round = 0; round < 6 || (partly === 0 && round < 60); round++) {
    const blobs = countBlobs(store);
    const pruner = start('pruner', store.root);
    await once(pruner.stdout ?? pruner, 'data');
    // At any moment, or while it is at a certain step.
    if (round % 6 < 3) await pause(next() * 60);
    else while (countBlobs(store) > blobs - (round % 6) * 3) await pause(1);
    await kill(pruner);
    await expectWhole(store);
    const left = countBlobs(store);
    if (left < blobs && left > overlapping(0).blobs.size + 1) partly += 1;
    for (const number of numbers) {
      await putFixture(store.registry, `team/unnamed${number}`, overlapping(number));
    }
  }
  expect(partly).toBeGreaterThan(0);
  await openStore(store.root).prune({ grace: 0 }, createContext());
  expect(await Array.fromAsync(store.registry.repositories())).toEqual(['team/named']);
  expect(existsSync(join(store.root, '.uses'))).toBe(false);
  await expectWhole(store);
});

/** How many of the blobs of all images a store has. */
function countBlobs({ root }: Store): number {
  return parts.filter((digest) => existsSync(join(root, layoutPaths.blob(digest)))).length;
}
