import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { lingering } from '../src/lingering.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function counted() {
  const calls: string[] = [];
  let fails = false;
  const begin = async () => {
    calls.push('begin');
    if (fails) throw new Error('no');
    return { end: async () => void calls.push('end') };
  };
  const fail = (now: boolean): void => {
    fails = now;
  };
  return { calls, begin, fail };
}

describe('a use that lingers', () => {
  test('is one for all who need it, and ends a while after the last', async () => {
    const { calls, begin } = counted();
    const using = lingering(begin, 100);
    await Promise.all([using.renew(), using.renew()]);
    await vi.advanceTimersByTimeAsync(90);
    await using.renew();
    await vi.advanceTimersByTimeAsync(90);
    expect(calls).toEqual(['begin']);
    await vi.advanceTimersByTimeAsync(10);
    expect(calls).toEqual(['begin', 'end']);
    await using.renew();
    await using.end();
    await using.end();
    await vi.advanceTimersByTimeAsync(200);
    expect(calls).toEqual(['begin', 'end', 'begin', 'end']);
  });

  test('that cannot begin is begun again by the next', async () => {
    const { calls, begin, fail } = counted();
    const using = lingering(begin, 100);
    fail(true);
    await expect(using.renew()).rejects.toThrow('no');
    fail(false);
    await using.renew();
    expect(calls).toEqual(['begin', 'begin']);
  });
});
