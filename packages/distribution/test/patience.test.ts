import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { retryAfter } from '../src/patience.ts';

describe('C13 Retry-After', () => {
  test('counts seconds, however many', () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(), (seconds, now) => {
        expect(retryAfter(` ${seconds} `, now)).toBe(seconds * 1000);
      }),
    );
  });

  test('names a date, which is a wait from now, and none if it is over', () => {
    const seconds = fc.integer({ min: 0, max: 4_000_000_000 });
    fc.assert(
      fc.property(seconds, seconds, (now, then) => {
        const header = new Date(then * 1000).toUTCString();
        expect(retryAfter(header, now * 1000)).toBe(Math.max(0, then - now) * 1000);
      }),
    );
  });

  test.each([undefined, '', '  ', '-5', '1.5', 'soon', '1e3', '5 s', '٣'])(
    'says nothing as %j',
    (header) => {
      expect(retryAfter(header, 0)).toBeUndefined();
    },
  );

  test('is a wait or says nothing, whatever it is', () => {
    fc.assert(
      fc.property(fc.string(), (header) => {
        expect(retryAfter(header, 1e12) ?? 0).toBeGreaterThanOrEqual(0);
      }),
    );
  });
});
