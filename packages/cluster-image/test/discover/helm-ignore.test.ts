import { expect, test } from 'vitest';
import { helmIgnore } from '../../src/discover/helm-ignore.ts';

test.each<[string, readonly string[], readonly string[]]>([
  ['', ['templates/.hidden'], ['.hidden', 'templates/a.yaml', 'a/templates/.b']],
  ['# note\n\n  *.bak  ', ['a.bak', 'deep/a.bak', '.bak'], ['# note', 'a.bak/b']],
  ['/a.yaml', ['a.yaml'], ['templates/a.yaml']],
  [
    'templates/a*.yaml',
    ['templates/ab.yaml'],
    ['a.yaml', 'x/templates/a.yaml', 'templates/a/b.yaml'],
  ],
  ['tmp/', ['tmp/', 'deep/tmp/'], ['tmp', 'deep/tmp']],
  ['a?[b-c]', ['axb', 'axc'], ['ab', 'axd']],
  ['{a,b}', ['{a,b}'], ['a', 'b']],
  ['!*.yaml', ['a.txt', 'dir/'], ['a.yaml']],
])('%j ignores what helm ignores', (text, ignored, kept) => {
  const ignores = helmIgnore(text);
  const isIgnored = (path: string): boolean => ignores(path.replace(/\/$/, ''), path.endsWith('/'));
  expect(ignored.map((path) => [path, isIgnored(path)])).toEqual(
    ignored.map((path) => [path, true]),
  );
  expect(kept.map((path) => [path, isIgnored(path)])).toEqual(kept.map((path) => [path, false]));
});
