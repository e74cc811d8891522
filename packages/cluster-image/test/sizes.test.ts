import { describe, expect, test } from 'vitest';
import { formatSize, parseSize } from '../src/sizes.ts';

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

describe('a size that people write', () => {
  test.each([
    ['0', 0],
    ['1000', 1000],
    ['12 B', 12],
    ['500MB', 500e6],
    ['500 mb', 500e6],
    ['1.5GB', 1.5e9],
    ['50G', 50e9],
    ['2kB', 2000],
    ['3 TB', 3e12],
    ['20GiB', 20 * 2 ** 30],
    ['1Ki', 1024],
    ['2MiB', 2 * 2 ** 20],
    ['1TiB', 2 ** 40],
  ])('%s', (text, bytes) => {
    expect(parseSize(text)).toBe(bytes);
  });

  test.each(['', 'GB', '-1', '1,5GB', '1e9', '5 PB', '1 G B', '٣', 'NaN', 'Infinity'])(
    'is not %j',
    (text) => {
      expect(() => parseSize(text)).toThrow(expect.objectContaining({ code: 'USAGE' }));
    },
  );
});
