import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Challenge, parseChallenges } from '../src/challenge.ts';

describe('A06 WWW-Authenticate', () => {
  test.each([
    ['Basic realm="x"', [['basic', { realm: 'x' }]]],
    ['BEARER realm=https', [['bearer', { realm: 'https' }]]],
    [
      'Bearer realm="https://a.example/token?x=1,2",service="a \\"b\\" c",scope="repository:x:pull,push"',
      [
        [
          'bearer',
          {
            realm: 'https://a.example/token?x=1,2',
            service: 'a "b" c',
            scope: 'repository:x:pull,push',
          },
        ],
      ],
    ],
    [
      'Negotiate, NTLM TlRMTVNTUAAC==, Basic realm="x", Bearer realm="y" , error = invalid_token',
      [
        ['negotiate', {}],
        ['ntlm', {}],
        ['basic', { realm: 'x' }],
        ['bearer', { realm: 'y', error: 'invalid_token' }],
      ],
    ],
    [
      'Negotiate YWJj=, Bearer realm="y"',
      [
        ['negotiate', {}],
        ['bearer', { realm: 'y' }],
      ],
    ],
    [
      ', ,Basic realm="x",,Bearer realm="y",',
      [
        ['basic', { realm: 'x' }],
        ['bearer', { realm: 'y' }],
      ],
    ],
    ['Bearer REALM="x"', [['bearer', { realm: 'x' }]]],
    ['Bearer realm=""', [['bearer', { realm: '' }]]],
    ['Bearer', [['bearer', {}]]],
    ['Bearer realm="never closed', [['bearer', {}]]],
    ['realm="x"', [['realm', {}]]],
    ['Bearer __proto__="x"', [['bearer', { ['__proto__']: 'x' }]]],
    ['', []],
    ['=,=', []],
  ] satisfies [string, [string, Record<string, string>][]][])('%j is read', (header, expected) => {
    const found = parseChallenges([header]).map(({ scheme, parameters }) => [
      scheme,
      Object.entries(parameters),
    ]);
    expect(found).toEqual(
      expected.map(([scheme, parameters]) => [scheme, Object.entries(parameters)]),
    );
  });

  test('several headers are as good as one', () => {
    const one = parseChallenges(['Basic realm="x", Bearer realm="y"']);
    expect(parseChallenges(['Basic realm="x"', 'Bearer realm="y"'])).toEqual(one);
  });

  test('is read back as it was written, however it was quoted and spaced', () => {
    const letters = [
      ..."abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+.^_`|~-",
    ];
    const word = fc.string({ unit: fc.constantFrom(...letters), minLength: 1, maxLength: 12 });
    const space = fc.constantFrom('', ' ', '\t', '  ');
    const value = fc.oneof(
      word.map((text) => ({ text, written: text })),
      fc
        .string({ unit: fc.constantFrom(...letters, ...' ,=;:/"\\') })
        .map((text) => ({ text, written: `"${text.replace(/["\\]/g, '\\$&')}"` })),
    );
    const parameters = fc.uniqueArray(fc.tuple(word, value, space, space), {
      selector: ([name]) => name.toLowerCase(),
      maxLength: 4,
    });
    const challenge = fc.record({ scheme: word, parameters });
    fc.assert(
      fc.property(fc.array(challenge, { minLength: 1, maxLength: 4 }), space, (given, between) => {
        const header = given
          .map(({ scheme, parameters }) => {
            const written = parameters.map(
              ([name, { written }, before, after]) => `${name}${before}=${after}${written}`,
            );
            return `${scheme}${written.length > 0 ? ' ' : ''}${written.join(`${between},${between}`)}`;
          })
          .join(`,${between}`);
        const expected: Challenge[] = given.map(({ scheme, parameters }) => ({
          scheme: scheme.toLowerCase(),
          parameters: Object.fromEntries(
            parameters.map(([name, { text }]) => [name.toLowerCase(), text]),
          ),
        }));
        const found = parseChallenges([header]).map(({ scheme, parameters }) => ({
          scheme,
          parameters: { ...parameters },
        }));
        expect(found).toEqual(expected);
      }),
    );
  });

  test('of any kind is read in no time, without failing', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 2_000 }), (header) => {
        expect(Array.isArray(parseChallenges([header]))).toBe(true);
      }),
    );
    const started = performance.now();
    parseChallenges(['a='.repeat(8_000), '"\\'.repeat(8_000), `a ${' '.repeat(16_000)}=`]);
    expect(performance.now() - started).toBeLessThan(10_000);
  });
});
