import { createContext } from '@cluster-image/oci';
import { expect, test, vi } from 'vitest';
import { dockerCredentials } from '../src/docker-credentials.ts';
import { homeOf, storePath } from '../src/environment.ts';
import { failureOf } from './failure.ts';

// What node does for a user that the system does not know; no test can become one.
vi.mock(import('node:os'), async (original) => ({
  ...(await original()),
  homedir: () => {
    throw new Error('uv_os_homedir returned ENOENT (no such file or directory)');
  },
}));

const environment = { cwd: '/site', variables: {} };

test('without a home directory the store needs a place, and the message says how it gets one', async () => {
  expect(homeOf(environment)).toBeUndefined();
  const error = await failureOf(Promise.try(() => storePath(environment, undefined)));
  expect([error.code, error.hint]).toEqual([
    'USAGE',
    'Set CLUSTER_IMAGE_STORE or HOME, or give --store.',
  ]);
  expect(storePath(environment, 'here')).toBe('/site/here');
  const variables = { XDG_CACHE_HOME: '/cache' };
  expect(storePath({ ...environment, variables }, undefined)).toBe('/cache/cluster-image');
});

test('without a home directory there are no credentials, unless DOCKER_CONFIG says where', async () => {
  const credentials = dockerCredentials(environment, createContext());
  expect(await credentials('registry.example')).toBeUndefined();
});
