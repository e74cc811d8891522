import { codeOf } from '@cluster-image/oci';
import { describe, expect, test } from 'vitest';
import { type Deed, deeds, largeDeed, root } from './deeds.ts';
import { Death, type Fault, faulty } from './faulty.ts';
import { type SimulatedDisk, simulatedDisk } from './simulated-disk.ts';
import { bury, expectSound, leftBelow } from './wreck.ts';

/** There are hundreds of calls to fail, in milliseconds. */
const timeout = 60_000;

const errors: readonly Fault[] = ['ENOSPC', 'EDQUOT', 'EIO', 'EROFS', 'EMFILE', 'EACCES'];

/** The calls that may fail in silence, because nothing depends on them but tidiness, and the time the next run takes. */
const housekeeping: readonly string[] = ['opendir', 'readlink', 'rmdir', 'utimes'];

test.each(Object.entries({ ...deeds, 'an image, put into a store': largeDeed }))(
  'D01: %s: a process that dies at any call leaves the old or the new, and the next one finishes',
  {
    timeout,
  },
  async (_, deed) => {
    await everyPoint(
      deed,
      () => 'death',
      async ({ failure }) => {
        expect(failure === undefined || failure instanceof Death).toBe(true);
      },
    );
  },
);

describe.each(Object.entries(deeds))('%s', (_, deed) => {
  test('D03: a call that fails is an error that says where, and leaves the old or the new', {
    timeout,
  }, async () => {
    const turns = (at: number): Fault => errors[at % errors.length] ?? 'EIO';
    const points = await everyPoint(deed, turns, async ({ failure, hit, fault, disk }) => {
      if (failure === undefined) return hit;
      const isFull = fault === 'ENOSPC' || fault === 'EDQUOT';
      expect(`${hit}: ${codeOf(failure)}`).toBe(`${hit}: ${isFull ? 'NO_SPACE' : 'FILE_SYSTEM'}`);
      expect(String(failure)).toContain(root);
      if (isFull) expect(String(failure)).toMatch(/\(\d+ bytes free\)$/);
      // What was staged is gone, unless removing it is what failed.
      const left = await leftBelow(root, disk.fs);
      expect({ hit, left }).toEqual({ hit, left: hit === 'rm' ? left : [] });
      return undefined;
    });
    const silent = points.filter((hit) => hit !== undefined);
    expect(silent.filter((hit) => !housekeeping.includes(hit))).toEqual([]);
  });

  // A removal writes nothing.
  if (deed.isRemoval) return;

  test('a write of a part is followed by one of the rest', { timeout }, async () => {
    await everyPoint(
      deed,
      () => 'short',
      async ({ failure, disk }) => {
        expect(failure).toBeUndefined();
        expect(await deed.check(disk.fs)).toBe('after');
      },
    );
  });
});

interface Point {
  readonly disk: SimulatedDisk;
  readonly hit: string;
  readonly fault: Fault;
  readonly failure: unknown;
}

/** Runs a deed again and again, with a fault one call later each time, until none happens. */
async function everyPoint<T>(
  deed: Deed,
  faultAt: (at: number) => Fault,
  look: (point: Point) => Promise<T>,
): Promise<readonly T[]> {
  const template = simulatedDisk();
  await deed.prepare(template.fs);
  const seen: T[] = [];
  for (let at = 1; ; at++) {
    const disk = template.copy();
    const fault = faultAt(at);
    const broken = faulty(fault, at, disk.fs);
    const failure = await deed.run(broken.fs).then(
      () => undefined,
      (error: unknown) => error,
    );
    const hit = broken.hit();
    if (hit === undefined) {
      if (failure !== undefined) throw failure;
      expect(seen.length).toBeGreaterThan(0);
      return seen;
    }
    seen.push(await look({ disk, hit, fault, failure }));
    await expectSound(root, disk.fs);
    const moment = await deed.check(disk.fs);
    if (failure === undefined) expect(moment).toBe('after');
    await bury(root, disk.fs);
    await deed.run(disk.fs);
    expect(await deed.check(disk.fs)).toBe('after');
    expect({ hit, left: await leftBelow(root, disk.fs) }).toEqual({ hit, left: [] });
  }
}
