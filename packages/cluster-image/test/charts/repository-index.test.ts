import { describe, expect, test } from 'vitest';
import { chartsInIndex } from '../../src/charts/repository-index.ts';
import { indexOf } from '../chart-server.ts';

const digest = '0'.repeat(64);
const index = indexOf({
  'web-admin': [{ version: '9.0.0' }],
  web: [
    { version: '1.10.0', digest },
    { version: '1.9.0', url: 'https://b.io/w.tgz' },
  ],
  'a.b': [{ version: '7.0.0' }],
});
const web = [
  { version: '1.10.0', url: 'charts/web-1.10.0.tgz', digest },
  { version: '1.9.0', url: 'https://b.io/w.tgz', digest: undefined },
];

describe('the versions of a chart', () => {
  test.each([
    ['as helm writes them', index],
    ['with Windows line ends', index.replaceAll('\n', '\r\n')],
    ['with comments', index.replaceAll('\n  web:', '\n# here\n  web:\n# it is')],
    ['that comes last', index.replace(/ {2}a\.b:[\s\S]*?(?=generated)/, '')],
    [
      'in flow style',
      JSON.stringify({
        entries: {
          web: [
            { version: '1.10.0', urls: ['charts/web-1.10.0.tgz'], digest },
            { version: '1.9.0', urls: ['https://b.io/w.tgz', 'ftp://x'] },
          ],
        },
      }),
    ],
    ['with sequences that stand in', index.replace(/(?<=\n) {2}(?= *[- ] )/g, '    ')],
  ])('%s', (_, text) => {
    expect(chartsInIndex(text, 'web', 'x')).toEqual(web);
  });

  test('are none of another chart, whose name begins or ends alike', () => {
    const versions = (name: string) =>
      chartsInIndex(index, name, 'x').map(({ version }) => version);
    expect([versions('web-admin'), versions('a.b'), versions('aXb'), versions('admin')]).toEqual([
      ['9.0.0'],
      ['7.0.0'],
      [],
      [],
    ]);
  });

  test('do not count where there is no version or URL', () => {
    const text = `entries:
  web:
  - version: 1.0.0
    urls: []
  - version: 2.0.0
  - urls: [a.tgz]
  - text
  - {version: 1.10, urls: [b.tgz], digest: ""}
  - {version: {a: b}, urls: [b.tgz]}
`;
    expect(chartsInIndex(text, 'web', 'x')).toEqual([
      { version: '1.10', url: 'b.tgz', digest: undefined },
    ]);
  });

  test.each(['constructor', '__proto__', 'toString'])('are none of %s', (name) => {
    expect(chartsInIndex(index, name, 'x')).toEqual([]);
  });

  test('of an index of 20 MB are found at once', () => {
    const [head = '', tail = ''] = index.split('  web-admin:');
    const large = indexOf({ z: Array.from({ length: 200 }, (_, at) => ({ version: `1.${at}.0` })) })
      .replace(/^[\s\S]*entries:\n/, '')
      .replace(/generated.*\n/, '');
    const many = Array.from({ length: 470 }, (_, at) => large.replace('  z:', `  z${at}:`)).join(
      '',
    );
    const text = `${head}${many}  web-admin:${tail}`;
    expect(text.length).toBeGreaterThan(20_000_000);
    const start = performance.now();
    expect(chartsInIndex(text, 'web', 'x')).toEqual(web);
    expect(performance.now() - start).toBeLessThan(10_000);
  });
});

describe('what is no index', () => {
  const laughs = [
    'a: &a [x,x]',
    ...'bcdefghij'.split('').map((name, at) => {
      const before = 'abcdefghij'[at];
      return `${name}: &${name} [*${before},*${before},*${before},*${before},*${before},*${before}]`;
    }),
  ].join('\n');

  test.each([
    ['a text', 'nothing'],
    ['another document', 'kind: Pod\n'],
    ['broken', 'entries: {web: [}\n'],
    ['deep', `entries: {web: ${'['.repeat(10_000)}}`],
    ['long', `entries: {web: [${'a,'.repeat(600_000)}]}`],
    ['empty', ''],
  ])('is refused: %s', (_, text) => {
    expect(() => chartsInIndex(text, 'web', 'x')).toThrow(
      expect.objectContaining({ code: 'UPSTREAM' }),
    );
  });

  test('Y01 aliases are not multiplied', () => {
    const text = `${laughs}\nentries: {web: [{version: 1.0.0, urls: *j}]}\n`;
    const start = performance.now();
    expect(chartsInIndex(text, 'web', 'x')).toEqual([]);
    expect(performance.now() - start).toBeLessThan(10_000);
  });
});
