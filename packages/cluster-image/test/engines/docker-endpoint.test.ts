import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { type DockerEndpoint, dockerEndpoint } from '../../src/engines/docker-endpoint.ts';
import { contextDirectory } from '../context.ts';
import { failureOf } from '../failure.ts';

const id = createHash('sha256').update('site').digest('hex');

/** The endpoint for somebody with these files below `.docker` and these variables. */
async function endpointOf(
  files: Readonly<Record<string, string>>,
  variables: Readonly<Record<string, string>> = {},
): Promise<DockerEndpoint & { readonly href: string }> {
  const home = await contextDirectory(
    Object.fromEntries(Object.entries(files).map(([path, text]) => [`.docker/${path}`, text])),
  );
  const endpoint = await dockerEndpoint({ cwd: home, variables: { HOME: home, ...variables } });
  return { ...endpoint, href: endpoint.url.href };
}

const context = (host: unknown, more: object = {}): Readonly<Record<string, string>> => ({
  'config.json': JSON.stringify({ auths: {}, currentContext: 'site' }),
  [`contexts/meta/${id}/meta.json`]: JSON.stringify({
    Name: 'site',
    Endpoints: { docker: { Host: host, ...more } },
  }),
});

describe('the daemon is looked for', () => {
  test('at its usual socket', async () => {
    const byDefault = { 'config.json': '{"currentContext":"default"}' };
    for (const files of [{}, byDefault] as readonly Record<string, string>[]) {
      expect(await endpointOf(files)).toMatchObject({
        address: 'unix:///var/run/docker.sock',
        socketPath: '/var/run/docker.sock',
      });
    }
  });

  test('where DOCKER_HOST says, before any context', async () => {
    const variables = { DOCKER_HOST: 'unix:///run/other.sock' };
    const { socketPath } = await endpointOf(context('unix:///run/site.sock'), variables);
    expect(socketPath).toBe('/run/other.sock');
  });

  test('where the current context says, or the one of DOCKER_CONTEXT', async () => {
    const files = context('unix:///run/site.sock');
    expect((await endpointOf(files)).socketPath).toBe('/run/site.sock');
    const other = { ...files, 'config.json': '{}' };
    expect((await endpointOf(other)).socketPath).toBe('/var/run/docker.sock');
    const chosen = await endpointOf(other, { DOCKER_CONTEXT: 'site' });
    expect(chosen.socketPath).toBe('/run/site.sock');
  });

  test.each([
    ['tcp://10.0.0.1', 'http://10.0.0.1:2375/'],
    ['tcp://10.0.0.1:80', 'http://10.0.0.1/'],
    ['tcp://[::1]:4243', 'http://[::1]:4243/'],
    ['http://build.example:2375', 'http://build.example:2375/'],
    ['https://build.example', 'https://build.example/'],
  ])('over the network at %s', async (address, href) => {
    const endpoint = await endpointOf({ 'ca.pem': 'not asked for' }, { DOCKER_HOST: address });
    expect(endpoint).toMatchObject({ address, href });
    expect([endpoint.ca, endpoint.socketPath]).toEqual([undefined, undefined]);
  });

  test('with the certificates of DOCKER_CERT_PATH, or of the context', async () => {
    const pems = { 'ca.pem': 'CA', 'cert.pem': 'CERT', 'key.pem': 'KEY' };
    const secure = { ca: 'CA', cert: 'CERT', key: 'KEY' };
    const variables = { DOCKER_HOST: 'tcp://a.example', DOCKER_TLS_VERIFY: '1' };
    expect(await endpointOf(pems, variables)).toMatchObject({
      href: 'https://a.example:2376/',
      ...secure,
    });
    const elsewhere = await contextDirectory({ 'ca.pem': 'OTHER' });
    const { ca, cert } = await endpointOf(pems, { ...variables, DOCKER_CERT_PATH: elsewhere });
    expect([ca, cert]).toEqual(['OTHER', undefined]);
    const below = Object.fromEntries(
      Object.entries(pems).map(([name, pem]) => [`contexts/tls/${id}/docker/${name}`, pem]),
    );
    const files = { ...context('tcp://b.example:2376', { SkipTLSVerify: true }), ...below };
    expect(await endpointOf(files)).toMatchObject({
      href: 'https://b.example:2376/',
      insecure: true,
      ...secure,
    });
  });
});

describe('an address that cannot be spoken to is refused', () => {
  test.each([
    'ssh://me@build.example',
    'npipe:////./pipe/docker_engine',
    'unix://',
    'tcp://',
    '/var/run/docker.sock',
  ])('%s', async (address) => {
    const { code, hint } = await failureOf(endpointOf({}, { DOCKER_HOST: address }));
    expect([code, hint]).toEqual(['USAGE', expect.stringContaining('ssh -L')]);
  });

  test('and a password in it is not repeated', async () => {
    const asked = endpointOf({}, { DOCKER_HOST: 'tcp://me:canary@a.example:2375' });
    const error = await failureOf(asked);
    expect(error.code).toBe('USAGE');
    expect(`${error.message} ${error.hint}`).not.toContain('canary');
  });

  test.each([
    ['a context that is not there', { 'config.json': '{"currentContext":"gone"}' }, 'USAGE'],
    ['a configuration that is none', { 'config.json': '[' }, 'INPUT_INVALID'],
    ['a context that is none', context(7), 'INPUT_INVALID'],
  ] as const)('and so is %s', async (_, files, code) => {
    const error = await failureOf(endpointOf(files));
    expect([error.code, error.hint]).toEqual([code, expect.stringContaining('DOCKER_HOST')]);
  });
});
