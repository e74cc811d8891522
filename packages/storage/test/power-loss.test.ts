import { expect, test } from 'vitest';
import { type Deed, deeds, root } from './deeds.ts';
import { faulty } from './faulty.ts';
import { random } from './random.ts';
import { type SimulatedDisk, simulatedDisk } from './simulated-disk.ts';
import { bury, expectSound } from './wreck.ts';

/** There are hundreds of moments to lose power at, in milliseconds. */
const timeout = 60_000;

test.each(Object.entries(deeds))(
  'D02: %s: a loss of power at any call leaves the old or the new, and what was finished lasts',
  {
    timeout,
  },
  async (_, deed) => {
    for await (const { disk, at } of moments(deed)) {
      // Of the names that were not synced none may last, or all, or some.
      const lost = [() => false, () => true, random(at).chance].map(disk.afterPowerLoss);
      for (const left of lost) {
        await expectSound(root, left.fs, { mayDangle: true });
        await deed.check(left.fs);
      }
      const one = lost[at % lost.length];
      if (one) await finish(deed, one);
      // What a process that died had not synced, the next one may rely on only if it sees to it.
      await finish(deed, disk);
      expect(await deed.check(disk.afterPowerLoss(() => false).fs)).toBe('after');
    }
  },
);

async function finish(deed: Deed, { fs }: SimulatedDisk): Promise<void> {
  await bury(root, fs);
  await deed.run(fs);
  expect(await deed.check(fs)).toBe('after');
}

/** The disk as it is before every call of a deed, and at its end. */
async function* moments(deed: Deed): AsyncIterable<{ disk: SimulatedDisk; at: number }> {
  const template = simulatedDisk();
  await deed.prepare(template.fs);
  for (let at = 1; ; at++) {
    const disk = template.copy();
    const broken = faulty('death', at, disk.fs);
    await deed.run(broken.fs).catch(() => {});
    yield { disk, at };
    if (broken.hit() === undefined) return;
  }
}
