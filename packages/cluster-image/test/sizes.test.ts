import { describe, expect, test } from 'vitest';
import { formatSize } from '../src/sizes.ts';

describe('a size is told in units that people know', () => {
  test.each([
    [0, '0 B'],
    [1, '1 B'],
    [999, '999 B'],
    [1000, '1.00 kB'],
    [9994, '9.99 kB'],
    [9996, '10.0 kB'],
    [99_940, '99.9 kB'],
    [99_960, '100 kB'],
    [999_499, '999 kB'],
    [999_500, '1.00 MB'],
    [1_500_000_000, '1.50 GB'],
    [1e12, '1.00 TB'],
    [5e15, '5000 TB'],
  ])('%i is %s', (bytes, text) => {
    expect(formatSize(bytes)).toBe(text);
  });
});
