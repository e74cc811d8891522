import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isLike } from '../../src/discover/patterns.ts';

test.each([
  ['a.io/b:1', 'a.io/b:1', true],
  ['a.io/b:1', 'a.io/b', false],
  ['a.io/b:1', 'a.io/b:*', true],
  ['a.io/b:1', '*', false],
  ['a.io/b:1', '*/*', true],
  ['a.io/b/c:1', '*/*', false],
  ['a.io/b/c:1', 'a.io/*', false],
  ['a.io/b/c:1', 'a.io/**', true],
  ['a.io/b/c:1', '**', true],
  ['a.io/b/c:1', '**/c:*', true],
  ['a.io/b/c:1', 'a.*/**:1', true],
  ['a.io/b/c:1', 'a.io/**/b', false],
  ['[fd00::1]:5000/x:1', '[fd00::1]:5000/*', true],
  ['{{ .x }}:1', '{{*', true],
  ['', '', true],
  ['', '*', true],
  ['a', '', false],
])('%s is as %s has it: %s', (text, pattern, expected) => {
  expect(isLike(text, pattern)).toBe(expected);
});

test('it says the same as a regular expression', () => {
  const text = fc.string({ unit: fc.constantFrom('a', 'b', '/', ':'), maxLength: 12 });
  const pattern = fc.array(fc.constantFrom('a', 'b', '/', ':', '*', '**'), { maxLength: 8 });
  fc.assert(
    fc.property(text, pattern, (text, parts) => {
      const stars = (found: string): string => (found.length > 1 ? '[^]*' : '[^/]*');
      const source = parts.join('').replace(/\*+/g, stars);
      expect(isLike(text, parts.join(''))).toBe(new RegExp(`^(?:${source})$`).test(text));
    }),
  );
});

test('a hostile pattern takes no time', () => {
  const text = `${'a/'.repeat(5000)}b`;
  const start = performance.now();
  expect(isLike(text, `${'**a*'.repeat(100)}c`)).toBe(false);
  expect(isLike('a'.repeat(5000), `${'a*'.repeat(200)}b`)).toBe(false);
  expect(performance.now() - start).toBeLessThan(10_000);
});
