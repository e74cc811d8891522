import {
  existsSync,
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
  type Descriptor,
  describe as describeManifest,
  type Registry,
} from '@cluster-image/oci';
import {
  directory,
  ociBlobPath,
  ociLayout,
  ociLayoutReader,
  refName,
} from '@cluster-image/storage';
import {
  imageFixture,
  indexFixture,
  putFixture,
  registryContract,
  temporaryDirectory,
} from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { simulatedDisk } from './simulated-disk.ts';
import { template } from './template.ts';
import { unsynced } from './unsynced.ts';
import { pathsBelow, wholeTag } from './wreck.ts';

registryContract(
  'an OCI layout',
  async () => ({ registry: ociLayout(await temporaryDirectory(), { fs: unsynced }) }),
  {
    sole: true,
  },
);

registryContract(
  'an OCI layout on a simulated disk',
  async () => ({ registry: ociLayout('/disk', { fs: simulatedDisk().fs }) }),
  { sole: true },
);

const image = imageFixture();
const other = imageFixture({ seed: 'other' });

const fillings = template((root) =>
  putFixture(ociLayout(root, { fs: unsynced }), '', image, '1.0'),
);

async function filled(): Promise<{ root: string; layout: Registry }> {
  const root = await fillings();
  return { root, layout: ociLayout(root, { fs: unsynced }) };
}

test('on disk it is what the specification says, and nothing else', async () => {
  const { root } = await filled();
  const hexes = [image.root.digest, ...image.blobs.keys()].map((digest) => digest.slice(7)).sort();
  expect(await pathsBelow(root)).toEqual([
    'blobs/',
    'blobs/sha256/',
    ...hexes.map((hex) => `blobs/sha256/${hex}`),
    'index.json',
    'oci-layout',
  ]);
  expect(readFileSync(join(root, 'oci-layout'), 'utf8')).toBe('{"imageLayoutVersion":"1.0.0"}');
  expect(JSON.parse(readFileSync(join(root, 'index.json'), 'utf8'))).toEqual({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.index.v1+json',
    manifests: [{ ...describeManifest(image.root), annotations: { [refName]: '1.0' } }],
  });
  expect(statSync(join(root, ociBlobPath(image.root.digest))).mode & 0o777).toBe(0o444);
});

test('a name that moves leaves no second entry, and other names stay', async () => {
  const { root, layout } = await filled();
  await putFixture(layout, '', image, 'stable');
  await putFixture(layout, '', other, '1.0');
  const { manifests } = JSON.parse(readFileSync(join(root, 'index.json'), 'utf8'));
  expect(
    manifests.map((entry: Descriptor) => [entry.annotations?.[refName], entry.digest]),
  ).toEqual([
    ['stable', image.root.digest],
    ['1.0', other.root.digest],
  ]);
});

test('D05: names that are set at the same moment are all set', async () => {
  const { layout } = await filled();
  const names = Array.from({ length: 10 }, (_, at) => `n${at}`);
  await Promise.all(names.map((name) => layout.putManifest('', image.root, name)));
  expect(await Array.fromAsync(layout.tags(''))).toEqual(['1.0', ...names]);
});

test('a repository with a name is one that it has not', async () => {
  const { layout } = await filled();
  expect(await Array.fromAsync(layout.repositories())).toEqual(['']);
  expect(await layout.resolve('app', '1.0')).toBeUndefined();
  expect(await layout.manifest('app', image.root.digest)).toBeUndefined();
  expect(await layout.blob('app', image.root.config.digest)).toBeUndefined();
  expect(await Array.fromAsync(layout.tags('app'))).toEqual([]);
});

describe('as others write it', () => {
  const containerd = 'io.containerd.image.name';

  async function written(entries: readonly Descriptor[]): Promise<Registry> {
    const { root, layout } = await filled();
    await putFixture(layout, '', other);
    rmSync(join(root, 'index.json'));
    writeFileSync(
      join(root, 'index.json'),
      JSON.stringify({ schemaVersion: 2, manifests: entries }),
    );
    return layout;
  }

  const named = (of: typeof image, annotations: Record<string, string>): Descriptor => ({
    ...describeManifest(of.root),
    annotations,
  });

  test('an entry without a name goes by its digest', async () => {
    const layout = await written([describeManifest(image.root)]);
    expect(await Array.fromAsync(layout.tags(''))).toEqual([image.root.digest]);
    expect((await layout.resolve('', image.root.digest))?.digest).toBe(image.root.digest);
  });

  test('an entry of containerd has two names', async () => {
    const full = 'docker.io/library/a:latest';
    const layout = await written([named(image, { [refName]: 'latest', [containerd]: full })]);
    expect(await Array.fromAsync(layout.tags(''))).toEqual([full, 'latest']);
    for (const name of ['latest', full]) {
      expect((await layout.resolve('', name))?.digest).toBe(image.root.digest);
    }
  });

  test('T08: a short name that several full names share is nobody\u2019s', async () => {
    const layout = await written([
      named(image, { [refName]: 'latest', [containerd]: 'docker.io/library/a:latest' }),
      named(other, { [refName]: 'latest', [containerd]: 'docker.io/library/b:latest' }),
    ]);
    expect(await Array.fromAsync(layout.tags(''))).toEqual([
      'docker.io/library/a:latest',
      'docker.io/library/b:latest',
    ]);
    expect(await layout.resolve('', 'latest')).toBeUndefined();
    expect((await layout.resolve('', 'docker.io/library/b:latest'))?.digest).toBe(
      other.root.digest,
    );
  });

  test('T08: a name of two images is CONFLICT, of one image twice is not', async () => {
    const layout = await written([
      named(image, { [refName]: 'x' }),
      named(other, { [refName]: 'x' }),
    ]);
    expect(codeOf(await layout.resolve('', 'x').catch((error) => error))).toBe('CONFLICT');
    expect((await layout.resolve('', other.root.digest))?.digest).toBe(other.root.digest);
    const same = await written([
      named(image, { [refName]: 'x' }),
      named(image, { [refName]: 'x' }),
    ]);
    expect((await same.resolve('', 'x'))?.digest).toBe(image.root.digest);
  });

  test('a sparse layout is read as far as it goes', async () => {
    const { root } = await filled();
    const [layer = image.root.config] = image.root.layers;
    rmSync(join(root, ociBlobPath(layer.digest)));
    const reader = ociLayoutReader(directory(root), root);
    expect((await reader.resolve('', '1.0'))?.digest).toBe(image.root.digest);
    expect(await reader.blob('', layer.digest)).toBeUndefined();
    expect((await reader.blob('', image.root.config.digest))?.size).toBe(image.root.config.size);
  });
});

describe('what is damaged', () => {
  test.each([
    ['no JSON', '{'],
    ['another version', '{"schemaVersion":1,"manifests":[]}'],
    ['no list', '{"schemaVersion":2}'],
    [
      'a digest that climbs',
      '{"schemaVersion":2,"manifests":[{"mediaType":"x","size":1,"digest":"sha256:../../etc"}]}',
    ],
    [
      'a size that is none',
      `{"schemaVersion":2,"manifests":[{"mediaType":"x","size":-1,"digest":"${image.root.digest}"}]}`,
    ],
  ])('C20: an index.json with %s is MANIFEST_INVALID, naming the layout', async (_, text) => {
    const { root, layout } = await filled();
    rmSync(join(root, 'index.json'));
    writeFileSync(join(root, 'index.json'), text);
    for (const act of [() => layout.resolve('', '1.0'), () => Array.fromAsync(layout.tags(''))]) {
      const failure = await act().catch((error: unknown) => error);
      expect(codeOf(failure)).toBe('MANIFEST_INVALID');
      expect(String(failure)).toContain(root);
    }
  });

  test('T03: a manifest with other bytes is DIGEST_MISMATCH, and putting it again mends it', async () => {
    const { root, layout } = await filled();
    const path = join(root, ociBlobPath(image.root.digest));
    const body = readFileSync(path);
    rmSync(path);
    writeFileSync(
      path,
      body.map((byte, at) => (at === 30 ? byte ^ 1 : byte)),
    );
    await expect(layout.resolve('', '1.0')).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' });
    await layout.putManifest('', image.root, '1.0');
    expect(await wholeTag(layout, '', '1.0')).toBe(image.root.digest);
  });

  test('T02: a blob that is a link is not followed out', async () => {
    const { root, layout } = await filled();
    const { digest } = image.root.config;
    const path = join(root, ociBlobPath(digest));
    const outside = join(await temporaryDirectory(), 'outside');
    writeFileSync(outside, readFileSync(path));
    rmSync(path);
    symlinkSync(outside, path);
    expect(await layout.blob('', digest)).toBeUndefined();
    rmSync(dirname(path), { recursive: true });
    mkdirSync(join(outside, '..', 'blobs'));
    writeFileSync(join(outside, '..', 'blobs', digest.slice(7)), 'secret');
    symlinkSync(join(outside, '..', 'blobs'), dirname(path));
    expect(await layout.blob('', digest)).toBeUndefined();
  });

  test('C22: a manifest of more than 4 MiB is not read', async () => {
    const { root, layout } = await filled();
    const path = join(root, ociBlobPath(image.root.digest));
    rmSync(path);
    writeFileSync(path, Buffer.alloc(4 * 1024 * 1024 + 1, ' '));
    expect(await layout.manifest('', image.root.digest)).toBeUndefined();
  });
});

test('an index without its children is named once they are there', async () => {
  const root = await temporaryDirectory();
  const layout = ociLayout(root, { fs: unsynced });
  const index = indexFixture(['linux/amd64', 'linux/arm64']);
  for (const [digest, body] of index.blobs) await layout.putBlob('', digest, bytes(body));
  expect(existsSync(join(root, 'index.json'))).toBe(false);
  for (const manifest of index.manifests) {
    await layout.putManifest('', manifest, manifest === index.root ? 'all' : undefined);
  }
  expect(await wholeTag(layout, '', 'all')).toBe(index.root.digest);
  expect(await Array.fromAsync(layout.tags(''))).toEqual(['all']);
});
