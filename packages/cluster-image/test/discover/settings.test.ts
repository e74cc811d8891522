import { OciError } from '@cluster-image/oci';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { type DiscoverSettings, discoverShape } from '../../src/discover/settings.ts';
import { readJson } from '../../src/json-text.ts';

function read(text: string): DiscoverSettings {
  return readJson(text, z.strictObject(discoverShape), (line, why) => {
    return new OciError('INPUT_INVALID', `${line}: ${why}`);
  });
}

function faultIn(text: string): string {
  try {
    read(text);
  } catch (error) {
    return error instanceof OciError ? error.message : String(error);
  }
  return 'none';
}

test('everything that may be said of how images are found', () => {
  const settings: DiscoverSettings = {
    search: [
      { group: '', kind: 'ConfigMap', path: 'data.*', value: 'suspect' },
      { key: 'example.com/image', value: 'image' },
      { path: '**.a', value: { repository: ['a', 'b.c'], tag: 'd' } },
    ],
    accept: ['quay.io/**'],
    ignore: ['manifests/tests/**'],
    resolve: { 'a.io/b:{{ .x }}': ['a.io/b:1'], $IMAGE: 'a.io/c:1' },
    strict: true,
  };
  expect(read(JSON.stringify(settings))).toEqual(settings);
});

test('a rule that does not say what is there means an image', () => {
  expect(read('{"search": [{"key": "from"}]}').search).toEqual([{ key: 'from', value: 'image' }]);
});

describe('what is wrong is told with its line', () => {
  const rule = (text: string): string => `{\n  "search": [\n    {"key": "a"},\n    ${text}\n  ]\n}`;

  test.each([
    [
      'a rule without a place',
      rule('{"value": "none"}'),
      '4: search.1: takes either a key or a path',
    ],
    [
      'a rule with two',
      rule('{"key": "a",\n "path": "b"}'),
      '4: search.1: takes either a key or a path',
    ],
    ['an empty path', rule('{"path": ""}'), '4: search.1.path: not keys joined by dots'],
    [
      'a path with an empty key',
      rule('{\n"path": "a..b"}'),
      '5: search.1.path: not keys joined by dots',
    ],
    [
      'a name that is none',
      rule('{"key": "a", "keys": 1}'),
      '4: search.1.keys: nothing of that name is known',
    ],
    [
      'a value that is none',
      rule('{"key": "a",\n"value": "imag"}'),
      '5: search.1.value: not image, suspect, yaml, none, or {registry, repository, tag, digest}',
    ],
    [
      'names of nothing',
      rule('{"key": "a", "value": {"tag": "b"}}'),
      '4: search.1.value: not image, suspect, yaml, none, or {registry, repository, tag, digest}',
    ],
    [
      'a list of no names',
      rule('{"key": "a", "value": {"repository": []}}'),
      '4: search.1.value.repository: Too small: expected array to have >=1 items',
    ],
    [
      'a pattern that is empty',
      '{"accept": [\n"a",\n""]}',
      '3: accept.1: Too small: expected string to have >=1 characters',
    ],
    [
      'patterns that are no list',
      '{\n"ignore": "a"}',
      '2: ignore: Invalid input: expected array, received string',
    ],
    [
      'what a text stands for',
      '{"resolve": {"a": "b",\n"c": 1}}',
      '2: resolve.c: not an image or a list of images',
    ],
    [
      'a switch that is none',
      '{\n\n"strict": "yes"}',
      '3: strict: Invalid input: expected boolean, received string',
    ],
  ])('%s', (_, text, fault) => {
    expect(faultIn(text)).toBe(fault);
  });
});
