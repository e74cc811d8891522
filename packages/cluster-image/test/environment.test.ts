import { homedir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { homeOf, resolvePath, storePath } from '../src/environment.ts';

describe('the content store lies', () => {
  const home = { HOME: '/home/me' };

  test.each([
    ['where it is said', 'given', { ...home, CLUSTER_IMAGE_STORE: '/b' }, '/site/given'],
    ['where CLUSTER_IMAGE_STORE says', undefined, { ...home, CLUSTER_IMAGE_STORE: 'b' }, '/site/b'],
    ['in the cache directory', undefined, { ...home, XDG_CACHE_HOME: '/c' }, '/c/cluster-image'],
    ['at home', undefined, home, '/home/me/.cache/cluster-image'],
    [
      'where it would lie without variables that are empty',
      '',
      { ...home, CLUSTER_IMAGE_STORE: '', XDG_CACHE_HOME: '' },
      '/home/me/.cache/cluster-image',
    ],
    [
      // https://specifications.freedesktop.org/basedir-spec/latest/#variables
      'at home where the cache directory is not absolute',
      undefined,
      { ...home, XDG_CACHE_HOME: 'c' },
      '/home/me/.cache/cluster-image',
    ],
    [
      'at a home that is relative to the working directory',
      undefined,
      { HOME: 'me' },
      '/site/me/.cache/cluster-image',
    ],
    [
      'where CLUSTER_IMAGE_STORE says, where --store says nothing',
      '',
      { ...home, CLUSTER_IMAGE_STORE: '/b' },
      '/b',
    ],
  ])('%s', (_, given, variables, path) => {
    expect(storePath({ cwd: '/site', variables }, given)).toBe(path);
  });
});

test('home is what the variables say, else what the system says', () => {
  expect(homeOf({ cwd: '/', variables: { HOME: '/a', USERPROFILE: '/b' } })).toBe('/a');
  expect(homeOf({ cwd: '/', variables: { HOME: '', USERPROFILE: '/b' } })).toBe('/b');
  expect(homeOf({ cwd: '/', variables: {} })).toBe(homedir());
});

test('paths are relative to the working directory', () => {
  const environment = { cwd: '/site/a', variables: {} };
  expect(resolvePath(environment, '../b')).toBe('/site/b');
  expect(resolvePath(environment, '/b')).toBe(join('/b'));
});
