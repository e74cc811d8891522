import { jsonOf } from '@cluster-image/oci';
import { expect, test } from 'vitest';

test('a text that is JSON is its value, any other is undefined', () => {
  expect(jsonOf('{"a":[1,null]}')).toEqual({ a: [1, null] });
  expect(jsonOf('null')).toBeNull();
  expect(jsonOf(Buffer.from('"é"'))).toBe('é');
  for (const text of ['', '{', "{'a':1}", '{"a":1,}', 'NaN', 'undefined', '1 2']) {
    expect(jsonOf(text)).toBeUndefined();
  }
});

test('bytes that are not UTF-8 are not JSON', () => {
  expect(jsonOf(Buffer.from([0x22, 0xff, 0x22]))).toBeUndefined();
});

test('L01: a member named __proto__ changes no prototype', () => {
  const value = jsonOf('{"__proto__":{"polluted":true}}');
  expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
  expect('polluted' in {}).toBe(false);
});
