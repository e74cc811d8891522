import { describe, expect, test } from 'vitest';
import type { SetValue } from '../../src/discover/chart-renderings.ts';
import { withSetValues } from '../../src/discover/given-values.ts';
import {
  noValues,
  readValues,
  scalarsIn,
  type ValueMap,
  valuesOver,
} from '../../src/discover/values.ts';

const read = (text: string, file = 'values.yaml'): ValueMap =>
  readValues(text, (line) => ({ file, line }));

/** `path=text`, in order. */
function flat(values: ValueMap): readonly string[] {
  return scalarsIn(values).map(({ path, scalar }) => `${path.join('.')}=${scalar.text}`);
}

describe('values of a file', () => {
  test('have the place and the key that they are written at', () => {
    const values = read('image:\n  tag: 1.10 # the tag\nlist:\n  - {name: a}\n  - b\n');
    expect(
      scalarsIn(values).map(({ path, scalar: { text, key, origin, line } }) => [
        path.join('/'),
        text,
        key,
        origin,
        line,
      ]),
    ).toEqual([
      ['image/tag', '1.10', 'image.tag', { file: 'values.yaml', line: 2 }, 2],
      ['list/0/name', 'a', 'list[0].name', { file: 'values.yaml', line: 4 }, 4],
      ['list/1', 'b', 'list[1]', { file: 'values.yaml', line: 5 }, 5],
    ]);
  });

  test('may have aliases and merge keys, of which their own keys win', () => {
    const text = 'base: &base {tag: 1, name: a}\none: {<<: *base, tag: 2}\ntwo: *base\n';
    expect(flat(read(text)).slice(2)).toEqual([
      'one.tag=2',
      'one.name=a',
      'two.tag=1',
      'two.name=a',
    ]);
  });

  test.each([
    ['no YAML', 'a: [', []],
    ['a list', '- a', []],
    ['nothing', '', []],
  ])('are none where there is %s', (_, text, values) => {
    expect(flat(read(text))).toEqual(values);
  });

  test('do not multiply without end', () => {
    const doubled = Array.from(
      { length: 40 },
      (_, at) => `a${at + 1}: &a${at + 1} [*a${at}, *a${at}]`,
    );
    expect(flat(read(['a0: &a0 [x]', ...doubled].join('\n')))).toEqual([]);
    const nested = Array.from({ length: 2_000 }, (_, at) => `a${at + 1}: &a${at + 1} {b: *a${at}}`);
    expect(flat(read(['a0: &a0 {b: x}', ...nested].join('\n')))).toEqual([]);
    expect(flat(read('a: &a {b: *a}'))).toEqual([]);
  });

  test('go over others key by key; lists are replaced, and null takes away', () => {
    const lower = read('a: {x: 1, y: 2}\nlist: [1, 2]\ngone: {x: 1}\nkept: 1\n');
    const upper = read('a: {y: 3, z: 4}\nlist: [5]\ngone: null\n');
    expect(flat(valuesOver(lower, upper))).toEqual([
      'a.x=1',
      'a.y=3',
      'a.z=4',
      'list.0=5',
      'kept=1',
    ]);
  });
});

describe('values of flags', () => {
  test.each<[SetValue['how'], string, readonly string[]]>([
    ['set', 'a.b=1,c=x', ['a.b=1', 'c=x']],
    ['set', 'a\\.b.c=x\\,y', ['a.b.c=x,y']],
    ['set', 'a={x,y}', ['a.0=x', 'a.1=y']],
    ['set', 'a[0].b=x,a[1].b=y', ['a.0.b=x', 'a.1.b=y']],
    ['set', 'a[9999999999]=x', []],
    ['set', 'a', []],
    ['set-string', 'a=true', ['a=true']],
    ['set-literal', 'a.b={x},y', ['a.b={x},y']],
    ['set-json', 'a.b={"c": ["x", 1.10], "d": "e"}', ['a.b.c.0=x', 'a.b.c.1=1.10', 'a.b.d=e']],
    ['set-json', 'a={', ['a={']],
    ['set-file', 'a=b.txt', []],
  ])('--%s %s', (how, text, expected) => {
    const set = withSetValues(noValues, [{ how, text }], () => ({ file: 'f' }));
    expect(flat(set)).toEqual(expected);
  });

  test('go over those of files, and keep their own keys', () => {
    const values = read('image: {repository: a, tag: 1}\n');
    const flags: readonly SetValue[] = [{ how: 'set-json', text: 'image={"tag":"2"}' }];
    const set = withSetValues(values, flags, ({ text }) => ({ file: 'f', via: text }));
    expect(scalarsIn(set).map(({ scalar: { key, text, origin } }) => [key, text, origin])).toEqual([
      ['image.tag', '2', { file: 'f', via: 'image={"tag":"2"}' }],
    ]);
  });

  test('a flag for one entry leaves the others', () => {
    const values = read('list: [{a: 1, b: 2}, {a: 3}]\n');
    const set = withSetValues(values, [{ how: 'set', text: 'list[0].a=9' }], () => ({ file: 'f' }));
    expect(flat(set)).toEqual(['list.0.a=9', 'list.0.b=2', 'list.1.a=3']);
  });

  test('only what --set says is true or false is a boolean', () => {
    const typed = (how: SetValue['how']) =>
      scalarsIn(withSetValues(noValues, [{ how, text: 'a=true' }], () => ({ file: 'f' }))).map(
        ({ scalar }) => scalar.type,
      );
    expect([typed('set'), typed('set-string'), typed('set-json')]).toEqual([
      ['boolean'],
      ['text'],
      ['boolean'],
    ]);
  });
});
