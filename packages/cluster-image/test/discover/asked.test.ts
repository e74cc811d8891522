import { describe, expect, test } from 'vitest';
import { asked } from '../../src/discover/asked.ts';
import type { Discovery } from '../../src/discover/discovery.ts';
import { failureOf } from '../failure.ts';

const origin = { file: 'manifests/a.yaml' };
const found: Discovery = {
  images: [
    'a.io/team/web:2',
    'docker.io/library/nginx:1.27',
    'quay.io/x/db:1',
    'quay.io/x/db:2',
  ].map((reference) => ({ reference, origins: [origin] })),
  bases: [{ reference: 'a.io/base:1', origins: [origin] }],
  suspects: [
    { text: 'docker.io/acme/sidecar:3', reason: 'in args', origins: [origin] },
    { text: 'quay.io/x/db:1', reason: 'in args', origins: [origin] },
    { text: '', reason: 'a container without image', origins: [origin] },
  ],
  unresolved: [{ text: '{{ .registry }}/web', reason: 'a template', origin }],
};

/** What is told of a text, in order. */
function told(text: string): readonly string[] {
  const { images, bases, suspects, unresolved } = asked(text, found);
  return [
    ...[...images, ...bases].map(({ reference }) => reference),
    ...[...suspects, ...unresolved].map(({ text }) => text),
  ];
}

describe('an image is asked for', () => {
  test.each([
    ['docker.io/library/nginx:1.27', ['docker.io/library/nginx:1.27']],
    ['nginx:1.27', ['docker.io/library/nginx:1.27']],
    ['nginx', ['docker.io/library/nginx:1.27']],
    ['index.docker.io/nginx', ['docker.io/library/nginx:1.27']],
    ['a.io/base', ['a.io/base:1']],
    ['acme/sidecar:3', ['docker.io/acme/sidecar:3']],
    ['web', ['a.io/team/web:2']],
    ['team/web:2', ['a.io/team/web:2']],
    ['quay.io/x/db:1', ['quay.io/x/db:1', 'quay.io/x/db:1']],
    ['{{ .registry }}/web', ['{{ .registry }}/web']],
  ])('by %s', (text, expected) => {
    expect(told(text)).toEqual(expected);
  });

  test('in full where several have the name', async () => {
    const error = await failureOf((async () => asked('db', found))());
    expect([error.code, error.message]).toEqual([
      'USAGE',
      'db may be any of quay.io/x/db:1, quay.io/x/db:2',
    ]);
  });

  test.each([
    ['a.io/team/web:3', '; a.io/team/web:2 is meant, perhaps'],
    ['db:3', ''],
    ['quay.io/x/db:3', '; quay.io/x/db:1 or quay.io/x/db:2 is meant, perhaps'],
    ['ngnix', ''],
    ['docker.io/library/ngnix:1.27', '; docker.io/library/nginx:1.27 is meant, perhaps'],
    ['eb', ''],
    ['A b', ''],
    ['', ''],
  ])('and is not there: %s', async (text, perhaps) => {
    const error = await failureOf((async () => asked(text, found))());
    expect([error.code, error.message]).toEqual([
      'NOT_FOUND',
      `the context does not refer to ${text}${perhaps}`,
    ]);
    expect(error.hint).toContain('cluster-image discover');
  });
});
