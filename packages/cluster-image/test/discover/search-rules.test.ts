import { describe, expect, test } from 'vitest';
import { findInDocuments } from '../../src/discover/documents.ts';
import { searchRules } from '../../src/discover/search-rules.ts';
import type { SearchRule } from '../../src/discover/settings.ts';

/** What is found by a rule: images, `text?` for suspects, `text!` for what is unresolved. */
function found(rules: SearchRule | readonly SearchRule[], text: string): readonly string[] {
  const own = searchRules([rules].flat());
  const { images, suspects, unresolved } = findInDocuments(text, 'f.yaml', { rules: own });
  return [
    ...images.map(({ reference }) => reference),
    ...suspects.map(({ text }) => `${text}?`),
    ...unresolved.map(({ text, reason }) => `${text || reason}!`),
  ];
}

const web = (spec: string): string =>
  `apiVersion: example.com/v1\nkind: Web\nmetadata: {name: w}\nspec: ${spec}\n`;

describe('a rule is about', () => {
  test.each<[string, Partial<SearchRule>, boolean]>([
    ['any object', {}, true],
    ['the objects of a group', { group: 'example.com' }, true],
    ['none of another group', { group: 'example.org' }, false],
    ['none of the core group', { group: '' }, false],
    ['any group', { group: '*' }, true],
    ['the objects of a kind', { kind: 'Web' }, true],
    ['none of another kind', { kind: 'web' }, false],
    ['any kind', { kind: '*' }, true],
    ['a kind of a group', { group: 'example.com', kind: 'Web' }, true],
    ['no other kind of a group', { group: 'example.com', kind: 'Other' }, false],
  ])('%s', (_, about, isFound) => {
    const rule: SearchRule = { key: 'from', value: 'image', ...about };
    expect(found(rule, web('{from: nginx}'))).toEqual(
      isFound ? ['docker.io/library/nginx:latest'] : [],
    );
  });

  test('the core group where an object has no other', () => {
    const rule: SearchRule = { group: '', kind: 'ConfigMap', path: 'data.from', value: 'image' };
    const text = 'apiVersion: v1\nkind: ConfigMap\ndata: {from: nginx}';
    expect(found(rule, text)).toEqual(['docker.io/library/nginx:latest']);
  });

  test('no document that is no object, where it asks for any group or kind', () => {
    expect(found({ kind: '*', key: 'from', value: 'image' }, 'from: nginx')).toEqual([]);
    expect(found({ key: 'from', value: 'image' }, 'from: nginx')).toHaveLength(1);
  });
});

describe('a place is', () => {
  test.each([
    ['spec.a.from', true],
    ['spec.*.from', true],
    ['*.*.*', true],
    ['**.from', true],
    ['spec.**', true],
    ['**.a.**', true],
    ['**.spec.a.**.from.**', true],
    ['spec.from', false],
    ['spec.*', false],
    ['a.from', false],
    ['spec.**.a', false],
    ['spec.a.from.*', false],
  ])('spec.a.from, by the path %s: %s', (path, isFound) => {
    const images = isFound ? ['a.io/b:latest'] : [];
    expect(found({ path, value: 'image' }, web('{a: [{from: a.io/b}]}'))).toEqual(images);
  });

  test('a key with dots, which is no path', () => {
    const rule: SearchRule = { key: 'example.com/from', value: 'image' };
    expect(found(rule, web('{"example.com/from": a.io/b}'))).toEqual(['a.io/b:latest']);
  });

  test('counted from the top of an object, be it in a list or in another object', () => {
    const rule: SearchRule = { kind: 'Web', path: 'spec.from', value: 'image' };
    const item = '{apiVersion: example.com/v1, kind: Web, spec: {from: a.io/b}}';
    const other = (key: string): string => `apiVersion: v1\nkind: Other\n${key}: [${item}]`;
    expect(found(rule, `apiVersion: v1\nkind: List\nitems: [${item}]`)).toEqual(['a.io/b:latest']);
    expect(found(rule, other('manifests'))).toEqual(['a.io/b:latest']);
    expect(found(rule, other('spec'))).toEqual(['a.io/b:latest']);
  });

  test('that of an object around a mapping that is none, whatever kind it names', () => {
    const rule: SearchRule = { kind: 'Web', path: 'spec.ref.from', value: 'image' };
    expect(found(rule, web('{ref: {kind: Other, from: a.io/b}}'))).toEqual(['a.io/b:latest']);
  });
});

describe('what is there may be', () => {
  const key = 'from';

  test('an image', () => {
    expect(found({ key, value: 'image' }, web('{from: nginx}'))).toEqual([
      'docker.io/library/nginx:latest',
    ]);
    expect(found({ key, value: 'image' }, web('{from: "oci://a.io/b:1"}'))).toEqual(['a.io/b:1']);
    expect(found({ key, value: 'image' }, web('{from: "a.io/b:$(TAG)"}'))).toEqual([
      'a.io/b:$(TAG)!',
    ]);
    expect(found({ key, value: 'image' }, web('{from: "a b"}'))).toEqual(['a b!']);
  });

  test('nothing, or what is had from elsewhere', () => {
    for (const value of ['""', 'null', '"https://a.io/b"', '"git@a.io:b/c"', '{}', '[]']) {
      expect(found({ key, value: 'image' }, web(`{from: ${value}}`))).toEqual([]);
    }
  });

  test('a list of images, some of which are mappings, some for others', () => {
    const list = '[nginx, {repository: a.io/b, tag: "1"}, web=a.io/c:2, [a.io/d]]';
    expect(found({ key, value: 'image' }, web(`{from: ${list}}`))).toEqual([
      'docker.io/library/nginx:latest',
      'a.io/b:1',
      'a.io/c:2',
      'a.io/d:latest',
    ]);
  });

  test('a list of images behind an alias, and what else reads it', () => {
    const text = `x: &x [a.io/b]\ny: *x\n${web('{from: *x}')}`;
    expect(found({ key, value: 'image' }, text)).toEqual(['a.io/b:latest']);
  });

  test('more than an image in a mapping', () => {
    const text = web('{from: {sidecar: {image: a.io/b:1}, other: "a.io/c:1"}}');
    expect(found({ key, value: 'image' }, text)).toEqual(['a.io/b:1', 'a.io/c:1?']);
  });

  test('images perhaps', () => {
    const rule: SearchRule = { path: 'spec', value: 'suspect' };
    const text = web('{containers: [{image: nginx}, {image: "a:{{ .x }}"}, {image: "a b"}]}');
    expect(found(rule, text)).toEqual(['docker.io/library/nginx:latest?', 'a:{{ .x }}?', 'a b?']);
  });

  test('a document in a text', () => {
    const rule: SearchRule = { key, value: 'yaml' };
    const text = web('{from: "image: a.io/b:1\\n---\\nx: {image: {repository: a.io/c, tag: 2}}"}');
    expect(found(rule, text)).toEqual(['a.io/b:1', 'a.io/c:2']);
    expect(found(rule, web('{from: "image: ["}'))).toEqual([
      expect.stringMatching(/^not YAML: .*!$/),
    ]);
    expect(found(rule, web('{from: the image}'))).toEqual(['neither a mapping nor a sequence!']);
    expect(found(rule, web('{from: ""}'))).toEqual([]);
    expect(found(rule, web('{from: {image: a.io/b:1}}'))).toEqual(['a.io/b:1']);
  });

  test('no image', () => {
    const rule: SearchRule = { path: 'spec', value: 'none' };
    expect(found(rule, web('{image: a.io/b:1, containers: [{image: a.io/c:1}]}'))).toEqual([]);
  });

  test('a mapping with names of its own', () => {
    const value = { registry: 'host', repository: 'ref.name', tag: 'ref.version', digest: 'sha' };
    const rule: SearchRule = { path: 'spec', value };
    const digest = '1a'.repeat(32);
    expect(found(rule, web('{host: a.io, ref: {name: b, version: "1.10"}}'))).toEqual([
      'a.io/b:1.10',
    ]);
    expect(found(rule, web(`{ref: {name: a.io/b}, sha: ${digest}}`))).toEqual([
      `a.io/b@sha256:${digest}`,
    ]);
    expect(found(rule, web(`{ref: {name: a.io/b, version: "sha256:${digest}"}}`))).toEqual([
      `a.io/b@sha256:${digest}`,
    ]);
    expect(found(rule, web('{ref: {name: a.io/b}}'))).toEqual(['a.io/b?']);
    expect(found(rule, web('{ref: {version: "1"}}'))).toEqual([]);
  });

  test('a mapping that has one of several names', () => {
    const value = { repository: ['newName', 'name'], tag: ['newTag', 'version'] };
    const rule: SearchRule = { path: 'spec.images', value };
    const images =
      '[{name: a.io/a, newTag: "1"}, {name: x, newName: a.io/b, version: "2"}, {name: y}]';
    expect(found(rule, web(`{images: ${images}}`))).toEqual(['a.io/a:1', 'a.io/b:2']);
  });

  test('a mapping whose entries are nothing else, with more beside', () => {
    const value = { registry: 'repository', repository: 'image', tag: 'version' };
    const text = web('{repository: a.io/x, image: b, version: "1", sidecar: {image: a.io/c:1}}');
    expect(found({ path: 'spec', value }, text)).toEqual(['a.io/x/b:1', 'a.io/c:1']);
  });
});

describe('of several rules', () => {
  test('the first one says what is there', () => {
    const rules: SearchRule[] = [
      { path: 'spec.a.from', value: 'none' },
      { key: 'from', value: 'image' },
    ];
    expect(found(rules, web('{a: {from: a.io/a}, b: {from: a.io/b}}'))).toEqual(['a.io/b:latest']);
  });

  test('those of the configuration go before what is known', () => {
    const policy = `apiVersion: kyverno.io/v1
kind: ClusterPolicy
spec: {rules: [{validate: {pattern: {spec: {containers: [{image: "a.io/b:1"}]}}}}]}`;
    expect(found([], policy)).toEqual([]);
    expect(
      found({ group: 'kyverno.io', path: 'spec.rules.validate', value: 'suspect' }, policy),
    ).toEqual(['a.io/b:1?']);
  });

  test('none changes what the image of a container is, unless that is none', () => {
    const text = web('{containers: [{image: a.io/b}]}');
    expect(found({ key: 'image', value: 'yaml' }, text)).toEqual(['a.io/b:latest']);
    expect(found({ key: 'image', value: 'none' }, text)).toEqual([]);
  });
});

describe('a quick look passes over no document that a rule finds something in', () => {
  test.each<[SearchRule, string]>([
    [{ key: 'from', value: 'image' }, web('{from: nginx}')],
    [{ path: 'spec.*', value: 'image' }, web('{from: nginx}')],
    [{ path: 'spec.**', value: 'image' }, web('{a: {from: nginx}}')],
    [{ path: '**', value: 'image' }, 'from: nginx'],
    [{ group: 'example.com', path: '*.*', value: 'image' }, web('{from: nginx}')],
    [{ group: '*', kind: 'Web', key: 'from', value: 'image' }, web('{from: nginx}')],
    [{ path: 'spec', value: { repository: 'name', tag: 'version' } }, web('{name: a, version: b}')],
    [{ key: 'from', value: { repository: 'a.b', tag: 'c' } }, web('{from: {a: {b: x}, c: y}}')],
    [{ path: '**', value: { repository: ['x', 'name'], tag: 'c' } }, 'a: {name: x, c: y}'],
    [{ key: 'from', value: 'image' }, web('{"fr\\x6fm": nginx}')],
    [{ key: 'from', value: 'image' }, web('{"fr\\\n  om": nginx}')],
  ])('%j', (rule, text) => {
    expect(searchRules([rule]).mayMention(text)).toBe(true);
    expect(found(rule, text)).not.toEqual([]);
  });

  test('and over most others', () => {
    const text = `apiVersion: v1
kind: Service
metadata:
  name: web
  labels: {app.kubernetes.io/name: web, helm.sh/chart: web-1.0.0}
spec: {ports: [{port: 80, targetPort: http}], selector: {app.kubernetes.io/name: web}}`;
    expect(searchRules().mayMention(text)).toBe(false);
  });
});
