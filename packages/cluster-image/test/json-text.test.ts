import { codeOf, OciError } from '@cluster-image/oci';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { readJson } from '../src/json-text.ts';

const schema = z.strictObject({
  a: z.number(),
  b: z.array(z.string()).optional(),
  c: z.record(z.string().max(3), z.strictObject({ d: z.string() })).optional(),
});

function read(text: string, by: z.ZodType = schema): unknown {
  return readJson(text, by, (line, why) => new OciError('INPUT_INVALID', `${line ?? ''}: ${why}`));
}

function faultIn(text: string, by?: z.ZodType): string {
  try {
    return `none: ${JSON.stringify(read(text, by))}`;
  } catch (error) {
    if (codeOf(error) !== 'INPUT_INVALID' || !(error instanceof Error)) throw error;
    return error.message;
  }
}

describe('a JSON text is read, and what is wrong with it told by its line', () => {
  test('the value', () => {
    const text = '{"a": -1.5e3, "b": ["x\\n\\u0041"], "c": {"k": {"d": ""}}}\n';
    expect(read(text)).toEqual({ a: -1500, b: ['x\nA'], c: { k: { d: '' } } });
    expect(read('{"a":1,"c":{}}')).toEqual({ a: 1, c: {} });
    expect(read('\t[ ]\n', z.array(z.unknown()))).toEqual([]);
  });

  test.each([
    ['', '1: ends too early'],
    ['\n\n', '3: ends too early'],
    ['{\n"a": 1', '2: ends too early'],
    ['{\n"a": 1,\n}', '3: is not JSON at }'],
    ['{\n"a": 1,\n"b": [\n"x",\n]\n}', '5: is not JSON at ]'],
    ['{\n"a": 1\n"b": []\n}', '3: is not JSON at "b"'],
    ['{\n"a"\n1}', '3: is not JSON at 1'],
    ['{\na: 1}', '2: is not JSON at "a: 1}"'],
    ["{\n'a': 1}", '2: is not JSON at "\'a\': 1}"'],
    ['{"a": 01}', '1: is not JSON at 1'],
    ['{"a": "x\ny"}', '1: is not JSON at "\\"x\\ny\\"}"'],
    ['{"a": 1}\n}', '2: is not JSON at }'],
    ['{"a": 1}\n// x', '2: is not JSON at "// x"'],
    ['{"a": 1,\n"b": [],\n"a": 2}', '3: names a twice'],
    ['{"a": 1, "c": {\n"k": {"d": "",\n"\\u0064": ""}}}', '3: names d twice'],
    ['{"a": 1,\n<<<<<<< HEAD\n"b": []\n=======\n>>>>>>> x\n}', '2: has conflict markers'],
    ['{"a": 1,\r\n=======\r\n}', '2: has conflict markers'],
    ['{"a": 1,\n"x": 2}', '2: x: nothing of that name is known'],
    ['{"a": 1, "c": {\n"k": {\n"d": "",\n"e": ""}}}', '4: c.k.e: nothing of that name is known'],
    ['{\n"a": "1"}', '2: a: Invalid input: expected number, received string'],
    ['{"a": 1,\n"b": [\n"x",\n2]}', '4: b.1: Invalid input: expected string, received number'],
    ['{"a": 1, "c":\n{"k":\n{}}}', '2: c.k.d: Invalid input: expected string, received undefined'],
    ['{\n"b": []}', ': a: Invalid input: expected number, received undefined'],
    [
      '{"a": 1, "c": {\n"long": {"d": ""}}}',
      '2: c.long: Too big: expected string to have <=3 characters',
    ],
    ['{"a": 1,\n"__proto__": 1}', '2: __proto__: nothing of that name is known'],
    ['[1]', ': Invalid input: expected object, received array'],
    ['{"a": 1, "b": ["\u0001"]}', ': is not JSON'],
  ])('%j', (text, fault) => {
    expect(faultIn(text)).toBe(fault);
  });

  test('nesting without end', () => {
    expect(faultIn('['.repeat(1_000_000), z.unknown())).toMatch(/nested deeper than 100|too early/);
    expect(faultIn(`${'['.repeat(200)}${']'.repeat(200)}`, z.unknown())).toBe(
      '1: is nested deeper than 100',
    );
  });

  test('whatever JSON there is', () => {
    fc.assert(
      fc.property(
        fc.jsonValue({ maxDepth: 6 }),
        fc.constantFrom(undefined, 2, '\t'),
        (value, indent) => {
          const text = JSON.stringify(value, undefined, indent);
          expect(read(text, z.unknown())).toEqual(JSON.parse(text));
        },
      ),
    );
  });
});
