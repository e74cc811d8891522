import { network } from '@cluster-image/distribution';
import { createContext } from '@cluster-image/oci';
import { faultRegistry, imageFixture, putFixture } from '@cluster-image/testing';
import { describe, expect, onTestFinished, test } from 'vitest';
import { clientOf, failureOf, read } from './client.ts';

const image = imageFixture();

describe('a host', () => {
  test.each([
    'me:canary@127.0.0.1:1',
    'https://me:canary@127.0.0.1:1/x',
    '127.0.0.1:1/path',
    '127.0.0.1:1?x',
    'a b',
    '',
    '-x',
    'a:b',
    '[::1',
  ])('A14 is not %j, and no error tells a password', async (host) => {
    const { registry } = clientOf({ host: '127.0.0.1:1' });
    const asked = (async () => registry(host).resolve('a', 'b'))();
    const error = await failureOf(asked);
    expect(error.code).toBe('REFERENCE_INVALID');
    expect(error.message).not.toContain('canary');
  });

  test.each(['127.0.0.1', 'localhost', '[::1]', '127.0.0.9'])('may be %s', async (name) => {
    const server = await faultRegistry();
    await putFixture(server.registry, 'team/app', image, '1.0');
    const registry = clientOf(server).registry(server.hostAt(name));
    expect((await registry.resolve('team/app', '1.0'))?.digest).toBe(image.root.digest);
    expect(server.log[0]?.host).toBe(server.hostAt(name));
  });
});

describe('everything upstream', () => {
  test('has repositories named by host and path', async () => {
    const server = await faultRegistry();
    await putFixture(server.registry, 'team/app', image, '1.0');
    const { upstream, close } = network({
      context: createContext(),
      hosts: { [server.host]: { plainHttp: true }, '*': {} },
    });
    onTestFinished(close);
    const name = `${server.host}/team/app`;
    expect((await upstream.resolve(name, '1.0'))?.digest).toBe(image.root.digest);
    expect((await upstream.manifest(name, image.root.digest))?.size).toBe(image.root.size);
    const blob = await upstream.blob(name, image.root.config.digest);
    expect(await read(blob)).toHaveLength(image.root.config.size);
    expect(await Array.fromAsync(upstream.tags(name))).toEqual(['1.0']);
    expect(await Array.fromAsync(upstream.repositories())).toEqual([name]);
  });

  test('asks a mirror for digests only what a tag means not at all', async () => {
    const [server, mirror] = [await faultRegistry(), await faultRegistry()];
    const stale = imageFixture({ seed: 'stale' });
    await putFixture(server.registry, 'team/app', image, '1.0');
    for (const each of [image, stale]) await putFixture(mirror.registry, 'team/app', each, '1.0');
    const mirrors = [{ url: async () => new URL(`http://${mirror.host}`), digestOnly: true }];
    const { upstream, close } = network({
      context: createContext(),
      hosts: { [server.host]: { plainHttp: true, mirrors } },
    });
    onTestFinished(close);
    const name = `${server.host}/team/app`;
    expect((await upstream.resolve(name, '1.0'))?.digest).toBe(image.root.digest);
    expect(mirror.log).toEqual([]);
    expect((await upstream.resolve(name, image.root.digest))?.size).toBe(image.root.size);
    expect((await upstream.manifest(name, image.root.digest))?.size).toBe(image.root.size);
    expect(mirror.log.length).toBeGreaterThan(0);
    expect(server.log).toHaveLength(1);
  });

  test.each(['nginx', '../x/y', 'host/..', 'host/A', 'me:canary@host/x', ''])(
    'C20 has no repository %j',
    async (name) => {
      const { upstream, close } = network({ context: createContext() });
      onTestFinished(close);
      for (const asked of [
        upstream.resolve(name, '1.0'),
        upstream.manifest(name, image.root.digest),
        upstream.blob(name, image.root.digest),
        Array.fromAsync(upstream.tags(name)),
      ]) {
        expect((await failureOf(asked)).code).toBe('REFERENCE_INVALID');
      }
    },
  );
});

test('a wait ends when it is interrupted', async () => {
  const server = await faultRegistry({
    rules: [{ fault: { status: 429, headers: { 'retry-after': '100' } } }],
  });
  const interrupt = new AbortController();
  const { registry, close } = network({
    context: createContext({ signal: interrupt.signal, report: () => interrupt.abort() }),
    hosts: { [server.host]: { plainHttp: true } },
  });
  onTestFinished(close);
  const asked = registry(server.host).resolve('team/app', '1.0');
  expect((await failureOf(asked)).code).toBe('ABORTED');
});

test('a wait is as long as it should be, in real time', async () => {
  const server = await faultRegistry({ rules: [{ fault: { status: 503 }, times: 1 }] });
  const { registry, close } = network({
    context: createContext(),
    hosts: { [server.host]: { plainHttp: true } },
  });
  onTestFinished(close);
  const started = performance.now();
  expect(await registry(server.host).manifest('team/app', image.root.digest)).toBeUndefined();
  expect(performance.now() - started).toBeGreaterThan(240);
});
