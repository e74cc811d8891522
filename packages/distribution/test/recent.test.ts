import { expect, test } from 'vitest';
import { recent } from '../src/recent.ts';

test('what was set longest ago is forgotten once there are too many', () => {
  const map = recent<number>(2);
  for (const [key, value] of [
    ['a', 1],
    ['b', 2],
    ['a', 3],
    ['c', 4],
  ] as const)
    map.set(key, value);
  expect([map.get('a'), map.get('b'), map.get('c')]).toEqual([3, undefined, 4]);
  map.delete('a');
  map.delete('none');
  map.set('d', 5);
  expect([...map.values()]).toEqual([4, 5]);
});

test('values may weigh differently, and one that is too heavy is not kept', () => {
  const map = recent<string>(5, ({ length }) => length);
  map.set('a', 'xx');
  map.set('b', 'xxx');
  expect([...map.values()]).toEqual(['xx', 'xxx']);
  map.set('a', 'xxx');
  expect([...map.values()]).toEqual(['xxx']);
  map.set('c', 'xxxxxx');
  expect([...map.values()]).toEqual([]);
  map.set('d', 'xxxxx');
  expect([...map.values()]).toEqual(['xxxxx']);
});
