import { describe, expect, test } from 'vitest';
import { printable } from '../src/printable.ts';

describe('a text is made printable', () => {
  test.each([
    ['plain, ä, 漢, 🙂', 'plain, ä, 漢, 🙂'],
    ['two\n\tlines', 'two\n\tlines'],
    ['a\rb', 'a\\u000db'],
    ['\u001b]0;title\u0007', '\\u001b]0;title\\u0007'],
    ['\u009b2J\u007f\u0000', '\\u009b2J\\u007f\\u0000'],
    ['\u202eabc\u202c\u2066\u2069\u200f\u061c', '\\u202eabc\\u202c\\u2066\\u2069\\u200f\\u061c'],
    ['', ''],
  ])('%j is %j', (text, shown) => {
    expect(printable(text)).toBe(shown);
  });
});
