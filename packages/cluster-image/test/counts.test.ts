import { expect, test } from 'vitest';
import { formatCount } from '../src/counts.ts';

test('one is one, and anything else is many', () => {
  expect([0, 1, 2].map((count) => formatCount(count, 'layer'))).toEqual([
    '0 layers',
    '1 layer',
    '2 layers',
  ]);
  expect([1, 2].map((count) => formatCount(count, 'image is', 'images are'))).toEqual([
    '1 image is',
    '2 images are',
  ]);
});
