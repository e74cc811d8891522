import { describe, expect, test } from 'vitest';
import { fits, isRange, isSameVersion, newest } from '../../src/charts/versions.ts';

const versions = [
  '1.9.0',
  '1.10.1',
  'v1.10.0',
  '1.16.3',
  '2.0.0',
  '2.1.0-rc.1',
  '2.0.0+b2',
  'x',
  '',
];

describe('the newest version', () => {
  test.each([
    [undefined, '2.0.0+b2'],
    ['*', '2.0.0+b2'],
    ['^1', '1.16.3'],
    ['1.16.x', '1.16.3'],
    ['~1.10', '1.10.1'],
    ['>=1.9, <1.16', '1.10.1'],
    ['>=1.9 <1.16', '1.10.1'],
    ['1.9 || 1.10', '1.10.1'],
    ['1.0 - 1.9', '1.9.0'],
    ['1.9.0', '1.9.0'],
    ['v1.9.0', '1.9.0'],
    ['1.10.0', 'v1.10.0'],
    ['2.0.0', '2.0.0'],
    ['2.0.0+b2', '2.0.0+b2'],
    ['>0.0.0-0', '2.1.0-rc.1'],
    ['^2.1.0-rc', '2.1.0-rc.1'],
    ['^2.1', undefined],
    ['3', undefined],
    ['!=2', undefined],
  ])('that fits %j is %j', (wanted, expected) => {
    expect(newest(versions, wanted)).toBe(expected);
  });

  test('does not depend on the order', () => {
    expect(newest(versions.toReversed())).toBe('2.0.0+b2');
    expect(newest(['1.10.0', '1.9.0'])).toBe('1.10.0');
  });
});

test.each([
  ['^1.2', true],
  ['1.2.3-rc.1', true],
  ['', true],
  ['latest', false],
  ['1.2.3.4', false],
  ['$(id)', false],
])('%j is a version or range: %s', (text, expected) => {
  expect(isRange(text)).toBe(expected);
});

test.each([
  ['1.0.0', 'v1.0.0', true],
  ['1.0.0+a', '1.0.0+a', true],
  ['1.0.0+a', '1.0.0+b', false],
  ['1.0.0', '1.0.1', false],
  ['x', 'x', true],
  ['x', 'y', false],
])('%j and %j are the same version: %s', (one, other, expected) => {
  expect(isSameVersion(one, other)).toBe(expected);
});

test('a version that is written out fits itself only', () => {
  expect([fits('1.0.0', '1.0.0'), fits('1.0.1', '1.0.0'), fits('1.0.0-rc', '1.0.0')]).toEqual([
    true,
    false,
    false,
  ]);
});
