import { execFileSync } from 'node:child_process';
import { createContext, type Event, parsePlatform } from '@cluster-image/oci';
import { describe, expect, test } from 'vitest';
import {
  driftOf,
  lockCommand,
  originText,
  requirePinned,
  requireResolved,
  requireUsed,
  tellSuspects,
} from '../../src/lock/check.ts';
import { type Lockfile, parseLockfile } from '../../src/lock/lockfile.ts';
import { discoveryOf } from '../upstream.ts';

const digest = `sha256:${'1'.repeat(64)}`;
const pin = (...platforms: readonly string[]): object => ({
  digest,
  mediaType: 'x',
  size: 1,
  manifests: Object.fromEntries(platforms.map((platform) => [platform, { digest, size: 1 }])),
});

function lockfileOf(images: Readonly<Record<string, object>>, bases = {}): Lockfile {
  const platforms = ['linux/amd64'];
  return parseLockfile(JSON.stringify({ lockfileVersion: 1, platforms, images, bases }));
}

const amd64 = [parsePlatform('linux/amd64')];

function missing(
  lockfile: Lockfile | undefined,
  discovery = discoveryOf(['a.io/b:1']),
  platforms = amd64,
): readonly (readonly [string, string])[] {
  const drift = driftOf(discovery, lockfile, platforms);
  return drift.missing.map(({ image, why }) => [image.reference, why]);
}

describe('L03: a pin fits', () => {
  test('for the platforms it has', () => {
    const lockfile = lockfileOf({ 'a.io/b:1': pin('linux/amd64', 'linux/arm64') });
    expect(missing(lockfile)).toEqual([]);
    const more = ['linux/amd64', 'linux/s390x', 'linux/arm/v7'].map(parsePlatform);
    expect(missing(lockfile, discoveryOf(['a.io/b:1']), more)).toEqual([
      ['a.io/b:1', 'not pinned for linux/s390x, linux/arm'],
    ]);
  });

  test('where it is for the same archive under the same name', () => {
    const archived = { reference: 'a.io/b:1', archive: 'docker-archive:b.tar' };
    const named = { ...archived, repository: 'c' };
    const [plain, other, same] = [
      pin('linux/amd64'),
      { archive: 'docker-archive:c.tar' },
      archived,
    ];
    const ofArchive = (rest: object) => lockfileOf({ 'a.io/b:1': { ...plain, ...rest } });
    expect(missing(ofArchive({}), discoveryOf([archived]))[0]?.[1]).toBe(
      'pinned out of a registry',
    );
    expect(missing(ofArchive(other), discoveryOf([archived]))[0]?.[1]).toBe(
      'pinned out of docker-archive:c.tar',
    );
    expect(missing(ofArchive(other))[0]?.[1]).toBe('pinned out of docker-archive:c.tar');
    const { reference: _, ...rest } = same;
    expect(missing(ofArchive(rest), discoveryOf([archived]))).toEqual([]);
    expect(missing(ofArchive(rest), discoveryOf([named]))[0]?.[1]).toBe(
      'pinned under another name',
    );
  });

  test('in its own section', () => {
    const lockfile = lockfileOf({}, { 'a.io/b:1': pin('linux/amd64') });
    expect(missing(lockfile)).toEqual([['a.io/b:1', '']]);
    expect(missing(lockfile, discoveryOf([], ['a.io/b:1']))).toEqual([]);
    expect(driftOf(discoveryOf(['a.io/b:1']), lockfile, amd64).unused).toEqual(['a.io/b:1']);
  });

  test('not at all without a lockfile', () => {
    expect(missing(undefined)).toEqual([['a.io/b:1', '']]);
    expect(driftOf(discoveryOf([]), undefined, amd64)).toEqual({ missing: [], unused: [] });
  });
});

describe('an error of drift', () => {
  test('names each reference, where it is, what is wrong, and the command that mends it', () => {
    const discovery = {
      ...discoveryOf(['a.io/b:1', 'a.io/c:1'], ['a.io/base:1']),
    };
    const lockfile = lockfileOf({ 'a.io/c:1': pin('linux/arm64') });
    const drift = driftOf(discovery, lockfile, amd64);
    expect(() => requirePinned(drift, 'cluster-image lock ctx')).toThrow(
      expect.objectContaining({
        code: 'LOCK_DRIFT',
        message: `cluster-image.lock.json does not pin 3 of the context's images:
  a.io/b:1  (manifests/all.yaml:1)
  a.io/c:1  (manifests/all.yaml:2; not pinned for linux/amd64)
  a.io/base:1  (Kubefile:1)`,
        hint: 'Run `cluster-image lock ctx` and commit the lockfile.',
      }),
    );
    expect(() => requirePinned({ missing: [], unused: ['x'] }, '')).not.toThrow();
  });

  test('names what is pinned for nothing', () => {
    expect(() => requireUsed({ missing: [], unused: ['a.io/b:1', 'a.io/c:1'] }, 'x')).toThrow(
      expect.objectContaining({
        code: 'LOCK_DRIFT',
        message:
          'cluster-image.lock.json pins what nothing refers to any more:\n  a.io/b:1\n  a.io/c:1',
      }),
    );
    expect(() => requireUsed({ missing: [], unused: [] }, '')).not.toThrow();
  });

  test('has the command as it was asked for', () => {
    expect(lockCommand({ context: '.', platform: [] })).toBe('cluster-image lock .');
    expect(lockCommand({ context: 'a/b', file: 'c', platform: ['x/y', 'z/w'] })).toBe(
      'cluster-image lock a/b --file c --platform x/y --platform z/w',
    );
  });

  test('has it as a shell takes it, with the values of ARG', () => {
    const words = ["it's mine", '$HOME', '-x', 'A=1', 'B=two words;', 'C='];
    const [context = '', file, platform = '', ...buildArg] = words;
    const command = lockCommand({ context, file, platform: [platform], buildArg });
    const script = command.replace('cluster-image lock', "printf '%s\\n'");
    const read = execFileSync('sh', ['-c', script], { encoding: 'utf8' }).trimEnd().split('\n');
    expect(read.filter((word) => !word.startsWith('--'))).toEqual(words);
    expect(command).toContain('--build-arg A=1 --build-arg');
  });

  test('comes after what cannot be resolved, which names its place', () => {
    const origin = { file: 'f.yaml', line: 3, via: 'helm template charts/web' };
    const unresolved = [
      { text: 'a:{{ .x }}', reason: 'a template that is not filled in', origin },
      { text: '', reason: 'not YAML', origin: { file: 'g.yaml' } },
    ];
    expect(() => requireResolved({ ...discoveryOf([]), unresolved })).toThrow(
      expect.objectContaining({
        code: 'INPUT_INVALID',
        message: `2 image references cannot be resolved:
  f.yaml:3, helm template charts/web: a:{{ .x }}: a template that is not filled in
  g.yaml: not YAML`,
        hint: expect.stringContaining('cluster-image.json'),
      }),
    );
    expect(() => requireResolved(discoveryOf(['a.io/b:1']))).not.toThrow();
  });

  test.each([
    [undefined, 'unknown'],
    [{ file: 'a' }, 'a'],
    [{ file: 'a', line: 2 }, 'a:2'],
    [{ file: 'a', line: 2, via: 'FROM' }, 'a:2'],
    [{ file: 'a', via: 'helm template a' }, 'a, helm template a'],
  ])('tells the place %j', (origin, text) => {
    expect(originText(origin)).toBe(text);
  });
});

describe('what looks like an image', () => {
  const suspects = ['quay.io/a/b:v1', 'quay.io/a/c:v1'].map((text, at) => ({
    text,
    reason: 'in args',
    origins: [{ file: 'manifests/a.yaml', line: at + 3 }],
  }));
  const discovery = { ...discoveryOf([]), suspects };

  function told(given: typeof discovery, settings = {}): readonly Event[] {
    const events: Event[] = [];
    tellSuspects(given, settings, createContext({ report: (event) => void events.push(event) }));
    return events;
  }

  test('is a warning that names it and says what to do', () => {
    expect(told(discovery)).toEqual([
      {
        type: 'warning',
        message:
          '2 texts look like an image and nobody has said whether to pack it: quay.io/a/b:v1 and 1 more',
        hint: 'Name them under accept or ignore in cluster-image.json. `cluster-image discover` lists them',
      },
    ]);
    expect(told({ ...discovery, suspects: [] })).toEqual([]);
  });

  test('is an error that names all of it where that has to be decided', () => {
    expect(() => told(discovery, { strict: true })).toThrow(
      expect.objectContaining({
        code: 'INPUT_INVALID',
        message: `2 texts look like an image and nobody has said whether to pack it:
  quay.io/a/b:v1  (manifests/a.yaml:3, in args)
  quay.io/a/c:v1  (manifests/a.yaml:4, in args)`,
      }),
    );
    expect(told({ ...discovery, suspects: [] }, { strict: true })).toEqual([]);
  });
});
