import { mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createContext, type Event } from '@cluster-image/oci';
import { nodeFileSystem } from '@cluster-image/storage';
import { temporaryDirectory } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { disk } from '../src/disk.ts';
import type { FileSystem } from '../src/file-system.ts';
import { formatMark, ownMark } from '../src/process-mark.ts';
import { type Uses, uses } from '../src/uses.ts';
import { aged } from './aged.ts';

const quick = { lookEvery: 2, patience: 100, renewEvery: 60_000, abandoned: 600_000 };
const gone = formatMark({ ...ownMark, started: '1' });
const elsewhere = formatMark({ host: 'elsewhere', pid: 7, started: '1' });

interface Place {
  readonly root: string;
  readonly uses: Uses;
  marks(): readonly string[];
}

async function place(fs?: FileSystem, times = quick): Promise<Place> {
  const root = await temporaryDirectory();
  const at = join(root, '.uses');
  const marks = (): readonly string[] =>
    readdirSync(root).includes('.uses') ? readdirSync(at) : [];
  return { root, uses: uses(disk(root, fs), times), marks };
}

/** Puts up the mark of another process. */
function mark({ root }: Place, kind: string, whose: string): string {
  mkdirSync(join(root, '.uses'), { recursive: true });
  const path = join(root, '.uses', `${kind}~${whose}~x`);
  writeFileSync(path, '');
  return path;
}

const soon = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 40));

test('a use says whose it is, and leaves nothing behind', async () => {
  const here = await place();
  const use = await here.uses.begin(createContext());
  expect(here.marks()).toEqual([expect.stringMatching(`^use~${formatMark(ownMark)}~`)]);
  await use.end();
  expect(readdirSync(here.root)).toEqual([]);
});

test('any number may use a store at once', async () => {
  const here = await place();
  const all = await Promise.all([1, 2, 3].map(() => here.uses.begin(createContext())));
  expect(here.marks()).toHaveLength(3);
  for (const use of all) await use.end();
});

test('who uses waits for who prunes, and who prunes for all who use', async () => {
  const here = await place(undefined, { ...quick, patience: 60_000 });
  const order: string[] = [];
  const first = await here.uses.begin(createContext());
  const alone = here.uses.alone(createContext()).then((use) => {
    order.push('alone');
    return use;
  });
  await soon();
  // It gives way to those who come meanwhile.
  const second = await here.uses.begin(createContext());
  await first.end();
  await soon();
  expect(order).toEqual([]);
  await second.end();
  const prune = await alone;
  const third = here.uses.begin(createContext()).then((use) => {
    order.push('third');
    return use;
  });
  await soon();
  expect(order).toEqual(['alone']);
  await prune.end();
  await (await third).end();
  expect(order).toEqual(['alone', 'third']);
  expect(here.marks()).toEqual([]);
});

test('of many who prune at once each does so alone', async () => {
  const here = await place(undefined, { ...quick, patience: 60_000 });
  let running = 0;
  let most = 0;
  const jobs = [1, 2, 3, 4].map(async () => {
    const use = await here.uses.alone(createContext());
    running += 1;
    most = Math.max(most, running);
    await new Promise((resolve) => setTimeout(resolve, 5));
    running -= 1;
    await use.end();
  });
  await Promise.all(jobs);
  expect([most, here.marks()]).toEqual([1, []]);
});

test('where others stay at it, that is CONFLICT and says who they are', async () => {
  const here = await place();
  const use = await here.uses.begin(createContext());
  mark(here, 'use', elsewhere);
  const started = performance.now();
  await expect(here.uses.alone(createContext())).rejects.toMatchObject({
    code: 'CONFLICT',
    message: expect.stringMatching(`process (${process.pid}|7 elsewhere), process`),
    hint: expect.stringContaining('Prune when they have ended'),
  });
  expect(performance.now() - started).toBeGreaterThan(quick.patience);
  expect(here.marks()).toHaveLength(2);
  await use.end();
});

test('one that waits for long says so, once', async () => {
  const here = await place();
  const path = mark(here, 'prune', elsewhere);
  const events: Event[] = [];
  const begun = here.uses.begin(createContext({ report: (event) => void events.push(event) }));
  await expect.poll(() => events.length).toBeGreaterThan(0);
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(events).toEqual([{ type: 'warning', message: `waiting: ${here.root} is being pruned` }]);
  rmSync(path);
  await (await begun).end();
});

describe('X04: one that is interrupted while it waits', () => {
  test.each(['begin', 'alone'] as const)('leaves no mark: %s', async (deed) => {
    const here = await place(undefined, { ...quick, patience: 60_000 });
    mark(here, 'prune', elsewhere);
    const controller = new AbortController();
    const waiting = here.uses[deed](createContext({ signal: controller.signal }));
    setTimeout(() => controller.abort(), 20);
    await expect(waiting).rejects.toMatchObject({ code: 'ABORTED' });
    expect(here.marks()).toHaveLength(1);
  });
});

describe('D06: a mark', () => {
  test('of a process that is gone does not count, and is swept away', async () => {
    const here = await place();
    mark(here, 'use', gone);
    await (await here.uses.alone(createContext())).end();
    mark(here, 'prune', gone);
    await (await here.uses.begin(createContext())).end();
    expect(here.marks()).toEqual([]);
  });

  test('from elsewhere counts as long as it is renewed', async () => {
    let age = quick.abandoned - 1000;
    const old = aged((path) => (path.includes('elsewhere') ? age : 0));
    const here = await place(old);
    mark(here, 'use', elsewhere);
    await expect(here.uses.alone(createContext())).rejects.toMatchObject({ code: 'CONFLICT' });
    age = quick.abandoned + 1000;
    await (await here.uses.alone(createContext())).end();
    expect(here.marks()).toEqual([]);
  });

  test('from elsewhere is judged by the clock of the disk', async () => {
    const here = await place(aged(() => 10 * quick.abandoned));
    mark(here, 'use', elsewhere);
    await expect(here.uses.alone(createContext())).rejects.toMatchObject({ code: 'CONFLICT' });
  });

  test('is renewed', async () => {
    const here = await place(undefined, { ...quick, renewEvery: 10 });
    const use = await here.uses.begin(createContext());
    const [name = ''] = here.marks();
    const changed = (): number => statSync(join(here.root, '.uses', name)).ctimeMs;
    const before = changed();
    while (changed() === before) await soon();
    await use.end();
    await soon();
    expect(here.marks()).toEqual([]);
  });

  test('is none where a name says something else', async () => {
    const here = await place();
    for (const kind of ['other', '.DS_Store']) mark(here, kind, elsewhere);
    await (await here.uses.alone(createContext())).end();
    expect(here.marks()).toHaveLength(2);
  });
});

describe('in a store that cannot be written', () => {
  const refusing = (code: string): FileSystem => ({
    ...nodeFileSystem,
    open: () => Promise.reject(Object.assign(new Error(code), { code })),
  });

  test.each(['EACCES', 'EROFS', 'EPERM'])('one uses what is there, unmarked: %s', async (code) => {
    const here = await place(refusing(code));
    await (await here.uses.begin(createContext())).end();
    await expect(here.uses.alone(createContext())).rejects.toMatchObject({ code: 'FILE_SYSTEM' });
    expect(here.marks()).toEqual([]);
  });

  test('every other failure is one', async () => {
    const here = await place(refusing('ENOSPC'));
    await expect(here.uses.begin(createContext())).rejects.toMatchObject({ code: 'NO_SPACE' });
  });
});
