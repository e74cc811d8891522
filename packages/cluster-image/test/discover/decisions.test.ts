import { describe, expect, test } from 'vitest';
import { decisions } from '../../src/discover/decisions.ts';
import type { Findings } from '../../src/discover/discovery.ts';
import type { DiscoverSettings } from '../../src/discover/settings.ts';

const origin = { file: 'manifests/a.yaml', line: 1 };
const test2 = { file: 'manifests/tests/b.yaml', line: 2 };

const found: Findings = {
  images: [
    { reference: 'docker.io/library/nginx:1.27', origins: [origin, test2] },
    { reference: 'docker.io/acme/tests:1', origins: [test2] },
    { reference: 'quay.io/a/b:v1', origins: [origin] },
  ],
  suspects: [
    { text: 'ghcr.io/a/sidecar:1', reason: 'an argument', origins: [origin] },
    { text: 'ghcr.io/a/sidecar:1', reason: 'variable X', origins: [test2] },
    { text: 'driver', reason: 'vague', origins: [origin] },
    { text: '{{ .ProxyImage }}', reason: 'the text config', origins: [origin] },
  ],
  unresolved: [{ text: 'a.io/b:{{ .tag }}', reason: 'a template', origin }],
};

function decide(settings: DiscoverSettings, listed: readonly string[] = []) {
  const { images, suspects, unresolved } = decisions(settings, listed)(found);
  return {
    images: images.map(({ reference }) => reference),
    suspects: suspects.map(({ text }) => text),
    unresolved: unresolved.map(({ text }) => text),
  };
}

const before = decide({});

test('without a decision all stays as it is', () => {
  expect(before).toEqual({
    images: ['docker.io/acme/tests:1', 'docker.io/library/nginx:1.27', 'quay.io/a/b:v1'],
    suspects: ['driver', 'ghcr.io/a/sidecar:1', 'ghcr.io/a/sidecar:1', '{{ .ProxyImage }}'],
    unresolved: ['a.io/b:{{ .tag }}'],
  });
});

describe('accept', () => {
  test.each(['ghcr.io/a/sidecar:1', 'ghcr.io/a/*', 'ghcr.io/**', '**/sidecar:*'])(
    'makes an image of a suspect as %s has it, with all of its origins',
    (pattern) => {
      const { images, suspects } = decisions({ accept: [pattern] }, [])(found);
      expect(images).toContainEqual({
        reference: 'ghcr.io/a/sidecar:1',
        origins: [origin, test2],
      });
      expect(suspects.map(({ text }) => text)).toEqual(['driver', '{{ .ProxyImage }}']);
    },
  );

  test.each(['driver', 'driver:latest', 'docker.io/library/driver:*'])(
    'makes an image of a word, as %s has it',
    (pattern) => {
      expect(decide({ accept: [pattern] }).images).toContain('docker.io/library/driver:latest');
    },
  );

  test('leaves what is no reference a suspect, whatever the pattern', () => {
    expect(decide({ accept: ['**'] }).suspects).toEqual(['{{ .ProxyImage }}']);
  });

  test('says nothing of what cannot be resolved', () => {
    expect(decide({ accept: ['**'] }).unresolved).toEqual(before.unresolved);
  });
});

describe('ignore', () => {
  test.each([
    ['nginx:*', ['docker.io/acme/tests:1', 'quay.io/a/b:v1']],
    ['nginx:1.27', ['docker.io/acme/tests:1', 'quay.io/a/b:v1']],
    ['docker.io/library/*', ['docker.io/acme/tests:1', 'quay.io/a/b:v1']],
    ['acme/*', ['docker.io/library/nginx:1.27', 'quay.io/a/b:v1']],
    ['nginx', before.images],
    ['quay.io/*', before.images],
    ['quay.io/**', ['docker.io/acme/tests:1', 'docker.io/library/nginx:1.27']],
  ])('leaves out the images that %s stands for', (pattern, images) => {
    expect(decide({ ignore: [pattern] }).images).toEqual(images);
  });

  test('leaves out what is in files and nowhere else', () => {
    expect(decide({ ignore: ['manifests/tests/**'] })).toEqual({
      images: ['docker.io/library/nginx:1.27', 'quay.io/a/b:v1'],
      suspects: ['driver', 'ghcr.io/a/sidecar:1', '{{ .ProxyImage }}'],
      unresolved: before.unresolved,
    });
    expect(decide({ ignore: ['manifests/**'] })).toEqual({
      images: [],
      suspects: [],
      unresolved: [],
    });
  });

  test('settles suspects and what is unresolved, by their texts', () => {
    const ignore = ['ghcr.io/**', 'driver', '{{*', 'a.io/b:{{ .tag }}'];
    expect(decide({ ignore })).toEqual({ ...before, suspects: [], unresolved: [] });
  });

  test('leaves out no archive, which is there', () => {
    const archive = 'docker-archive:images/skopeo/a.tar';
    const images = [{ reference: 'docker.io/acme/app:1', archive, origins: [origin] }];
    const decided = decisions({ ignore: ['**'] }, [])({ ...found, images });
    expect(decided.images.map(({ archive }) => archive)).toEqual([archive]);
  });
});

describe('resolve', () => {
  test('says what a text stands for, be it unresolved or a suspect', () => {
    const resolve = {
      'a.io/b:{{ .tag }}': ['a.io/b:1', 'a.io/b:2'],
      '{{ .ProxyImage }}': 'istio/proxyv2',
    };
    const { images, suspects, unresolved } = decide({ resolve });
    expect(images.filter((reference) => !before.images.includes(reference))).toEqual([
      'a.io/b:1',
      'a.io/b:2',
      'docker.io/istio/proxyv2:latest',
    ]);
    expect(suspects).not.toContain('{{ .ProxyImage }}');
    expect(unresolved).toEqual([]);
  });

  test('may say that a text stands for nothing', () => {
    expect(decide({ resolve: { 'a.io/b:{{ .tag }}': [] } })).toEqual({ ...before, unresolved: [] });
  });

  test('does not look beyond itself', () => {
    const unresolved = [{ text: 'constructor', reason: 'x', origin }];
    expect(decisions({ resolve: {} }, [])({ ...found, unresolved }).unresolved).toEqual(unresolved);
  });

  test('with what is no reference is an error that names the entry', () => {
    expect(() => decide({ resolve: { 'a.io/b:{{ .tag }}': 'a b' } })).toThrow(
      expect.objectContaining({
        code: 'INPUT_INVALID',
        message: 'cluster-image.json: resolve."a.io/b:{{ .tag }}": "a b" is not an image reference',
      }),
    );
  });
});

describe('.sealignore', () => {
  test('lists references in any spelling, texts and files, none of them patterns', () => {
    const listed = ['nginx:1.27', 'driver', 'a.io/b:{{ .tag }}', 'quay.io/**'];
    expect(decide({}, listed)).toEqual({
      images: ['docker.io/acme/tests:1', 'quay.io/a/b:v1'],
      suspects: ['ghcr.io/a/sidecar:1', 'ghcr.io/a/sidecar:1', '{{ .ProxyImage }}'],
      unresolved: [],
    });
  });

  test('a file it lists has nothing to decide, and its images stay', () => {
    expect(decide({}, ['manifests/a.yaml'])).toEqual({
      images: before.images,
      suspects: ['ghcr.io/a/sidecar:1'],
      unresolved: [],
    });
  });
});
