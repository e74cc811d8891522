import {
  bytes,
  type Content,
  codeOf,
  configLimit,
  digestOf,
  mediaTypes,
  parseConfig,
  readConfig,
} from '@cluster-image/oci';
import { expect, test } from 'vitest';

const encode = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));
const minimal = { os: 'linux', architecture: 'amd64', rootfs: { type: 'layers', diff_ids: [] } };

function descriptor(body: Uint8Array) {
  return { mediaType: mediaTypes.ociConfig, digest: digestOf(body), size: body.length };
}

test('null stands for what is left out, as docker writes it', async () => {
  const body = encode({
    ...minimal,
    config: { Env: null, Cmd: null, Labels: null, Volumes: null, ExposedPorts: null },
    history: null,
    created: null,
    rootfs: { type: 'layers', diff_ids: null },
  });
  const config = await readConfig(bytes(body), descriptor(body), 'test');
  expect(config.config?.Env).toBeNull();
  expect(config.rootfs.diff_ids).toBeNull();
});

test('fields that nobody asked for are kept', () => {
  const body = encode({ ...minimal, 'moby.buildkit.cache.v0': 'x', config: { ArgsEscaped: true } });
  expect(parseConfig(body, digestOf(body), 'test')).toMatchObject({
    'moby.buildkit.cache.v0': 'x',
    config: { ArgsEscaped: true },
  });
});

test.each([
  ['no JSON', Buffer.from('{')],
  ['an artifact', encode({})],
  ['an environment that is no list', encode({ ...minimal, config: { Env: 'A=b' } })],
  ['layers of another kind', encode({ ...minimal, rootfs: { type: 'base', diff_ids: [] } })],
])('%s is MANIFEST_INVALID, and the message says whose config it is', async (_, body) => {
  const failure = await readConfig(bytes(body), descriptor(body), 'nginx').catch((error) => error);
  expect(codeOf(failure)).toBe('MANIFEST_INVALID');
  expect(String(failure)).toContain('nginx');
});

test('bytes that are not what the manifest says are DIGEST_MISMATCH', async () => {
  const body = encode(minimal);
  const failure = await readConfig(
    bytes(encode({ ...minimal, os: 'LINUX' })),
    descriptor(body),
    'x',
  ).catch((error) => error);
  expect(codeOf(failure)).toBe('DIGEST_MISMATCH');
});

test('P8: a config that is too large is not read', async () => {
  const content: Content = {
    size: configLimit + 1,
    open() {
      throw new Error('opened');
    },
  };
  const failure = await readConfig(content, descriptor(encode(minimal)), 'x').catch(
    (error) => error,
  );
  expect(codeOf(failure)).toBe('SIZE_MISMATCH');
});
