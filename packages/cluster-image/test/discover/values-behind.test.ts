import { describe, expect, test } from 'vitest';
import { readValues, scalarsIn } from '../../src/discover/values.ts';
import { valuesBehind } from '../../src/discover/values-behind.ts';

/** Keys of the values behind a text, where the template mentions values that begin so. */
function keys(text: string, yaml: string, mentions = '', appVersion = ''): readonly string[] {
  const at = (line: number) => ({ file: 'values.yaml', line });
  const own = scalarsIn(readValues(`appVersion: "${appVersion}"`, at))[0]?.scalar;
  const found = valuesBehind(text, {
    all: scalarsIn(readValues(yaml, at)),
    isMentioned: ({ path }) => mentions !== '' && path.join('.').startsWith(mentions),
    ...(own && { appVersion: own }),
  });
  return found.map(({ key }) => key);
}

const app = 'docker.io/acme/app:1';

describe('the values behind an image', () => {
  test.each([
    ['all of it', app, 'image: acme/app:1', ['image']],
    [
      'a repository and its tag',
      app,
      'image: {repository: acme/app, tag: 1}',
      ['image.repository', 'image.tag'],
    ],
    [
      'the host beside',
      'quay.io/acme/app:1',
      'a: {registry: quay.io, repository: acme/app, tag: "1"}',
      ['a.registry', 'a.repository', 'a.tag'],
    ],
    [
      'a host with a slash',
      'quay.io/acme/app:1',
      'a: {registry: quay.io/, repository: acme/app, tag: 1}',
      ['a.registry', 'a.repository', 'a.tag'],
    ],
    [
      'a name in two',
      'quay.io/acme/app:1',
      'a: {repository: quay.io/acme, name: app, tag: 1}',
      ['a.repository', 'a.name', 'a.tag'],
    ],
    [
      'a short name of the hub',
      'docker.io/library/nginx:1',
      'image: {repository: nginx, tag: 1}',
      ['image.repository', 'image.tag'],
    ],
    [
      'a digest',
      `docker.io/acme/app@sha256:${'a'.repeat(64)}`,
      `image: {repository: acme/app, digest: "sha256:${'a'.repeat(64)}"}`,
      ['image.repository', 'image.digest'],
    ],
    ['what is in a list', app, 'list: [{image: b}, {image: "acme/app:1"}]', ['list[1].image']],
  ])('may be %s', (_, text, yaml, expected) => {
    expect(keys(text, yaml)).toEqual(expected);
  });

  test('are those of all places where several could be meant, unless the template mentions one', () => {
    const yaml =
      'a: {repository: acme/app, tag: 1}\nb: {repository: acme/app, tag: 1}\nc: {repository: acme/app, tag: 2}\n';
    expect(keys(app, yaml)).toEqual(['a.repository', 'a.tag', 'b.repository', 'b.tag']);
    expect(keys(app, yaml, 'b')).toEqual(['b.repository', 'b.tag']);
  });

  test('may have a tag that is elsewhere: of several images, or of the chart', () => {
    expect(keys(app, 'image: {repository: acme/app}\nglobal: {tag: 1}\n')).toEqual([
      'image.repository',
      'global.tag',
    ]);
    expect(keys('docker.io/acme/app:v1.2', 'repository: acme/app\n', '', '1.2')).toEqual([
      'repository',
      'appVersion',
    ]);
    expect(keys('docker.io/acme/app:1.2-alpine', 'repository: acme/app\n', '', '1.2')).toEqual([
      'repository',
      'appVersion',
    ]);
    expect(keys('docker.io/acme/app:1.25', 'repository: acme/app\n', '', '1.2')).toEqual([
      'repository',
    ]);
  });

  test('are no words that only happen to be there', () => {
    expect(keys('docker.io/library/nginx:1', 'service: {name: nginx}\nreplicas: 1\n')).toEqual([]);
    expect(keys('quay.io/app/app:1', 'app: {name: app}\n')).toEqual([]);
    expect(keys(app, 'image: {repository: acme/other, tag: 1}\n')).toEqual([]);
  });

  test('of a text that is no reference are those that say it', () => {
    expect(keys('###IMAGE###', 'image: "###IMAGE###"\nother: x\n')).toEqual(['image']);
  });
});
