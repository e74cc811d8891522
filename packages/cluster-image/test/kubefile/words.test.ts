import { codeOf, OciError } from '@cluster-image/oci';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { expand, expandText, jsonWords, type Scope, wordsOf } from '../../src/kubefile/words.ts';

const variables = new Map([
  ['a', '1'],
  ['empty', ''],
  ['two', 'b c'],
  ['_x1', 'under'],
]);

function scope(escapeSign = '\\'): Scope {
  return {
    lookup: (name) => variables.get(name),
    escapeSign,
    fault: (why) => new OciError('INPUT_INVALID', why),
  };
}

function codeOfFailure(work: () => unknown): string | undefined {
  try {
    work();
  } catch (error) {
    return codeOf(error);
  }
  return undefined;
}

const dollar = '$';

describe("a word is read by docker's rules", () => {
  test.each([
    ['plain', 'plain'],
    ['', ''],
    ['$a', '1'],
    ['$ab', ''],
    ['x$a.y', 'x1.y'],
    ['$_x1', 'under'],
    [`${dollar}{a}b`, '1b'],
    [`${dollar}{none}`, ''],
    [`${dollar}{none:-x}`, 'x'],
    [`${dollar}{none-x}`, 'x'],
    [`${dollar}{empty:-x}`, 'x'],
    [`${dollar}{empty-x}`, ''],
    [`${dollar}{a:-x}`, '1'],
    [`${dollar}{a:+x}`, 'x'],
    [`${dollar}{a+x}`, 'x'],
    [`${dollar}{empty:+x}`, ''],
    [`${dollar}{empty+x}`, 'x'],
    [`${dollar}{none:+x}`, ''],
    [`${dollar}{none:-}`, ''],
    [`${dollar}{none:-$a}`, '1'],
    [`${dollar}{none:-${dollar}{none:-${dollar}{a}}}`, '1'],
    [`${dollar}{none:-"x } y"}`, 'x } y'],
    [`${dollar}{none:-x\\}y}`, 'x}y'],
    [`${dollar}{a:?gone}`, '1'],
    ['$two', 'b c'],
    ['"$two"', 'b c'],
    ["'$two'", '$two'],
    ['"it\'s"', "it's"],
    ['\'say "so"\'', 'say "so"'],
    ['a"b"c\'d\'', 'abcd'],
    ['""', ''],
    ['\\$a', '$a'],
    ['"\\$a"', '$a'],
    ["'\\$a'", '\\$a'],
    ['a\\ b', 'a b'],
    ['a\\nb', 'anb'],
    ['"a\\nb"', 'a\\nb'],
    ['"a\\"b"', 'a"b'],
    ['"a\\\\b"', 'a\\b'],
    ['a\\\\b', 'a\\b'],
    ['a\\', 'a'],
    ['$', '$'],
    ['a$', 'a$'],
    ['$$', '$$'],
    ['$(a)', '$(a)'],
    ['$-b', '$-b'],
    ['$1x', 'x'],
    ['ä$aö', 'ä1ö'],
    ['😀\\😀', '😀😀'],
  ])('%s is %s', (text, value) => {
    expect(expand(text, scope())).toBe(value);
  });

  test.each([
    ['`$a', '$a'],
    ['a`"b', 'a"b'],
    ['"x`"y"', 'x"y'],
    ['C:\\x\\$a', 'C:\\x\\1'],
  ])('with another escape %s is %s', (text, value) => {
    expect(expand(text, scope('`'))).toBe(value);
  });

  test.each([
    "'open",
    '"open',
    '"open\\"',
    `${dollar}{`,
    `${dollar}{}`,
    `${dollar}{a`,
    `${dollar}{a:-x`,
    `${dollar}{a.b}`,
    `${dollar}{a#x}`,
    `${dollar}{a%x}`,
    `${dollar}{a/x/y}`,
    `${dollar}{:-x}`,
    `${dollar}{none:?gone}`,
    `${dollar}{none?}`,
    `${dollar}{none:-'x}`,
  ])('%s is an error', (text) => {
    expect(codeOfFailure(() => expand(text, scope()))).toBe('INPUT_INVALID');
  });

  test('what a value holds is not read again', () => {
    const inner = { ...scope(), lookup: () => '$a "x" \\y' };
    expect(expand('$v', inner)).toBe('$a "x" \\y');
    expect(expand(`${dollar}{v}"$v"`, inner)).toBe('$a "x" \\y$a "x" \\y');
  });

  test('quoting a text gives that text', () => {
    const text = fc.string({ unit: 'grapheme' });
    fc.assert(
      fc.property(text, (value) => {
        const quoted = `"${value.replace(/["$\\]/g, (char) => `\\${char}`)}"`;
        expect(expand(quoted, scope())).toBe(value);
        expect(wordsOf(quoted, scope())).toEqual([value]);
      }),
    );
  });

  test('it ends, with a value or an error, whatever it is', () => {
    const piece = fc.constantFrom('$', '{', '}', ':', '-', '+', '?', '"', "'", '\\', 'a', ' ', '`');
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
        const failed = codeOfFailure(() => wordsOf(pieces.join(''), scope()));
        expect([undefined, 'INPUT_INVALID']).toContain(failed);
      }),
    );
  });
});

describe('arguments', () => {
  test.each([
    ['a b  c', ['a', 'b', 'c']],
    ['\ta\n b ', ['a', 'b']],
    ['"a b" c', ['a b', 'c']],
    ["a' b'c d", ['a bc', 'd']],
    ['a\\ b c', ['a b', 'c']],
    ['"a\\" b" c', ['a" b', 'c']],
    ["'a\\' b", ['a\\', 'b']],
    ['$two d', ['b c', 'd']],
    ['"" a', ['', 'a']],
    ['', []],
    ['["a b", "$a", "\\\\$a", "\\"\'"]', ['a b', '1', '\\1', '"\'']],
    ['[]', []],
    ['["a", 1]', ['[a,', '1]']],
    ['[a]', ['[a]']],
  ])('%s', (text, words) => {
    expect(wordsOf(text, scope())).toEqual(words);
  });

  test.each([
    ['["a", "b"]', ['a', 'b']],
    ['[ "a" ]', ['a']],
    ["['a']", undefined],
    ['["a",]', undefined],
    ['{"a": "b"}', undefined],
    ['"a"', undefined],
    ['[["a"]]', undefined],
  ])('%s in the JSON form', (text, words) => {
    expect(jsonWords(text)).toEqual(words);
  });
});

describe('a text that is written in place', () => {
  test.each([
    ['a "$a" \'$a\'', 'a "1" \'1\''],
    ['\\$a \\\\ \\n \\"', '$a \\ \\n \\"'],
    [`${dollar}{none:-"x"}`, '"x"'],
    ["it's 5 $", "it's 5 $"],
    ['ends in \\', 'ends in \\'],
  ])('%s', (text, value) => {
    expect(expandText(text, scope())).toBe(value);
  });
});
