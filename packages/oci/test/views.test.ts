import {
  bytes,
  type Content,
  memory,
  type Naming,
  OciError,
  overlay,
  type Registry,
  type RegistryReader,
  readAll,
  select,
  under,
} from '@cluster-image/oci';
import { imageFixture, noise, putFixture, registryContract } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';

registryContract('an overlay over an empty registry', async () => {
  const registry = memory();
  return { registry: { ...registry, ...overlay(memory(), registry, memory()) } };
});

registryContract('a registry under a prefix', async () => {
  const registry = memory();
  const outer = (name: string): string => `docker.io/${name}`;
  return {
    registry: {
      ...select(registry, under('docker.io')),
      putBlob: (name, digest, content) => registry.putBlob(outer(name), digest, content),
      putManifest: (name, manifest, tag) => registry.putManifest(outer(name), manifest, tag),
    },
  };
});

describe('an overlay', () => {
  const [above, below] = [imageFixture({ seed: 'above' }), imageFixture({ seed: 'below' })];

  async function two(): Promise<[Registry, Registry]> {
    const registries: [Registry, Registry] = [memory(), memory()];
    await putFixture(registries[0], 'app', above, 'latest');
    await putFixture(registries[1], 'app', below, 'latest');
    await putFixture(registries[1], 'app', below, 'old');
    await putFixture(registries[1], 'a', below, '1');
    return registries;
  }

  test('gives what the first has, and else what the next has', async () => {
    const view = overlay(...(await two()));
    expect((await view.resolve('app', 'latest'))?.digest).toBe(above.root.digest);
    expect((await view.resolve('app', 'old'))?.digest).toBe(below.root.digest);
    expect((await view.manifest('app', below.root.digest))?.digest).toBe(below.root.digest);
    for (const image of [above, below]) {
      for (const [digest, body] of image.blobs) {
        const blob = await view.blob('app', digest, body.length);
        expect(blob && (await readAll(blob, body.length))).toEqual(body);
      }
    }
  });

  test('names everything once, in order', async () => {
    const view = overlay(...(await two()));
    expect(await Array.fromAsync(view.repositories())).toEqual(['a', 'app']);
    expect(await Array.fromAsync(view.tags('app'))).toEqual(['latest', 'old']);
    expect(await Array.fromAsync(view.tags('none'))).toEqual([]);
  });

  test('of nothing has nothing', async () => {
    const view = overlay();
    expect(await view.resolve('app', 'latest')).toBeUndefined();
    expect(await view.blob('app', above.root.config.digest)).toBeUndefined();
    expect(await Array.fromAsync(view.repositories())).toEqual([]);
  });

  const { digest } = above.root.config;
  const body = above.blobs.get(digest) ?? new Uint8Array();

  test('asks the first whether it has a blob, though its size is known', async () => {
    const [first, second] = await two();
    const lazy: RegistryReader = {
      ...first,
      async blob(_repository, _digest, size) {
        return size === undefined ? undefined : failing(size);
      },
    };
    await second.putBlob('app', digest, bytes(body));
    const blob = await overlay(lazy, second).blob('app', digest, body.length);
    expect(blob && (await readAll(blob, body.length))).toEqual(body);
    const alone = await overlay(lazy).blob('app', digest, body.length);
    expect(alone?.size).toBe(body.length);
  });

  test('D04: a blob of the wrong size is passed over where another has it', async () => {
    const [first, second] = await two();
    const short: RegistryReader = { ...first, blob: async () => bytes(body.subarray(1)) };
    await second.putBlob('app', digest, bytes(body));
    const found = await overlay(short, second).blob('app', digest, body.length);
    expect(found?.size).toBe(body.length);
    const damaged = await overlay(short, memory()).blob('app', digest, body.length);
    expect(damaged?.size).toBe(body.length - 1);
  });

  test.each(['DIGEST_MISMATCH', 'DIGEST_INVALID'] as const)(
    'D04: what is damaged with %s is passed over where another has it',
    async (code) => {
      const [first, second] = await two();
      const damaged: RegistryReader = {
        ...first,
        resolve: () => Promise.reject(new OciError(code, 'damaged')),
        manifest: () => Promise.reject(new OciError(code, 'damaged')),
        blob: () => Promise.reject(new OciError(code, 'damaged')),
      };
      const view = overlay(damaged, second);
      expect((await view.resolve('app', 'latest'))?.digest).toBe(below.root.digest);
      expect((await view.manifest('app', below.root.digest))?.digest).toBe(below.root.digest);
      expect(await view.blob('app', below.root.config.digest)).toBeDefined();
      await expect(view.blob('app', digest)).rejects.toMatchObject({ code });
      await expect(view.resolve('app', 'none')).rejects.toMatchObject({ code });
    },
  );

  test('any other failure is not passed over', async () => {
    const [first, second] = await two();
    const down: RegistryReader = {
      ...first,
      resolve: () => Promise.reject(new OciError('NETWORK', 'down')),
    };
    await expect(overlay(down, second).resolve('app', 'latest')).rejects.toMatchObject({
      code: 'NETWORK',
    });
  });

  function failing(size: number): Content {
    return {
      size,
      open() {
        throw new OciError('NOT_FOUND', 'not here after all');
      },
    };
  }
});

describe('a selection', () => {
  const image = imageFixture();

  async function selected(naming: Naming): Promise<RegistryReader> {
    const registry = memory();
    for (const name of [
      'docker.io/library/nginx',
      'docker.io/app',
      'docker.iox/app',
      'quay.io/app',
    ]) {
      await putFixture(registry, name, image, name.length.toString());
    }
    return select(registry, naming);
  }

  test('under a prefix has the names without it, and no others', async () => {
    const view = await selected(under('docker.io'));
    expect(await Array.fromAsync(view.repositories())).toEqual(['app', 'library/nginx']);
    expect(await Array.fromAsync(view.tags('app'))).toEqual(['13']);
    expect((await view.resolve('app', '13'))?.digest).toBe(image.root.digest);
    expect(await view.resolve('docker.io/app', '13')).toBeUndefined();
  });

  test('under no prefix is the registry itself', async () => {
    const view = await selected(under(''));
    expect(await Array.fromAsync(view.repositories())).toHaveLength(4);
    expect(await view.resolve('quay.io/app', '11')).toBeDefined();
  });

  test('a repository that it leaves out is absent in every respect', async () => {
    const view = await selected({
      inner: (name) => (name === 'only' ? 'quay.io/app' : undefined),
      outer: (inner) => (inner === 'quay.io/app' ? 'only' : undefined),
    });
    expect(await Array.fromAsync(view.repositories())).toEqual(['only']);
    const { digest, size } = image.root.config;
    for (const [name, has] of [
      ['only', true],
      ['quay.io/app', false],
    ] as const) {
      expect((await view.resolve(name, '11')) !== undefined).toBe(has);
      expect((await view.manifest(name, image.root.digest)) !== undefined).toBe(has);
      expect((await view.blob(name, digest, size)) !== undefined).toBe(has);
      expect(await Array.fromAsync(view.tags(name))).toEqual(has ? ['11'] : []);
    }
  });
});

test('views of views are views', async () => {
  const [one, two] = [memory(), memory()];
  const fixture = imageFixture({ layers: [noise('x', 10)] });
  await putFixture(one, 'docker.io/a', fixture, '1');
  await putFixture(two, 'b', fixture, '2');
  const view = overlay(select(one, under('docker.io')), two);
  expect(await Array.fromAsync(view.repositories())).toEqual(['a', 'b']);
  expect(await view.resolve('a', '1')).toEqual(await view.resolve('b', '2'));
});
