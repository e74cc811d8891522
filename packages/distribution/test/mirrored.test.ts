import { type Mirror, network } from '@cluster-image/distribution';
import {
  createContext,
  digestOf,
  type Event,
  OciError,
  type RegistryReader,
} from '@cluster-image/oci';
import {
  type FaultRegistry,
  type FaultRule,
  faultRegistry,
  imageFixture,
  noise,
  putFixture,
} from '@cluster-image/testing';
import { describe, expect, onTestFinished, test } from 'vitest';
import { failureOf, read } from './client.ts';

const layer = noise('layer', 300_000);
const image = imageFixture({ layers: [layer] });
const digest = digestOf(layer);
const pin = image.root.digest;

/** A registry that has the image in a repository, unless it is given another. */
async function holding(repository: string, ...rules: readonly FaultRule[]): Promise<FaultRegistry> {
  const server = await faultRegistry({ rules });
  await putFixture(server.registry, repository, image, '1.0');
  return server;
}

function mirrorAt({ host }: Pick<FaultRegistry, 'host'>, path = ''): Mirror {
  return { url: async () => new URL(`http://${host}${path}`) };
}

/** Everything that can be reached, of which `registry` has mirrors. */
function mirroring(registry: FaultRegistry, mirrors: readonly Mirror[]) {
  const events: Event[] = [];
  const { upstream, close } = network({
    context: createContext({ report: (event) => events.push(event) }),
    sleep: async () => {},
    hosts: { [registry.host]: { plainHttp: true, mirrors } },
  });
  onTestFinished(close);
  const warnings = () => events.filter(({ type }) => type === 'warning').length;
  return { upstream, name: `${registry.host}/team/app`, warnings };
}

const everything = (upstream: RegistryReader, name: string) =>
  Promise.all([
    upstream.resolve(name, '1.0'),
    upstream.manifest(name, pin),
    upstream.blob(name, digest),
    upstream.blob(name, digest, layer.length).then(read),
  ]);

describe('a mirror', () => {
  test('is asked first, below its own path, and the registry not at all', async () => {
    const [registry, mirror] = [await holding('team/app'), await holding('copies/hub/team/app')];
    const { upstream, name, warnings } = mirroring(registry, [mirrorAt(mirror, '/copies/hub/')]);
    const [descriptor, manifest, blob, body] = await everything(upstream, name);
    expect(descriptor?.digest).toBe(pin);
    expect(manifest?.digest).toBe(pin);
    expect(blob?.size).toBe(layer.length);
    expect(body.equals(layer)).toBe(true);
    expect(registry.log).toEqual([]);
    expect(new Set(mirror.log.map(({ repository }) => repository))).toEqual(
      new Set(['copies/hub/team/app']),
    );
    expect(warnings()).toBe(0);
  });

  test('that lacks something is followed by the next, without a warning', async () => {
    const [registry, mirror] = [await holding('team/app'), await faultRegistry()];
    const { upstream, name, warnings } = mirroring(registry, [mirrorAt(mirror)]);
    const [descriptor, , , body] = await everything(upstream, name);
    expect(descriptor?.digest).toBe(pin);
    expect(body.equals(layer)).toBe(true);
    expect(warnings()).toBe(0);
  });

  test.each([{ status: 500 }, { status: 403 }, { status: 401 }, { drop: 'rst' }] as const)(
    'that fails (%j) is followed by the next, with a warning',
    async (fault) => {
      const [registry, mirror] = [await holding('team/app'), await holding('team/app', { fault })];
      const { upstream, name, warnings } = mirroring(registry, [mirrorAt(mirror)]);
      const [descriptor, manifest, blob, body] = await everything(upstream, name);
      expect([descriptor?.digest, manifest?.digest, blob?.size]).toEqual([pin, pin, layer.length]);
      expect(body.equals(layer)).toBe(true);
      expect(warnings()).toBe(4);
    },
  );

  test('C01 that dies in the middle of a blob is followed by the next, where it stopped', async () => {
    const registry = await holding('team/app');
    const mirror = await holding(
      'team/app',
      { match: { kind: 'blob', nth: 1 }, fault: { cut: { at: 100_000, how: 'fin' } } },
      { match: { kind: 'blob' }, fault: { status: 404 } },
    );
    const { upstream, name } = mirroring(registry, [mirrorAt(mirror)]);
    const blob = await upstream.blob(name, digest, layer.length);
    expect((await read(blob)).equals(layer)).toBe(true);
    const [asked] = registry.log;
    expect(registry.log).toHaveLength(1);
    expect(asked?.headers.range).toMatch(/^bytes=[1-9]\d*-299999$/);
    expect(asked?.headers.range).toBe(mirror.log[1]?.headers.range);
  });

  test('C06 C18 that lies is not asked again by who reads the blob again', async () => {
    const registry = await holding('team/app');
    const mirror = await holding('team/app', { match: { kind: 'blob' }, fault: { corrupt: 7 } });
    const { upstream, name } = mirroring(registry, [mirrorAt(mirror)]);
    const blob = await upstream.blob(name, digest, layer.length);
    expect((await read(blob)).equals(layer)).toBe(false);
    expect((await read(blob)).equals(layer)).toBe(true);
    expect(mirror.log).toHaveLength(1);
  });

  test('C18 that lies about a manifest is followed by the next', async () => {
    const registry = await holding('team/app');
    const fault = { body: imageFixture({ seed: 'other' }).root.bytes };
    const mirror = await holding('team/app', { match: { kind: 'manifest' }, fault });
    const { upstream, name, warnings } = mirroring(registry, [mirrorAt(mirror)]);
    expect((await upstream.manifest(name, pin))?.digest).toBe(pin);
    expect(warnings()).toBe(1);
  });

  test('that is not there yet is asked for again the next time', async () => {
    const [registry, mirror] = [await holding('team/app'), await holding('team/app')];
    let isUp = false;
    const { upstream, name } = mirroring(registry, [
      {
        url: async () => {
          if (!isUp) throw new OciError('NETWORK', 'not yet');
          return new URL(`http://${mirror.host}`);
        },
      },
    ]);
    expect((await upstream.manifest(name, pin))?.digest).toBe(pin);
    isUp = true;
    expect((await upstream.manifest(name, pin))?.digest).toBe(pin);
    expect([registry.log.length, mirror.log.length]).toEqual([1, 1]);
  });

  test('for every registry is used for those that have none of their own', async () => {
    const [registry, mirror] = [await holding('team/app'), await holding('team/app')];
    const { upstream, close } = network({
      context: createContext(),
      hosts: { '*': { mirrors: [mirrorAt(mirror)] }, [registry.host]: { plainHttp: true } },
    });
    onTestFinished(close);
    expect((await upstream.manifest(`${registry.host}/team/app`, pin))?.digest).toBe(pin);
    expect((await upstream.manifest('registry.invalid/team/app', pin))?.digest).toBe(pin);
    expect(registry.log).toEqual([]);
  });
});

test('where all fail, what the registry itself says counts', async () => {
  const registry = await faultRegistry({ rules: [{ fault: { status: 403 } }] });
  const mirror = await faultRegistry({ rules: [{ fault: { status: 500 } }] });
  const { upstream, name } = mirroring(registry, [mirrorAt(mirror)]);
  expect((await failureOf(upstream.manifest(name, pin))).code).toBe('DENIED');
  const blob = await upstream.blob(name, digest, layer.length);
  expect((await failureOf(read(blob))).code).toBe('DENIED');
});

test('an interruption is not mended by a mirror', async () => {
  const [registry, mirror] = [await holding('team/app'), await holding('team/app')];
  const { upstream, close } = network({
    context: createContext({ signal: AbortSignal.abort() }),
    hosts: { [registry.host]: { plainHttp: true, mirrors: [mirrorAt(mirror)] } },
  });
  onTestFinished(close);
  const asked = upstream.manifest(`${registry.host}/team/app`, pin);
  expect((await failureOf(asked)).code).toBe('ABORTED');
  expect([registry.log.length, mirror.log.length]).toEqual([0, 0]);
});
