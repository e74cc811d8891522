import { existsSync, mkdirSync, readlinkSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { nodeFileSystem } from '@cluster-image/storage';
import { temporaryDirectory } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { type Disk, disk } from '../src/disk.ts';
import type { FileSystem } from '../src/file-system.ts';
import { formatMark, ownMark } from '../src/process-mark.ts';
import { sweepTurn, takeTurn, type Work } from '../src/turn.ts';

const quick = { lookEvery: 5, patience: 60 };
const lasting = { ...quick, patience: 60_000 };
const idle: Work = { isDone: async () => false, progress: async () => 0 };
const live = { ...ownMark, host: 'elsewhere' };

async function place(fs?: FileSystem): Promise<{ disk: Disk; path: string; at: string }> {
  const root = await temporaryDirectory();
  const opened = disk(root, fs);
  const path = opened.path('.staging', 'work');
  return { disk: opened, path, at: `${path}.turn` };
}

function hold(at: string, mark: string): void {
  mkdirSync(join(at, '..'), { recursive: true });
  symlinkSync(mark, at);
}

test('a turn says who has it, and is gone when it ends', async () => {
  const { disk, path, at } = await place();
  const turn = await takeTurn(disk, path, idle);
  expect(readlinkSync(at)).toBe(formatMark(ownMark));
  await turn?.end();
  expect(existsSync(at)).toBe(false);
  expect(await disk.names(disk.path('.staging'))).toEqual([]);
});

test('one waits until the other ends', async () => {
  const { disk, path } = await place();
  const order: string[] = [];
  const first = await takeTurn(disk, path, idle, lasting);
  const second = takeTurn(disk, path, idle, lasting).then(async (turn) => {
    order.push('second begins');
    await turn?.end();
  });
  await new Promise((resolve) => setTimeout(resolve, 50));
  order.push('first ends');
  await first?.end();
  await second;
  expect(order).toEqual(['first ends', 'second begins']);
});

test('one that waits has no turn once the work is done', async () => {
  const { disk, path, at } = await place();
  hold(at, formatMark(live));
  let looks = 0;
  const turn = await takeTurn(disk, path, { ...idle, isDone: async () => ++looks > 3 }, lasting);
  expect(turn).toBeUndefined();
  expect(readlinkSync(at)).toBe(formatMark(live));
});

describe('a turn is taken over', () => {
  test('D06: at once from a process that is gone', async () => {
    const { disk, path, at } = await place();
    hold(at, formatMark({ ...ownMark, started: '1' }));
    const turn = await takeTurn(disk, path, idle, { lookEvery: 60_000, patience: 60_000 });
    expect(readlinkSync(at)).toBe(formatMark(ownMark));
    await turn?.end();
  });

  test('D06: after a time without progress from one that may be there', async () => {
    const { disk, path, at } = await place();
    hold(at, formatMark(live));
    const started = performance.now();
    const turn = await takeTurn(disk, path, idle, quick);
    expect(performance.now() - started).toBeGreaterThan(quick.patience);
    expect(readlinkSync(at)).toBe(formatMark(ownMark));
    await turn?.end();
  });

  test('but not while there is progress', async () => {
    const { disk, path, at } = await place();
    hold(at, formatMark(live));
    let looks = 0;
    const working: Work = { isDone: async () => looks > 40, progress: async () => looks++ };
    expect(await takeTurn(disk, path, working, quick)).toBeUndefined();
    expect(looks).toBeGreaterThan(40);
  });
});

test('who comes late to the end of its turn leaves the next one alone', async () => {
  const { disk, path, at } = await place();
  const turn = await takeTurn(disk, path, idle);
  await nodeFileSystem.rm(at, { force: true });
  hold(at, formatMark(live));
  await turn?.end();
  expect(readlinkSync(at)).toBe(formatMark(live));
});

test.each(['EPERM', 'ENOSYS'])('where links answer %s everyone has a turn', async (code) => {
  const { disk, path } = await place({
    ...nodeFileSystem,
    symlink: () => Promise.reject(Object.assign(new Error(code), { code })),
  });
  const turns = [await takeTurn(disk, path, idle), await takeTurn(disk, path, idle)];
  for (const turn of turns) await turn?.end();
  expect(turns).not.toContain(undefined);
});

test('of what lies about only the turns of the gone are swept away', async () => {
  const root = await temporaryDirectory();
  const gone = formatMark({ ...ownMark, started: '1' });
  const cases = [
    ['gone.turn', gone, false],
    ['live.turn', formatMark(live), true],
    ['own.turn', formatMark(ownMark), true],
    ['strange.turn', 'somewhere/else', true],
    ['gone', gone, true],
  ] as const;
  for (const [name, target, stays] of cases) {
    const path = join(root, name);
    symlinkSync(target, path);
    await sweepTurn(nodeFileSystem, path);
    const isThere = (await disk(root).names(root)).includes(name);
    expect(`${name} ${isThere}`).toBe(`${name} ${stays}`);
  }
});
