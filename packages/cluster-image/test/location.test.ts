import { codeOf } from '@cluster-image/oci';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatLocation, parseLocation, parseTarget, referenceIn } from '../src/location.ts';

const digest = `sha256:${'a'.repeat(64)}` as const;
const app = { host: 'docker.io', repository: 'library/app', tag: 'latest' };

function thrownBy(work: () => unknown): Error {
  try {
    work();
  } catch (error) {
    if (error instanceof Error) return error;
  }
  throw new Error('nothing was thrown');
}

describe('a location is read', () => {
  test.each([
    ['app', { kind: 'store', reference: app }],
    ['app:1', { kind: 'store', reference: { ...app, tag: '1' } }],
    ['docker://app', { kind: 'docker', reference: app }],
    [
      'docker://127.0.0.1:5000/a/b:1',
      { kind: 'docker', reference: { host: '127.0.0.1:5000', repository: 'a/b', tag: '1' } },
    ],
    [
      `docker://a.io/b@${digest}`,
      { kind: 'docker', reference: { host: 'a.io', repository: 'b', digest } },
    ],
    // A host and its port, not a transport and its path.
    [
      'localhost:5000/b',
      { kind: 'store', reference: { host: 'localhost:5000', repository: 'b', tag: 'latest' } },
    ],
    [
      'localhost:5000',
      { kind: 'store', reference: { ...app, repository: 'library/localhost', tag: '5000' } },
    ],
    [
      'registry:5000/b',
      { kind: 'store', reference: { host: 'registry:5000', repository: 'b', tag: 'latest' } },
    ],
    [
      `docker://app@${digest}`,
      { kind: 'docker', reference: { host: 'docker.io', repository: 'library/app', digest } },
    ],
    ['oci:dir', { kind: 'oci', path: 'dir' }],
    ['oci:/a/b dir', { kind: 'oci', path: '/a/b dir' }],
    ['oci:dir:1', { kind: 'oci', path: 'dir', name: '1' }],
    [`oci:dir:${digest}`, { kind: 'oci', path: 'dir', name: digest }],
    ['oci-archive:x.tar', { kind: 'oci-archive', path: 'x.tar' }],
    [
      'docker-archive:x.tar:a.io:5000/b:1',
      { kind: 'docker-archive', path: 'x.tar', name: 'a.io:5000/b:1' },
    ],
    ['docker-archive:x.tar:app', { kind: 'docker-archive', path: 'x.tar', name: 'app:latest' }],
    ['docker-archive:x.tar:b.io/c', { kind: 'docker-archive', path: 'x.tar', name: 'b.io/c' }],
    ['oci-archive:x.tar:app', { kind: 'oci-archive', path: 'x.tar', name: 'app' }],
    [`docker-archive:x:${digest}`, { kind: 'docker-archive', path: 'x', name: digest }],
    ['docker-daemon:app', { kind: 'docker-daemon', reference: app }],
    [`docker-daemon:${digest}`, { kind: 'docker-daemon', id: digest }],
    [
      `docker-daemon:a.io:5000/b@${digest}`,
      { kind: 'docker-daemon', reference: { host: 'a.io:5000', repository: 'b', digest } },
    ],
    [
      'containers-storage:localhost/app:1',
      {
        kind: 'containers-storage',
        reference: { host: 'localhost', repository: 'app', tag: '1' },
      },
    ],
    ['registry:dir', { kind: 'registry', path: 'dir' }],
    ['registry:/a:b', { kind: 'registry', path: '/a:b' }],
  ])('%s', (text, location) => {
    expect(parseLocation(text)).toEqual(location);
  });

  test.each([
    '',
    ' ',
    'docker:',
    'docker:app',
    'docker:/app',
    'docker://',
    'docker:///app',
    'docker://a.io/B',
    'oci:',
    'oci::1',
    'oci:dir:',
    'oci-archive:',
    'docker-archive:',
    'registry:',
    'docker-daemon:',
    'docker-daemon:A',
    'containers-storage:',
    'containers-storage:[vfs@/root]app',
    `containers-storage:${digest.slice(7)}`,
    'https://a.io/b',
    'A/B',
    '../b',
    'a b',
    'a\u001b[2J',
    `app@${digest.slice(0, -1)}`,
    'a'.repeat(64),
  ])('%j is none', (text) => {
    const error = thrownBy(() => parseLocation(text));
    expect(codeOf(error)).toBe('USAGE');
    expect(error).toHaveProperty('hint', expect.stringContaining('docker://'));
  });

  test('and a password in it is repeated nowhere', () => {
    for (const text of [
      'docker://me:canary@a.io/b:1',
      'docker://canary@a.io',
      'https://canary@a.io',
    ]) {
      const error = thrownBy(() => parseLocation(text));
      expect(codeOf(error)).toBe('USAGE');
      expect(`${error.message} ${error.stack}`).not.toContain('canary');
    }
  });

  test('and is what it was when it is written again', () => {
    const path = fc.stringMatching(/^[A-Za-z0-9_./ -]+$/);
    const reference = fc
      .tuple(
        fc.constantFrom('', 'a.io/', 'localhost/', '127.0.0.1:5000/', '[::1]:5000/'),
        fc.stringMatching(/^[a-z0-9]+(\/[a-z0-9]+){0,2}$/),
        fc.constantFrom('', ':1', ':v1.0_x', `@${digest}`, `:1@${digest}`),
      )
      .map((parts) => parts.join(''));
    const location = fc.oneof(
      reference,
      reference.map((name) => `docker://${name}`),
      reference.map((name) => `docker-daemon:${name}`),
      reference.map((name) => `containers-storage:${name}`),
      fc
        .tuple(fc.constantFrom('oci', 'oci-archive', 'docker-archive'), path)
        .map((all) => all.join(':')),
      fc
        .tuple(fc.constantFrom('oci', 'oci-archive', 'docker-archive'), path, reference)
        .map((all) => all.join(':')),
      path.map((each) => `registry:${each}`),
    );
    fc.assert(
      fc.property(location, (text) => {
        fc.pre(!/^(?:oci|docker|registry)[a-z-]*:\d+\//.test(text));
        fc.pre(!/^(?:[^/]*\/)?[0-9a-f]{64}/.test(text));
        const read = parseLocation(text);
        expect(parseLocation(formatLocation(read))).toEqual(read);
      }),
    );
  });
});

describe('a target', () => {
  test.each([
    'app',
    'docker://a.io/b:1',
    'oci:dir',
    'oci:dir:1',
    'oci-archive:x.tar:a.io/b',
    'docker-archive:x.tar:b:1',
    'docker-daemon:app',
    'containers-storage:localhost/app:1',
  ])('can be %s', (text) => {
    expect(parseTarget(text)).toEqual(parseLocation(text));
  });

  test.each([
    'registry:dir',
    `app@${digest}`,
    `docker://app:1@${digest}`,
    'oci:dir:a b',
    'oci:dir:-x',
    `oci:dir:${digest}`,
    `docker-archive:x:app@${digest}`,
    `docker-daemon:app@${digest}`,
    `docker-daemon:${digest}`,
    `containers-storage:app@${digest}`,
  ])('cannot be %s', (text) => {
    expect(codeOf(thrownBy(() => parseTarget(text)))).toBe('USAGE');
  });
});

describe('a name in a layout', () => {
  test.each(['1', 'latest', digest, 'a b', 'A/b c', '', '@'])('%j is no reference', (name) => {
    expect(referenceIn(name)).toBeUndefined();
  });

  test('may be one', () => {
    expect(referenceIn('app:1')).toEqual({ ...app, tag: '1' });
  });
});
