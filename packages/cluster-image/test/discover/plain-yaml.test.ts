import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { findInDocuments } from '../../src/discover/documents.ts';
import { plainNodes } from '../../src/discover/plain-yaml.ts';
import { byLibrary, comparable } from './by-library.ts';

const written = `---
# Source: none
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web   # by which it goes
  labels: {}
  annotations:
    example.com/from: "a.io/copied:1"
spec:
  template:
    spec:
      initContainers: []
      containers:

      - name: web
        image: a.io/web:1
        args: ["--sidecar-image=a.io/sidecar:1", '-v', b=c]
        resources: { limits: {cpu: 1} }
      - image: 'a.io/proxy:2'
        resources: { limits: none, cpu: 100m }
        command:
          - sh
          - -c
          - |
            run a.io/script:1

              --image a.io/script:2
        env:
          -
            name: IMAGE
            value: a.io/env:1
      nodeSelector:
      volumes:
        - - image: {reference: a.io/volume:1}
---
data:
  pod.yaml: |-
    image: a.io/inside:1
  empty:
`;

test('a manifest as most are is read as the library reads it', () => {
  const found = findInDocuments(written, 'f.yaml');
  const lines = found.images.map(
    ({ reference, origins: [origin] }) => `${reference} ${origin?.line}`,
  );
  expect(lines).toEqual(['a.io/web:1 17', 'a.io/proxy:2 20', 'a.io/volume:1 35']);
  expect(found.suspects).toHaveLength(6);
  expect(found.unresolved).toEqual([]);
});

describe('it is read without the library', () => {
  const plain = written
    .replace(/^ {8}resources: \{ limits: \{.*\n/m, '')
    .replace(/^ {8}- - .*\n/m, '');

  test.each(plain.split(/^---\n/m).filter(Boolean))('%#', (document) => {
    expect(plainNodes(document)).toMatchObject({ kind: 'map' });
  });
});

describe('it reads more than one way to write a thing', () => {
  test.each([
    ['a quote in a text', "image: 'a''b'", "a'b"],
    ['an escape of JSON', 'image: "a.io\\/b\\u003a1\\n"', 'a.io/b:1\n'],
    ['a text that goes on', 'image: a\n  b\n\n\n  - c', 'a b\n\n- c'],
    ['a quoted text that goes on', "image: 'a: #\n\n  it''s\n  b'\n", "a: #\nit's b"],
    ['a literal with blank lines', 'image: |\n  a\n     \n \n  b\n   \n', 'a\n   \n\nb\n \n'],
    ['a quoted key', '"image": a', 'a'],
    ['a pattern', 'image: ^a=;b$', '^a=;b$'],
    ['a text below its item', '- a\n  - b', undefined],
    ['brackets below their key', 'image:\n  {}\nb: c', undefined],
  ])('%s', (_, text, expected) => {
    const nodes = plainNodes(text);
    expect([comparable(nodes)]).toEqual(byLibrary(text));
    const [entry] = nodes?.kind === 'map' ? nodes.entries : [];
    expect(entry?.value?.kind === 'scalar' ? entry.value.text : undefined).toBe(expected);
  });
});

describe('what may mean something else is left to the library', () => {
  test.each([
    ['an anchor', 'image: &a a.io/b:1'],
    ['an alias', 'a: *a'],
    ['a tag', 'image: !!str a.io/b:1'],
    ['a merge', '<<: a'],
    ['an escape that JSON has not', 'image: "a\\x2fb"'],
    ['an escape that is cut off', 'image: "a\\u12"'],
    ['a quote that ends before its line', "image: 'a' b"],
    ['a comment in a text that goes on', 'image: a\n  # b\n  c'],
    ['a comment behind a text that goes on', 'image: a\n  b # c'],
    ['a colon in a text that goes on', 'image: a\n  b: c'],
    ['a colon at the end of a text that goes on', 'image: a\n  b:'],
    ['a quote that is never closed', "image: 'a\n  b"],
    ['a comment behind a quote that goes on', "image: 'a\n  b' # c"],
    ['a number after a quote that goes on', "image: 'a\n  b'\n  c"],
    ['a quoted text that goes on', 'image: "a\n  b"'],
    ['a literal with all of its end', 'image: |+\n  a\n\n'],
    ['a folded text', 'image: >-\n  a'],
    ['an indent that is told', 'image: |2\n    a'],
    ['a literal that begins with a longer blank line', 'a: |\n     \n  b'],
    ['a literal that comes back', 'a: |\n    b\n  c'],
    ['a key with an escape', '"im\\u0061ge": a'],
    ['a key that is a number', '1: a'],
    ['a key that is true', 'True: a'],
    ['a complex key', '? image\n: a'],
    ['a mapping on a line', 'a: b: c'],
    ['a colon at the end', 'a: b:'],
    ['brackets in brackets', 'a: [[b]]'],
    ['a comma at the end', 'a: [b,]'],
    ['something behind a bracket', 'a: [b] c'],
    ['more in brackets than people write', `a: [${'b,'.repeat(10_000)}b]`],
    ['an open bracket', 'a: [b'],
    ['brackets below their key, and more', 'a:\n  {}\n  b: c'],
    ['an entry that is too far in', 'a: b\n  c: d'],
    ['an entry that is too far out', 'a:\n    b: c\n  d: e'],
    ['an item below a text', 'a: b\n- c'],
    ['an indented beginning', '  a: b'],
    ['two documents', 'a: b\n---'],
    ['the end of a document', 'a: b\n...'],
    ['a directive', '%YAML 1.2\n---\na: b'],
    ['JSON', '{"a": "b"}'],
    ['a tabulator', 'a:\tb'],
    ['a break of Windows', 'a: b\r\n'],
    ['a mark of order', '\uFEFFa: b'],
    ['a space that is none', 'a: b\u00a0'],
    ['a text alone', 'a'],
    ['nothing', '# nothing\n'],
    ['more depth than manifests have', `${'- '.repeat(60)}a: b`],
  ])('%s', (_, text) => {
    expect(plainNodes(text)).toBeUndefined();
  });
});

describe('it tells the same as the library', () => {
  const names = ['image', 'name', 'value', 'containers', 'volumes', 'a.io/k', 'repository', 'tag'];
  const values = [
    ...['a.io/b:1', 'a.io/b', 'b:1', '"a.io/b:2"', "'a.io/b:3'", '""', 'null', '~', 'true', '1.10'],
    ...[
      'a # a.io/b:4',
      'a.io/b:5 # c',
      'a#b',
      '#',
      'a: b',
      'b:',
      '-',
      '- a.io/b:6',
      '--x=a.io/b:7',
    ],
    ...[
      '{}',
      '[]',
      '[a.io/b:8, "a.io/b:9"]',
      '{image: a.io/b:10}',
      '{ image: b, name: "c" }',
      '[a',
    ],
    ...['{a: [b]}', '[a, b,]', '&a a.io/b:11', '*a', '!!str b', '|', '|-', '|+', '>', '>-', '|2'],
    ...[
      '"a',
      "'a''b'",
      '"a\\u002f"',
      'a b',
      '.',
      '.5',
      '~a',
      '<b>',
      '@a',
      '%a',
      '`a',
      '---',
      '...',
    ],
    ...[
      '{{ a }}',
      'http://a.io/b:12',
      'a.io/b@sha256:12',
      'ä.io',
      '[b:1]',
      '[a:]',
      '[ ]',
      '{ }',
      '[',
    ],
  ];
  const line = fc.oneof(
    {
      weight: 20,
      arbitrary: fc
        .record({
          indent: fc.constantFrom('', '', '  ', '  ', '    ', '    ', '      ', ' '),
          dashes: fc.constantFrom('', '', '', '- ', '- ', '-   ', '- - '),
          key: fc.option(fc.constantFrom(...names), { freq: 6, nil: '' }),
          value: fc.option(fc.constantFrom(...values), { freq: 3, nil: '' }),
          end: fc.constantFrom('', '', '', '', ' ', ' # x', '#'),
        })
        .map(({ indent, dashes, key, value, end }) =>
          [indent, dashes, key && `${key}:`, key && value && ' ', value, end].join(''),
        ),
    },
    { weight: 1, arbitrary: fc.constantFrom('', '   ', '# x', '    # x', '---', 'x', '\t', '...') },
  );

  /** The lines of a value, the first of which may come behind a key or a dash. */
  interface Printed {
    readonly lines: readonly string[];
    readonly isBlock: boolean;
    readonly isSequence?: boolean;
  }

  const indented = (lines: readonly string[], by: number): readonly string[] =>
    lines.map((each) => (each === '' ? '' : `${' '.repeat(by)}${each}`));
  const entryLines = (name: string, { lines, isBlock, isSequence }: Printed, by: number) => {
    const [first = '', ...others] = lines;
    if (!isBlock) return [`${name}: ${first}`, ...indented(others, 2)];
    return [`${name}:`, '', ...indented(lines, isSequence ? by : by + 1)];
  };
  const itemLines = ({ lines: [first = '', ...others] }: Printed) => [
    `- ${first}`,
    ...indented(others, 2),
    '# b:1',
  ];
  const plain = values.filter((value) => plainNodes(`a: ${value}`)?.kind === 'map');
  const { map: tree } = fc.letrec<{ value: Printed; map: Printed; seq: Printed }>((tie) => ({
    value: fc.oneof(
      { depthSize: 'small' },
      fc.constantFrom(...plain).map((text) => ({ lines: [text], isBlock: false })),
      fc.constant({ lines: ['|', '', 'image: a.io/l:1', '  # a.io/l:2'], isBlock: false }),
      tie('map'),
      tie('seq'),
    ),
    map: fc
      .array(fc.tuple(fc.constantFrom(...names), tie('value'), fc.nat(3)), {
        minLength: 1,
        maxLength: 4,
      })
      .map((entries) => ({ lines: entries.flatMap((each) => entryLines(...each)), isBlock: true })),
    seq: fc
      .array(tie('value'), { minLength: 1, maxLength: 3 })
      .map((items) => ({ lines: items.flatMap(itemLines), isBlock: true, isSequence: true })),
  }));

  test('of mappings and sequences in block style, which it reads itself', () => {
    const texts = tree.map(({ lines }) => lines.join('\n'));
    fc.assert(
      fc.property(texts, (text) => {
        const whole = `${text}\n# end`;
        expect([comparable(plainNodes(whole))]).toEqual(byLibrary(whole));
      }),
      { numRuns: 500 },
    );
  });

  test('of whatever lines', () => {
    const texts = fc.array(line, { minLength: 1, maxLength: 9 }).map((lines) => lines.join('\n'));
    fc.assert(
      fc.property(texts, (text) => {
        const plain = plainNodes(text);
        fc.pre(plain !== undefined);
        expect([comparable(plain)]).toEqual(byLibrary(text));
      }),
      { numRuns: 1000 },
    );
  });
});
