import {
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import {
  bytes,
  codeOf,
  copy,
  createContext,
  type Digest,
  type Manifest,
  mediaTypes,
  memory,
  overlay,
  parseManifest,
  type Registry,
  type RegistryReader,
} from '@cluster-image/oci';
import {
  type DistributionLayout,
  distributionLayout,
  heldManifest,
  layoutPaths,
  nodeFileSystem,
  openStore,
} from '@cluster-image/storage';
import {
  type ImageFixture,
  imageFixture,
  indexFixture,
  noise,
  putFixture,
  registryContract,
  temporaryDirectory,
} from '@cluster-image/testing';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { FileSystem } from '../src/file-system.ts';
import { simulatedDisk } from './simulated-disk.ts';
import { template } from './template.ts';
import { unsynced } from './unsynced.ts';
import { digestsBelow, leftBelow, pathsBelow, wholeTag } from './wreck.ts';

registryContract('a registry directory', async () => ({
  registry: distributionLayout(await temporaryDirectory(), { fs: unsynced }),
}));

registryContract('a registry directory on a simulated disk', async () => ({
  registry: distributionLayout('/disk', { fs: simulatedDisk().fs, resumable: true }),
}));

const image = imageFixture();
const index = indexFixture(['linux/amd64', 'linux/arm64']);
const hex = (digest: Digest): string => digest.slice(7);

const templates = new Map<ImageFixture, () => Promise<string>>(
  [image, index].map((fixture) => [
    fixture,
    template((root) =>
      putFixture(distributionLayout(root, { fs: unsynced }), 'team/app', fixture, '1.0'),
    ),
  ]),
);

async function filled(
  fixture: ImageFixture = image,
): Promise<{ root: string; registry: Registry }> {
  const root = (await templates.get(fixture)?.()) ?? '';
  return { root, registry: distributionLayout(root, { fs: unsynced }) };
}

/** The files of an image or index in a repository, as `distribution` has them. */
function expectedFiles(repository: string, fixture: ImageFixture, tag: string): string[] {
  const base = `docker/registry/v2/repositories/${repository}`;
  const manifests = fixture.manifests.map((manifest) => hex(manifest.digest));
  const layers = [...fixture.blobs.keys()].map(hex);
  return [
    ...[...manifests, ...layers].map(
      (hex) => `docker/registry/v2/blobs/sha256/${hex.slice(0, 2)}/${hex}/data`,
    ),
    ...layers.map((hex) => `${base}/_layers/sha256/${hex}/link`),
    ...manifests.map((hex) => `${base}/_manifests/revisions/sha256/${hex}/link`),
    `${base}/_manifests/tags/${tag}/current/link`,
    `${base}/_manifests/tags/${tag}/index/sha256/${hex(fixture.root.digest)}/link`,
  ].sort();
}

const files = async (root: string): Promise<string[]> =>
  Object.keys(await digestsBelow(root)).sort();

describe('on disk', () => {
  test.each([
    ['an image', image],
    ['an index', index],
  ])('%s is exactly the files that distribution writes', async (_, fixture) => {
    const { root } = await filled(fixture);
    expect(await files(root)).toEqual(expectedFiles('team/app', fixture, '1.0'));
    for (const path of await files(root)) {
      if (!path.endsWith('/link')) continue;
      const link = readFileSync(join(root, path), 'utf8');
      expect(link).toMatch(/^sha256:[0-9a-f]{64}$/);
      expect(link).toHaveLength(71);
    }
  });

  test('D10: an index of nothing makes a repository that every version lists', async () => {
    const root = await temporaryDirectory();
    const registry = distributionLayout(root, { fs: unsynced });
    await registry.putManifest('a', index.root, '1');
    expect(existsSync(join(root, 'docker/registry/v2/repositories/a/_layers'))).toBe(true);
    expect(existsSync(join(root, 'docker/registry/v2/repositories/a/_manifests'))).toBe(true);
  });

  test('a tag that moved remembers what it meant', async () => {
    const { root, registry } = await filled();
    await putFixture(registry, 'team/app', index, '1.0');
    const tag = 'docker/registry/v2/repositories/team/app/_manifests/tags/1.0';
    expect(readFileSync(join(root, tag, 'current/link'), 'utf8')).toBe(index.root.digest);
    for (const { digest } of [image.root, index.root]) {
      expect(readFileSync(join(root, tag, 'index/sha256', hex(digest), 'link'), 'utf8')).toBe(
        digest,
      );
    }
  });

  test('D13: modes are those of a directory that others may serve, whatever the umask', async () => {
    const before = process.umask(0o077);
    onTestFinished(() => void process.umask(before));
    const root = join(await temporaryDirectory(), 'new/registry');
    await putFixture(distributionLayout(root), 'team/app', index, '1.0');
    const modes: Record<string, number> = { data: 0o444, link: 0o644, '': 0o755 };
    for (const path of ['', ...(await pathsBelow(root))]) {
      const kind = path.slice(path.lastIndexOf('/') + 1);
      expect(`${path} ${(statSync(join(root, path)).mode & 0o7777).toString(8)}`).toBe(
        `${path} ${modes[kind]?.toString(8)}`,
      );
    }
    expect(statSync(join(root, '..')).mode & 0o777).toBe(0o700);
  });

  test('D07: nothing but the registry is left when it is done', async () => {
    const { root } = await filled();
    expect(await pathsBelow(root)).toContain('docker/');
    expect((await pathsBelow(root)).filter((path) => !path.startsWith('docker/'))).toEqual([]);
  });
});

describe('content that a store keeps', () => {
  async function stored(): Promise<{
    base: string;
    source: Registry;
    path: (digest: Digest) => string;
  }> {
    const base = await temporaryDirectory();
    const store = openStore(join(base, 'store'), unsynced);
    await putFixture(store.registry, 'docker.io/team/app', image, '1.0');
    return {
      base,
      source: store.registry,
      path: (digest) => join(base, 'store', layoutPaths.blob(digest)),
    };
  }

  async function materialize(
    source: Registry,
    root: string,
    fs: FileSystem = unsynced,
  ): Promise<void> {
    const target = distributionLayout(root, { fs });
    const from = { registry: source, repository: 'docker.io/team/app' };
    const to = { registry: target, repository: 'team/app' };
    await copy(from, '1.0', to, { tag: '1.0' }, createContext());
  }

  test('D11: is linked, not copied', async () => {
    const { base, source, path } = await stored();
    const root = join(base, 'registry');
    await materialize(source, root);
    expect(await files(root)).toEqual(expectedFiles('team/app', image, '1.0'));
    for (const digest of image.blobs.keys()) {
      const [ours, theirs] = [
        statSync(join(root, layoutPaths.blob(digest))),
        statSync(path(digest)),
      ];
      expect(ours.ino).toBe(theirs.ino);
      expect(ours.mode & 0o777).toBe(0o444);
    }
  });

  test.each(['EXDEV', 'EPERM', 'EMLINK'])('is copied where a link answers %s', async (code) => {
    const { base, source, path } = await stored();
    const root = join(base, 'registry');
    const refuse = (): Promise<never> => Promise.reject(Object.assign(new Error(code), { code }));
    await materialize(source, root, { ...unsynced, link: refuse });
    expect(await files(root)).toEqual(expectedFiles('team/app', image, '1.0'));
    for (const [digest, body] of image.blobs) {
      const copied = join(root, layoutPaths.blob(digest));
      expect(statSync(copied).ino).not.toBe(statSync(path(digest)).ino);
      expect(readFileSync(copied).equals(body)).toBe(true);
    }
  });

  test('that another process links at the same moment is taken as it is', async () => {
    const { base, source } = await stored();
    const root = join(base, 'registry');
    await materialize(source, root, {
      ...unsynced,
      async link(existing, path) {
        linkSync(existing, path);
        await nodeFileSystem.link(existing, path);
      },
    });
    expect(await wholeTag(distributionLayout(root), 'team/app', '1.0')).toBe(image.root.digest);
  });

  test('any other failure to link is FILE_SYSTEM, naming the file', async () => {
    const { base, source } = await stored();
    const refuse = (): Promise<never> =>
      Promise.reject(Object.assign(new Error('EIO'), { code: 'EIO' }));
    const failure = await materialize(source, join(base, 'registry'), {
      ...nodeFileSystem,
      link: refuse,
    }).catch((error) => error);
    expect(codeOf(failure)).toBe('FILE_SYSTEM');
    expect(String(failure)).toContain('/data');
  });

  test('D11: lives on when the store is gone, and the store when it is', async () => {
    const { base, source } = await stored();
    const [one, two] = [join(base, 'one'), join(base, 'two')];
    await materialize(source, one);
    await materialize(source, two);
    rmSync(one, { recursive: true });
    expect(await wholeTag(source, 'docker.io/team/app', '1.0')).toBe(image.root.digest);
    rmSync(join(base, 'store'), { recursive: true });
    expect(await wholeTag(distributionLayout(two), 'team/app', '1.0')).toBe(image.root.digest);
  });

  test('under another digest than it is asked for by is not linked', async () => {
    const { base, source } = await stored();
    const blob = await source.blob('docker.io/team/app', image.root.config.digest);
    const other = imageFixture({ seed: 'other' }).root.config.digest;
    if (!blob) throw new Error('no blob');
    await expect(
      distributionLayout(join(base, 'r')).putBlob('a', other, blob),
    ).rejects.toMatchObject({
      code: 'DIGEST_MISMATCH',
    });
  });
});

describe('what is damaged', () => {
  const tag = '_manifests/tags/1.0/current/link';
  const revision = `_manifests/revisions/sha256/${hex(image.root.digest)}/link`;
  const [layer = image.root.config] = image.root.layers;
  const layerLink = `_layers/sha256/${hex(layer.digest)}/link`;

  async function damaged(link: string, text: string | undefined): Promise<Registry> {
    const { root, registry } = await filled();
    const path = join(root, 'docker/registry/v2/repositories/team/app', link);
    rmSync(path);
    if (text !== undefined) writeFileSync(path, text);
    return registry;
  }

  const ask: Readonly<Record<string, (registry: Registry) => Promise<unknown>>> = {
    [tag]: (registry) => registry.resolve('team/app', '1.0'),
    [revision]: (registry) => registry.manifest('team/app', image.root.digest),
    [layerLink]: (registry) => registry.blob('team/app', layer.digest),
  };

  test.each(Object.keys(ask))(
    'D08: a link that is no digest is DIGEST_INVALID, naming it: %s',
    async (link) => {
      for (const text of [
        '',
        `${image.root.digest}\n`,
        `\uFEFF${image.root.digest}`,
        'sha256:short',
        '../../etc',
      ]) {
        const failure = await ask[link]?.(await damaged(link, text)).catch((error) => error);
        expect(codeOf(failure)).toBe('DIGEST_INVALID');
        expect(String(failure)).toContain(link);
      }
    },
  );

  test.each([revision, layerLink])(
    'D08: a link with another digest than its own is DIGEST_INVALID: %s',
    async (link) => {
      const failure = await ask[link]?.(await damaged(link, image.root.config.digest)).catch(
        (error) => error,
      );
      expect(codeOf(failure)).toBe('DIGEST_INVALID');
    },
  );

  test.each(Object.keys(ask))('D08: a link that is gone is absence: %s', async (link) => {
    expect(await ask[link]?.(await damaged(link, undefined))).toBeUndefined();
  });

  test('D08: a link that leads nowhere is absence', async () => {
    const absent = `sha256:${'0'.repeat(64)}`;
    expect(await (await damaged(tag, absent)).resolve('team/app', '1.0')).toBeUndefined();
    const { root, registry } = await filled();
    for (const { digest } of [image.root, layer]) rmSync(join(root, layoutPaths.blob(digest)));
    expect(await registry.manifest('team/app', image.root.digest)).toBeUndefined();
    expect(await registry.resolve('team/app', '1.0')).toBeUndefined();
    expect(await registry.blob('team/app', layer.digest)).toBeUndefined();
  });

  test.each([
    ['cut off', (body: Buffer) => body.subarray(0, 100)],
    ['empty', () => Buffer.alloc(0)],
    ['changed in one bit', (body: Buffer) => body.map((byte, at) => (at === 50 ? byte ^ 1 : byte))],
  ])('D04: a manifest that is %s is DIGEST_MISMATCH, and copying mends it', async (_, change) => {
    const { root, registry } = await filled();
    const path = join(root, layoutPaths.blob(image.root.digest));
    const body = readFileSync(path);
    rmSync(path);
    writeFileSync(path, change(body));
    await expect(registry.resolve('team/app', '1.0')).rejects.toMatchObject({
      code: 'DIGEST_MISMATCH',
    });
    await again(root);
    expect(await wholeTag(registry, 'team/app', '1.0')).toBe(image.root.digest);
    expect(statSync(path).mode & 0o777).toBe(0o444);
  });

  test('D04: a blob of another size has that size, and copying mends it', async () => {
    const { root, registry } = await filled();
    const path = join(root, layoutPaths.blob(layer.digest));
    rmSync(path);
    writeFileSync(path, 'short');
    expect((await registry.blob('team/app', layer.digest, layer.size))?.size).toBe(5);
    await again(root);
    expect(await wholeTag(registry, 'team/app', '1.0')).toBe(image.root.digest);
  });

  test.each(Object.keys(ask))(
    'D08: a link that is no digest is mended by copying: %s',
    async (link) => {
      const { root, registry } = await filled();
      writeFileSync(join(root, 'docker/registry/v2/repositories/team/app', link), '');
      await again(root);
      expect(await wholeTag(registry, 'team/app', '1.0')).toBe(image.root.digest);
    },
  );

  /** Copies the image in as `cache` does: from the directory itself where it has it, else from upstream. */
  async function again(root: string): Promise<void> {
    const upstream = memory();
    await putFixture(upstream, 'team/app', image, '1.0');
    const target = distributionLayout(root, { fs: unsynced });
    await copy(
      { registry: overlay(target, upstream), repository: 'team/app' },
      image.root.digest,
      { registry: target, repository: 'team/app' },
      { tag: '1.0', recheck: true },
      createContext(),
    );
  }
});

describe('what is not ours', () => {
  test('D07: what lies in tags/ and is no tag is not listed', async () => {
    const { root, registry } = await filled();
    const tags = join(root, 'docker/registry/v2/repositories/team/app/_manifests/tags');
    mkdirSync(join(tags, 'ghost'));
    mkdirSync(join(tags, '.tmp-1.0-123/current'), { recursive: true });
    writeFileSync(join(tags, '.tmp-1.0-123/current/link'), image.root.digest);
    mkdirSync(join(tags, 'empty/current'), { recursive: true });
    writeFileSync(join(tags, 'empty/current/link'), '');
    writeFileSync(join(tags, 'file'), '');
    mkdirSync(join(tags, 'white space/current'), { recursive: true });
    writeFileSync(join(tags, 'white space/current/link'), image.root.digest);
    expect(await Array.fromAsync(registry.tags('team/app'))).toEqual(['1.0']);
  });

  test('what lies beside repositories and is none is not listed', async () => {
    const { root, registry } = await filled();
    const repositories = join(root, 'docker/registry/v2/repositories');
    for (const path of [
      '.hidden/_manifests',
      'team/_uploads',
      'empty',
      '_manifests',
      'team/app/_layers/_manifests',
    ]) {
      mkdirSync(join(repositories, path), { recursive: true });
    }
    writeFileSync(join(repositories, 'file'), '');
    expect(await Array.fromAsync(registry.repositories())).toEqual(['team/app']);
  });

  test('a blob that is a link elsewhere is read, as docker-registry does', async () => {
    const { root, registry } = await filled();
    const path = join(root, layoutPaths.blob(image.root.digest));
    const elsewhere = join(root, 'elsewhere');
    writeFileSync(elsewhere, readFileSync(path));
    rmSync(path);
    symlinkSync(elsewhere, path);
    expect((await registry.resolve('team/app', '1.0'))?.digest).toBe(image.root.digest);
  });
});

describe('T01: a name that leads out', () => {
  const names = ['../x', 'a/../b', '_layers', 'a/_manifests', '/a', '..', '', 'A', 'a\0'];

  test.each(names)('is refused before a file is touched: %j', async (name) => {
    const root = join(await temporaryDirectory(), 'registry');
    const registry = distributionLayout(root, { fs: unsynced });
    const body = noise('x', 10);
    const { digest } = image.root;
    const refused = [
      () => registry.putBlob(name, digest, bytes(body)),
      () => registry.putManifest(name, image.root, 'latest'),
      () => registry.putManifest(name, image.root),
      () => registry.resolve(name, 'latest'),
      () => registry.manifest(name, digest),
      () => registry.blob(name, digest),
      () => Array.fromAsync(registry.tags(name)),
    ];
    for (const act of refused) {
      await expect(act()).rejects.toMatchObject({ code: 'REFERENCE_INVALID' });
    }
    expect(existsSync(root)).toBe(false);
  });

  test.each(['../x', '', '.', 'a/b', '-x', '.tmp'])(
    'S03: as a tag is refused before a file is touched: %j',
    async (tag) => {
      const root = join(await temporaryDirectory(), 'registry');
      const registry = distributionLayout(root, { fs: unsynced });
      await expect(registry.putManifest('a', image.root, tag)).rejects.toMatchObject({
        code: 'REFERENCE_INVALID',
      });
      expect(await registry.resolve('a', tag)).toBeUndefined();
      expect(existsSync(root)).toBe(false);
    },
  );

  test('D12: the longest names work, and longer ones are errors that name the path', async () => {
    const root = await temporaryDirectory();
    const registry = distributionLayout(root, { fs: unsynced });
    const longest = 'n'.repeat(255);
    await putFixture(registry, longest, image, 't'.repeat(128));
    expect(await wholeTag(registry, longest, 't'.repeat(128))).toBe(image.root.digest);
    const host = `${'h'.repeat(300)}.io/a`;
    const failure = await registry.putManifest(host, image.root).catch((error) => error);
    expect(codeOf(failure)).toBe('FILE_SYSTEM');
    expect(String(failure)).toContain(root);
    expect(await leftBelow(root)).toEqual([]);
  });

  test('a host with a port is part of a name in a store', async () => {
    const root = await temporaryDirectory();
    const registry = distributionLayout(root, { resumable: true });
    for (const name of ['localhost:5000/a', '[::1]:5000/a/b', 'docker.io/library/nginx']) {
      await putFixture(registry, name, image, '1');
      expect(await wholeTag(registry, name, '1')).toBe(image.root.digest);
    }
    expect(await Array.fromAsync(registry.repositories())).toEqual([
      '[::1]:5000/a/b',
      'docker.io/library/nginx',
      'localhost:5000/a',
    ]);
  });
});

test('D14: hundreds of blobs are synced with few files open at a time', async () => {
  let [open, most] = [0, 0];
  const { fs } = simulatedDisk();
  const counting: FileSystem = {
    ...fs,
    async open(path, flags, mode) {
      const handle = await fs.open(path, flags, mode);
      most = Math.max(most, ++open);
      return {
        ...handle,
        async close() {
          open -= 1;
          await handle.close();
        },
      };
    },
  };
  const layers = Array.from({ length: 300 }, (_, at) => noise(`${at}`, 10));
  await putFixture(
    distributionLayout('/disk', { fs: counting }),
    'a',
    imageFixture({ layers }),
    '1',
  );
  expect(open).toBe(0);
  expect(most).toBeLessThanOrEqual(8);
});

test('D15: a clock that jumps changes nothing that is written', async () => {
  const now = Date.now;
  onTestFinished(() => {
    Date.now = now;
  });
  const trees: Record<string, Digest>[] = [];
  for (const jump of [0, 1e12, -1e12]) {
    Date.now = () => now() + jump;
    const root = await temporaryDirectory();
    await putFixture(distributionLayout(root, { fs: unsynced }), 'team/app', image, '1.0');
    trees.push(await digestsBelow(root));
  }
  expect(trees[1]).toEqual(trees[0]);
  expect(trees[2]).toEqual(trees[0]);
});

test('P2: no blob is visible before all of it was checked', async () => {
  const root = await temporaryDirectory();
  const registry = distributionLayout(root, { fs: unsynced });
  const body = noise('slow', 3000);
  const digest = imageFixture({ layers: [body] }).root.layers[0]?.digest;
  if (!digest) throw new Error('no layer');
  const seen: boolean[] = [];
  await registry.putBlob('a', digest, {
    size: body.length,
    async *open() {
      for (let at = 0; at < body.length; at += 1000) {
        yield body.subarray(at, at + 1000);
        seen.push(existsSync(join(root, dirname(layoutPaths.blob(digest)))));
        seen.push((await registry.blob('a', digest)) !== undefined);
      }
    },
  });
  expect(seen).toEqual([false, false, false, false, false, false]);
  expect(await registry.blob('a', digest)).toBeDefined();
});

describe('whether a registry holds an image is told at a glance', () => {
  const foreign = imageFixture({ layers: [10] });
  const named = parseManifest(
    new TextEncoder().encode(
      new TextDecoder()
        .decode(foreign.root.bytes)
        .replace(mediaTypes.ociLayerGzip, 'application/vnd.oci.image.layer.nondistributable.v1.tar')
        .replace(mediaTypes.ociLayer, 'application/vnd.oci.image.layer.nondistributable.v1.tar'),
    ),
    'foreign',
  );

  async function isHeld(
    registry: RegistryReader,
    name: string,
    { digest }: Manifest,
    tag?: string,
  ): Promise<boolean> {
    return (await heldManifest(registry, name, digest, tag))?.digest === digest;
  }

  async function held(): Promise<DistributionLayout> {
    const layout = distributionLayout(await temporaryDirectory(), { fs: unsynced });
    await putFixture(layout, 'team/app', image, '1.0');
    return layout;
  }

  test('by its name, its tag and all that it names', async () => {
    const layout = await held();
    expect(await isHeld(layout, 'team/app', image.root)).toBe(true);
    expect(await isHeld(layout, 'team/app', image.root, '1.0')).toBe(true);
    expect(await isHeld(layout, 'team/app', image.root, '2.0')).toBe(false);
    expect(await isHeld(layout, 'team/other', image.root)).toBe(false);
    expect(await isHeld(layout, 'team/app', imageFixture({ seed: 'other' }).root)).toBe(false);
  });

  test('by a view of it as well', async () => {
    const view = { ...(await held()) };
    expect(await isHeld(view, 'team/app', image.root, '1.0')).toBe(true);
  });

  test('but not of what is no directory, nor of layers that nobody may keep', async () => {
    const registry = memory();
    await putFixture(registry, 'team/app', image, '1.0');
    expect(await isHeld(registry, 'team/app', image.root, '1.0')).toBe(false);
    const layout = await held();
    await putFixture(layout, 'team/app', foreign);
    await layout.putManifest('team/app', named);
    expect(await isHeld(layout, 'team/app', foreign.root)).toBe(true);
    expect(await isHeld(layout, 'team/app', named)).toBe(false);
  });
});
