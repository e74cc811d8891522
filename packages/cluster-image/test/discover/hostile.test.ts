import { describe, expect, test } from 'vitest';
import type { Findings } from '../../src/discover/discovery.ts';
import { type DocumentsOptions, findInDocuments } from '../../src/discover/documents.ts';

function find(text: string, options?: DocumentsOptions): Findings {
  return findInDocuments(text, 'f.yaml', options);
}

/** `reference at line`, each once. */
function images(text: string): readonly string[] {
  const found = find(text).images.map(
    ({ reference, origins: [origin] }) => `${reference} at ${origin?.line}`,
  );
  return [...new Set(found)];
}

describe('Y01, Y02: a hostile file', () => {
  const names = 'abcdefghijklmnopqrstuvwxyz'.split('');
  const nested: readonly [string, string][] = [
    ['brackets', '['.repeat(1_000_000)],
    ['closed brackets', `${'['.repeat(5000)}${']'.repeat(5000)}`],
    ['braces', '{image: '.repeat(200_000)],
    ['dashes', '- '.repeat(200_000)],
    ['questions', '? '.repeat(200_000)],
    ['lines', Array.from({ length: 1000 }, (_, at) => `${' '.repeat(at)}image:`).join('\n')],
  ];

  test.each(nested)('is refused when it is nested too deep: %s', (_, text) => {
    const found = find(`a: 1\n---\nx: image\ny:\n${text.replace(/^/gm, ' ')}`);
    expect(found.images).toEqual([]);
    expect(found.unresolved.map(({ reason }) => reason)).toEqual(['nested deeper than 100']);
  });

  test('may be nested as deep as anybody needs', () => {
    const deep = 90;
    const open = Array.from({ length: deep }, (_, at) => `${' '.repeat(at)}a:`).join('\n');
    expect(images(`${open}\n${' '.repeat(deep)}image: a.io/b:1`)).toEqual(['a.io/b:1 at 91']);
  });

  test('does not multiply by aliases of aliases', () => {
    const lines = names.map((name, at) => {
      const earlier = names[at - 1];
      const items = earlier ? Array(9).fill(`*${earlier}`).join(', ') : '{image: a.io/b:1}';
      return `${name}: &${name} [${items}]`;
    });
    expect(images(lines.join('\n'))).toEqual(['a.io/b:1 at 1']);
  });

  test('may have an alias to what it is part of', () => {
    expect(images('a: &a\n  image: a.io/b:1\n  again: *a')).toContain('a.io/b:1 at 2');
  });

  test('has ten thousand aliases, each found at once', () => {
    const many = Array.from({ length: 10_000 }, (_, at) => at);
    const text = [
      ...many.map((at) => `k${at}: &a${at} a.io/b:${at}`),
      ...many.map((at) => `x${at}: {image: *a${at}}`),
    ].join('\n');
    expect(find(text).images).toHaveLength(10_000);
  });

  test('has keys that mean something to JavaScript, and tags of other languages', () => {
    const text = `__proto__: {image: a.io/p:1}
constructor: {image: a.io/c:1}
x: !!js/function {image: a.io/f:1}
y: !unknown {image: !!binary YQ==}
`;
    expect(images(text)).toEqual(['a.io/p:1 at 1', 'a.io/c:1 at 2', 'a.io/f:1 at 3']);
    expect(Object.keys({})).toEqual([]);
  });

  test('is a megabyte of JSON on one line', () => {
    const pods = Array.from({ length: 12_000 }, (_, at) => ({
      kind: 'Pod',
      spec: { containers: [{ name: `c${at}`, image: `quay.io/a/b${at}:v1` }] },
    }));
    const text = JSON.stringify({ kind: 'List', items: pods });
    expect(text.length).toBeGreaterThan(1_000_000);
    const start = process.cpuUsage().user;
    expect(find(text).images).toHaveLength(12_000);
    expect((process.cpuUsage().user - start) / 1e6).toBeLessThan(5);
  });

  test('has a key with a colon after a kilobyte', () => {
    const text = `image: a.io/b:1\n---\nimage${'a'.repeat(2000)}: b`;
    expect(images(text)).toEqual(['a.io/b:1 at 1']);
  });

  test('goes on for longer than anybody reads', () => {
    const found = find(`image: [${'a,'.repeat(1_100_000)}]`);
    expect(found.unresolved[0]?.reason).toBe('over 2000000 words and signs');
  });

  test('does not multiply by merges of merges, or lists of lists', () => {
    const nine = (name: string): string => Array(9).fill(`*${name}`).join(', ');
    const merges = names.map((name, at) => {
      const earlier = names[at - 1];
      return `${name}: &${name} {${earlier ? `<<: [${nine(earlier)}]` : 'x: 1'}}`;
    });
    expect(images([...merges, 'image: {<<: *z}', 'y: {image: a.io/b:1}'].join('\n'))).toHaveLength(
      1,
    );
    const lists = names.map((name, at) => {
      const earlier = names[at - 1];
      return `${name}: &${name} [${earlier ? nine(earlier) : 'a.io/b'}]`;
    });
    const job = 'apiVersion: apps.kruise.io/v1\nkind: ImageListPullJob\nspec: {images: *z}';
    expect(images([...lists, job].join('\n'))).toEqual(['a.io/b:latest at 1']);
  });

  test('has a document in a text that many places refer to', () => {
    const text = JSON.stringify('image: a.io/b:1\n'.repeat(5000));
    const places = Array.from({ length: 2000 }, (_, at) => `x${at}: {valuesContent: *t}`);
    const chart = `apiVersion: helm.cattle.io/v1\nkind: HelmChart\nt: &t ${text}`;
    expect(find([chart, ...places].join('\n')).images).toHaveLength(5000);
  });

  const long = 400_000;
  test.each([
    ['actions that are begun', `image: a\nb: ${'{{'.repeat(long)}`],
    ['actions in a text', `data:\n  a: |\n    image: ${'{{'.repeat(long)}`],
    ['escapes', `{"image": "${'\\n'.repeat(long)}"}`],
    ['quotes in quotes', `image: '${"''".repeat(long)}`],
    ['lines of a text', `a: image\n${'  b\n'.repeat(long)}`],
    ['blank lines', `image: |\n${' \n'.repeat(long)}`],
    ['blank lines before a document', `${'\n'.repeat(long)}image: a\n---\nb: c`],
    ['documents', '---\n'.repeat(long)],
    ['comments', `${'# image\n'.repeat(long)}image: a`],
    ['a flag', `args: ["--image${'-'.repeat(long)}=/a:1"]`],
    ['words', `args: ["${'a:'.repeat(long)} image"]`],
  ])('has more than anybody writes: %s', (_, text) => {
    const start = process.cpuUsage().user;
    find(text);
    find(text, { template: true });
    expect((process.cpuUsage().user - start) / 1e6).toBeLessThan(10);
  });
});
