import { parsePlatform } from '@cluster-image/oci';
import { directory } from '@cluster-image/storage';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  cutDown,
  formatLockfile,
  type Lockfile,
  lockfileName,
  parseLockfile,
  pinsOf,
  readLockfile,
} from '../../src/lock/lockfile.ts';
import { contextDirectory } from '../context.ts';
import { failureOf } from '../failure.ts';
import { discoveryOf } from '../upstream.ts';

const hex = (seed: number): string => seed.toString(16).padStart(64, '0');

const pin = (seed: number, ...platforms: readonly string[]) => ({
  digest: `sha256:${hex(seed)}`,
  mediaType: 'application/vnd.oci.image.index.v1+json',
  size: seed + 1,
  manifests: Object.fromEntries(
    platforms.map((platform, at) => [platform, { digest: `sha256:${hex(seed + at)}`, size: 7 }]),
  ),
});

const golden = `{
  "lockfileVersion": 1,
  "platforms": [
    "linux/amd64",
    "linux/arm64"
  ],
  "images": {
    "docker.io/acme/app:1": {
      "archive": "docker-archive:images/skopeo/app.tar",
      "repository": "app",
      "digest": "sha256:${hex(2)}",
      "mediaType": "application/vnd.oci.image.index.v1+json",
      "size": 3,
      "manifests": {
        "linux/amd64": {
          "digest": "sha256:${hex(2)}",
          "size": 7
        }
      }
    },
    "quay.io/a/b:v1": {
      "digest": "sha256:${hex(1)}",
      "mediaType": "application/vnd.oci.image.index.v1+json",
      "size": 2,
      "manifests": {
        "linux/amd64": {
          "digest": "sha256:${hex(1)}",
          "size": 7
        },
        "linux/arm64": {
          "digest": "sha256:${hex(2)}",
          "size": 7
        }
      }
    }
  },
  "bases": {}
}
`;

describe('L05: a lockfile', () => {
  test('is the same text for the same pins, in whatever order they come', () => {
    const parsed = parseLockfile(golden);
    expect(formatLockfile(parsed)).toBe(golden);
    const mixed = JSON.stringify({
      bases: {},
      images: {
        'quay.io/a/b:v1': pin(1, 'linux/amd64', 'linux/arm64'),
        'docker.io/acme/app:1': {
          ...pin(2, 'linux/amd64'),
          repository: 'app',
          archive: 'docker-archive:images/skopeo/app.tar',
        },
      },
      platforms: ['linux/arm64', 'linux/amd64'],
      lockfileVersion: 1,
    });
    expect(formatLockfile(parseLockfile(mixed))).toBe(golden);
  });

  test('gives back what was written, sorted bytewise', () => {
    const name = fc.stringMatching(/^[a-z0-9]{1,6}$/);
    const images = fc.dictionary(
      fc
        .tuple(name, fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,6}$/))
        .map(([repository, tag]) => `a.io/${repository}:${tag}`),
      fc.nat().map((seed) => pin(seed, 'linux/amd64', 'linux/arm/v6')),
    );
    fc.assert(
      fc.property(images, images, (images, bases) => {
        const written = { lockfileVersion: 1, platforms: ['linux/amd64'], images, bases };
        const lockfile = parseLockfile(JSON.stringify(written));
        const text = formatLockfile(lockfile);
        expect(parseLockfile(text)).toEqual(lockfile);
        expect(formatLockfile(parseLockfile(text))).toBe(text);
        const keys = Object.keys(parseLockfile(text).images);
        expect(keys).toEqual(
          [...keys].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))),
        );
      }),
    );
  });

  test('is cut down to what is referred to, and for which platforms', () => {
    const lockfile = parseLockfile(golden);
    const found = discoveryOf(['quay.io/a/b:v1'], ['quay.io/a/b:v1']);
    const both: Lockfile = { ...lockfile, bases: lockfile.images };
    expect(cutDown(both, found, [parsePlatform('linux/arm64')])).toEqual({
      lockfileVersion: 1,
      platforms: ['linux/arm64'],
      images: { 'quay.io/a/b:v1': { ...pin(1), manifests: pin(2, 'linux/arm64').manifests } },
      bases: { 'quay.io/a/b:v1': { ...pin(1), manifests: pin(2, 'linux/arm64').manifests } },
    });
    expect(cutDown(undefined, discoveryOf([]), [parsePlatform('linux/amd64')])).toEqual({
      lockfileVersion: 1,
      platforms: ['linux/amd64'],
      images: {},
      bases: {},
    });
  });
});

describe('the charts of a lockfile', () => {
  const chart = { version: '1.0.0', digest: `sha256:${hex(7)}`, size: 8 };
  const charts = {
    'charts/web.tgz': { repository: 'https://a.io/charts', name: 'web', ...chart },
    'charts/db.tgz': {
      manifest: `sha256:${hex(9)}`,
      ...chart,
      name: 'db',
      repository: 'oci://b.io/charts',
    },
  };
  const withCharts = (charts: object): string =>
    golden.replace('"bases": {}', `"bases": {}, "charts": ${JSON.stringify(charts)}`);

  test('are written in one way, after the images', () => {
    const text = formatLockfile(parseLockfile(withCharts(charts)));
    expect(text).toBe(
      golden.replace(
        '"bases": {}',
        `"bases": {},
  "charts": {
    "charts/db.tgz": {
      "repository": "oci://b.io/charts",
      "name": "db",
      "version": "1.0.0",
      "digest": "sha256:${hex(7)}",
      "size": 8,
      "manifest": "sha256:${hex(9)}"
    },
    "charts/web.tgz": {
      "repository": "https://a.io/charts",
      "name": "web",
      "version": "1.0.0",
      "digest": "sha256:${hex(7)}",
      "size": 8
    }
  }`,
      ),
    );
    expect(formatLockfile(parseLockfile(text))).toBe(text);
    expect(formatLockfile(parseLockfile(withCharts({})))).toBe(golden);
  });

  test('are held on to as artifacts, by what they are', () => {
    const pins = pinsOf(parseLockfile(withCharts(charts))).slice(2);
    expect(pins).toEqual([
      {
        repository: 'helm-charts',
        // Of the manifest that is made of name, version, digest and size.
        digest: 'sha256:eafd25f5cfb2877b3933eb285428e49fb084f8b1e3636b91956cf99c9c471674',
      },
      { repository: 'b.io/charts/db', digest: `sha256:${hex(9)}` },
    ]);
  });

  const web = charts['charts/web.tgz'];
  const db = charts['charts/db.tgz'];
  test.each([
    ['a path out of the context', { '../web.tgz': web }],
    ['a repository with a password', { 'a.tgz': { ...web, repository: 'https://me:x@a.io' } }],
    ['another kind of repository', { 'a.tgz': { ...web, repository: 'file:///a' } }],
    ['a name that is a path', { 'a.tgz': { ...web, name: '../x' } }],
    ['a range', { 'a.tgz': { ...web, version: '^1' } }],
    ['no digest', { 'a.tgz': { ...web, digest: undefined } }],
    ['a manifest on a web server', { 'a.tgz': { ...web, manifest: db.manifest } }],
    ['no manifest in a registry', { 'a.tgz': { ...db, manifest: undefined } }],
    ['a field that nobody knows', { 'a.tgz': { ...web, url: 'https://a.io' } }],
  ])('may not have %s', async (_, wrong) => {
    const error = await failureOf((async () => parseLockfile(withCharts(wrong)))());
    expect(error.code).toBe('INPUT_INVALID');
    expect(error.message).toMatch(/^cluster-image\.lock\.json:\d+: charts/);
  });
});

describe('L01: a lockfile that is broken is told by its line', () => {
  const spoilt = (from: string | RegExp, to: string): string => golden.replace(from, to);

  test.each<[string, string, number | undefined, string | RegExp]>([
    [
      'conflict markers',
      spoilt('  "images"', '<<<<<<< HEAD\n  "images"'),
      7,
      'has conflict markers',
    ],
    ['a trailing comma', spoilt('"bases": {}', '"bases": {},'), 38, 'is not JSON at }'],
    [
      'a comma in a list',
      spoilt('"linux/arm64"\n  ]', '"linux/arm64",\n  ]'),
      6,
      'is not JSON at ]',
    ],
    ['an end too early', golden.slice(0, 400), 14, 'ends too early'],
    ['no JSON at all', 'lockfile', 1, 'is not JSON at "lockfile"'],
    ['nothing', '', 1, 'ends too early'],
    ['an unknown key', spoilt('"size": 3', '"size": 3, "x": 1'), 13, /x: nothing of that name/],
    [
      'an unknown key at the top',
      spoilt('"bases"', '"x": 1,\n  "bases"'),
      37,
      /^x: nothing of that/,
    ],
    [
      '__proto__',
      spoilt('"bases"', '"__proto__": 1,\n  "bases"'),
      37,
      /^__proto__: nothing of that/,
    ],
    [
      'a key that is there twice',
      spoilt('"bases"', '"images": {},\n  "bases"'),
      37,
      'names images twice',
    ],
    [
      'a reference that is there twice',
      spoilt('quay.io/a/b:v1', 'docker.io/acme/app:1'),
      21,
      /^names docker/,
    ],
    ['half a reference', spoilt('quay.io/a/b:v1', 'a/b'), 21, /^images\.a\/b: /],
    ['a digest that is none', spoilt(`"sha256:${hex(1)}"`, '"sha256:../x"'), 22, /not a digest/],
    [
      'a platform that is none',
      spoilt('"linux/amd64": {\n          "digest"', '"amd64": {\n          "digest"'),
      15,
      /amd64/,
    ],
    [
      'a size that is none',
      spoilt('"size": 3', '"size": -1'),
      13,
      /^images.docker\.io\/acme\/app:1\.size/,
    ],
    ['a size that is too large', spoilt('"size": 3', '"size": 9007199254740993'), 13, /size/],
    ['no platforms', spoilt(/\[\n.*\n.*\n {2}\]/, '[]'), 3, /^platforms: /],
    ['no version', spoilt('"lockfileVersion": 1,', ''), undefined, /^lockfileVersion: /],
    [
      'an older version',
      spoilt('"lockfileVersion": 1', '"lockfileVersion": 0'),
      2,
      /^lockfileVersion: /,
    ],
  ])('%s', (_, text, line, why) => {
    const place = line === undefined ? lockfileName : `${lockfileName}:${line}`;
    expect(() => parseLockfile(text)).toThrow(
      expect.objectContaining({
        code: 'INPUT_INVALID',
        message: expect.stringContaining(`${place}: `),
        hint: expect.stringContaining('cluster-image lock'),
      }),
    );
    const told = expect.stringMatching(why);
    const message = messageOf(() => parseLockfile(text)).slice(place.length + 2);
    expect(message).toEqual(told);
  });

  test('a newer version says what to do', () => {
    expect(() => parseLockfile(spoilt('"lockfileVersion": 1', '"lockfileVersion": 2'))).toThrow(
      expect.objectContaining({
        code: 'INPUT_INVALID',
        message: `${lockfileName} has version 2`,
        hint: 'It was written by a later release. Use that one here as well.',
      }),
    );
  });
});

function messageOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (error instanceof Error) return error.message;
  }
  throw new Error('nothing failed');
}

describe('L04: the lockfile of a context', () => {
  test('may not be there', async () => {
    expect(await readLockfile(directory(await contextDirectory({})))).toBeUndefined();
  });

  test('is no link, wherever that leads', async () => {
    for (const link of ['other.json', '/etc/hostname', 'nothing']) {
      const root = await contextDirectory({ [lockfileName]: { link }, 'other.json': golden });
      const error = await failureOf(readLockfile(directory(root)));
      expect([error.code, error.message]).toEqual([
        'INPUT_INVALID',
        `${lockfileName} is a symlink, not a file`,
      ]);
    }
  });

  test('is no directory', async () => {
    const root = await contextDirectory({ [`${lockfileName}/x`]: '' });
    expect((await failureOf(readLockfile(directory(root)))).code).toBe('INPUT_INVALID');
  });
});

test('L06: a lockfile of ten thousand images is read', () => {
  const images = Object.fromEntries(
    Array.from({ length: 10_000 }, (_, at) => [`a.io/x/${at}:1`, pin(at, 'linux/amd64')]),
  );
  const text = formatLockfile(
    parseLockfile(
      JSON.stringify({ lockfileVersion: 1, platforms: ['linux/amd64'], images, bases: {} }),
    ),
  );
  expect(text.length).toBeGreaterThan(3_000_000);
  expect(Object.keys(parseLockfile(text).images)).toHaveLength(10_000);
});
