import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Digest } from '@cluster-image/oci';
import { distributionLayout, ociLayout, openStore } from '@cluster-image/storage';
import { temporaryDirectory } from '@cluster-image/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { overlapping, putSlowly } from './processes/images.ts';
import type { Task } from './processes/task.ts';
import { random } from './random.ts';
import { unsynced } from './unsynced.ts';
import { digestsBelow, expectSound, leftBelow, wholeTag } from './wreck.ts';

/** Processes start slowly where there are many, in milliseconds. */
const timeout = 60_000;

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

describe('four processes at once', () => {
  const base = mkdtempSync(join(tmpdir(), 'cluster-image-'));
  const [store, registry, layout, log] = ['store', 'registry', 'layout', 'log'].map((name) =>
    join(base, name),
  );
  if (!store || !registry || !layout || !log) throw new Error('no paths');
  const numbers = [0, 1, 2];
  const turns = [0, 1, 2, 3];
  const named = (turn: number): number[] => [turn, turn + 4];

  beforeAll(async () => {
    const children = turns.map((turn) => {
      const order = [...numbers.slice(turn % 3), ...numbers.slice(0, turn % 3)];
      return start(
        log,
        { kind: 'store', root: store, repository: 'team/app', numbers: order },
        { kind: 'directory', root: registry, repository: 'team/app', numbers: order },
        { kind: 'layout', root: layout, repository: '', numbers: named(turn) },
      );
    });
    await Promise.all(children.map(ready));
    await all(children);
  }, timeout);

  afterAll(() => rmSync(base, { recursive: true }));

  test('D05: put the same images into one store, as one would have done alone', async () => {
    const alone = join(base, 'alone');
    const one = openStore(alone, unsynced).registry;
    for (const number of numbers) {
      await putSlowly(one, 'team/app', overlapping(number), `v${number}`, join(base, 'other log'));
    }
    expect(await digestsBelow(join(store, 'docker'))).toEqual(
      await digestsBelow(join(alone, 'docker')),
    );
    expect(await leftBelow(store)).toEqual([]);
    await expectSound(store);
  });

  test('P5: read no blob more than twice', () => {
    const reads = new Map<string, number>();
    for (const line of readFileSync(log, 'utf8').split('\n')) {
      if (line.startsWith(store)) reads.set(line, (reads.get(line) ?? 0) + 1);
    }
    const blobs = new Set(numbers.flatMap((number) => [...overlapping(number).blobs.keys()]));
    expect(reads.size).toBe(blobs.size);
    expect([...reads].filter(([, count]) => count > 2)).toEqual([]);
  });

  test('D05: put images into one registry directory, each tidying up behind the others', async () => {
    await expectSound(registry);
    for (const number of numbers) {
      const digest = await wholeTag(distributionLayout(registry), 'team/app', `v${number}`);
      expect(digest).toBe(overlapping(number).root.digest);
    }
    expect(existsSync(join(registry, '.staging'))).toBe(false);
  });

  test('D05: name images in one OCI layout, and no name is lost', async () => {
    const all = turns.flatMap(named).sort();
    const reader = ociLayout(layout);
    expect(await Array.fromAsync(reader.tags(''))).toEqual(all.map((number) => `v${number}`));
    for (const number of all) {
      expect(await wholeTag(reader, '', `v${number}`)).toBe(overlapping(number).root.digest);
    }
    expect(existsSync(join(layout, '.staging'))).toBe(false);
  });
});

test('D01: a process that is killed at any moment leaves a store that verifies, and the next goes on', {
  timeout,
}, async () => {
  const base = await temporaryDirectory();
  const [root, log] = [join(base, 'store'), join(base, 'log')];
  const { next } = random(20260101);
  const images = Array.from({ length: 8 }, (_, number) => overlapping(number));
  const known = new Set<Digest | undefined>(images.map((image) => image.root.digest));
  const store = openStore(root);
  const putting = (numbers: readonly number[]): ChildProcess =>
    start(log, { kind: 'store', root, repository: 'team/app', tag: 'latest', numbers });
  let killed = 0;
  for (let round = 0; round < 4; round++) {
    const child = putting(images.map((_, at) => (round * 2 + at) % images.length));
    await ready(child);
    child.stdin?.write('go\n');
    await new Promise((resolve) => setTimeout(resolve, next() * 120));
    child.kill('SIGKILL');
    const [, signal] = await once(child, 'exit');
    killed += signal === 'SIGKILL' ? 1 : 0;
    await expectSound(root);
    const digest = await wholeTag(store.registry, 'team/app', 'latest');
    expect(digest === undefined || known.has(digest)).toBe(true);
  }
  expect(killed).toBeGreaterThan(0);
  await all([putting([...images.keys()])]);
  expect(await wholeTag(store.registry, 'team/app', 'latest')).toBe(images.at(-1)?.root.digest);
  expect(await leftBelow(root)).toEqual([]);
});

test('many images at once in one process, each tidying up behind the others', {
  timeout,
}, async () => {
  const base = await temporaryDirectory();
  const root = join(base, 'registry');
  const registry = distributionLayout(root, { fs: unsynced });
  const numbers = Array.from({ length: 6 }, (_, number) => number);
  await Promise.all(
    numbers.map((number) =>
      putSlowly(
        registry,
        `team/${number % 3}`,
        overlapping(number),
        `v${number}`,
        join(base, 'log'),
      ),
    ),
  );
  await expectSound(root);
  for (const number of numbers) {
    const digest = await wholeTag(registry, `team/${number % 3}`, `v${number}`);
    expect(digest).toBe(overlapping(number).root.digest);
  }
  expect(existsSync(join(root, '.staging'))).toBe(false);
});

const started: ChildProcess[] = [];
afterAll(() => {
  for (const child of started) child.kill('SIGKILL');
});

function start(log: string, ...tasks: readonly Task[]): ChildProcess {
  const child = spawn(
    process.execPath,
    [
      '--import',
      here('processes/sources.ts'),
      here('processes/put.ts'),
      log,
      ...tasks.map((task) => JSON.stringify(task)),
    ],
    { stdio: ['pipe', 'pipe', 'pipe'] },
  );
  started.push(child);
  return child;
}

/** Waits until a process can begin at a word. */
async function ready(child: ChildProcess): Promise<void> {
  await once(child.stdout ?? child, 'data');
}

/** Lets processes begin and waits for them to end, and asserts that none had anything to complain of. */
async function all(children: readonly ChildProcess[]): Promise<void> {
  const results = await Promise.all(
    children.map(async (child) => {
      let complaints = '';
      child.stderr?.on('data', (chunk) => {
        complaints += chunk;
      });
      child.stdin?.end('go\n');
      const [code] = await once(child, 'close');
      return { code, complaints };
    }),
  );
  expect(results).toEqual(children.map(() => ({ code: 0, complaints: '' })));
}
