import { describe, expect, test } from 'vitest';
import { parseDuration } from '../src/durations.ts';

describe('a duration', () => {
  test.each([
    ['0', 0],
    ['30s', 30_000],
    ['30m', 1_800_000],
    ['24h', 86_400_000],
    ['1.5 h', 5_400_000],
    ['7d', 604_800_000],
    ['1w', 604_800_000],
  ])('%s', (text, milliseconds) => {
    expect(parseDuration(text)).toBe(milliseconds);
  });

  test.each(['', '5', '00', 'h', '-1h', '1 month', '1M', '1h30m', 'NaNd'])('is not %j', (text) => {
    expect(() => parseDuration(text)).toThrow(expect.objectContaining({ code: 'USAGE' }));
  });
});
