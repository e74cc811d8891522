import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { jsonNodes } from '../../src/discover/plain-json.ts';
import { byLibrary, comparable } from './by-library.ts';

test('JSON is read as the YAML library reads it', () => {
  const spaces = fc.constantFrom(0, 1, 2, '\t');
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 4 }), spaces, (value, space) => {
      const text = JSON.stringify({ value, image: 'a.io/b:1' }, undefined, space);
      fc.pre(!/[\u2028\u2029\ufeff\u0085\ud800-\udfff]/.test(text));
      expect([comparable(jsonNodes(text))]).toEqual(byLibrary(text));
    }),
  );
});

test.each([
  ['an entry that is there twice', '{"image": "a", "image": "b"}'],
  ['numbers as they are written', '{"tag": 1.10, "a": [1e3, -0, 0.5E+7]}'],
  ['escapes', '{"image": "a\\/b\\u003a1\\n"}'],
  ['keys that mean something elsewhere', '{"__proto__": {"image": "a"}, "<<": {"true": null}}'],
  ['nothing', '{"a": {}, "b": [ ], "c": ""}'],
  ['a beginning', '---\n  [\n\n {"image":\n"a"} ]\n\n'],
])('%s is read as the library reads it', (_, text) => {
  expect([comparable(jsonNodes(text))]).toEqual(byLibrary(text));
});

describe('what is no JSON is left to the library', () => {
  test.each([
    ['a scalar alone', '"a"'],
    ['a comma at the end', '{"a": 1,}'],
    ['two commas', '[1,,2]'],
    ['a comma at the beginning', '[,1]'],
    ['a key without quotes', '{a: 1}'],
    ['a text without quotes', '{"a": b}'],
    ['a comment', '{"a": 1} # b'],
    ['two values', '{"a": 1} {"b": 2}'],
    ['an open bracket', '[{"a": 1}'],
    ['a bracket of another kind', '[1}'],
    ['a break in a text', '{"a": "b\nc"}'],
    ['a number with a zero before it', '{"tag": 010}'],
    ['more depth than manifests have', `${'['.repeat(60)}${']'.repeat(60)}`],
  ])('%s', (_, text) => {
    expect(jsonNodes(text)).toBeUndefined();
  });
});
