import {
  chmodSync,
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
  digestContent,
  digestOf,
  type ImageManifest,
  type Manifest,
  mediaTypes,
  memory,
  parseManifest,
} from '@cluster-image/oci';
import {
  archive,
  type BlobSource,
  directory,
  imageArchive,
  type LayerPlan,
  layer,
  ociBlobPath,
  readThinImage,
  type VirtualImage,
  virtualRegistry,
  writeThinImage,
} from '@cluster-image/storage';
import { noise, temporaryDirectory } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { pathsBelow, wholeTag } from './wreck.ts';

const [blob, base] = [noise('blob', 5000), noise('a layer of a base image', 3000)];
const kept = new Map<Digest, Uint8Array>(
  [blob, base, noise('stranger', 10)].map((body) => [digestOf(body), body]),
);
const blobs: BlobSource = async (digest) => {
  const body = kept.get(digest);
  return body && bytes(body);
};

/** An index of images, each with a layer of a base image and one that is computed. */
async function virtual(
  name: string,
  platforms: readonly string[] = ['amd64', 'arm64'],
): Promise<VirtualImage> {
  const manifests = new Map<Digest, Manifest>();
  const configs = new Map<Digest, Uint8Array>();
  const plans = new Map<Digest, LayerPlan>();
  const children: ImageManifest[] = [];
  for (const architecture of platforms) {
    const plan: LayerPlan = {
      formatVersion: 1,
      entries: [
        { type: 'text', path: 'name', mode: 0o644, text: `${name} ${architecture}` },
        { type: 'file', path: 'blob', mode: 0o644, digest: digestOf(blob), size: blob.length },
      ],
    };
    const content = layer(plan, blobs);
    const digest = await digestContent(content);
    plans.set(digest, plan);
    const config = json({
      os: 'linux',
      architecture,
      rootfs: { type: 'layers', diff_ids: [digestOf(base), digest] },
    });
    configs.set(digestOf(config), config);
    const manifest = parseManifest(
      json({
        schemaVersion: 2,
        mediaType: mediaTypes.ociManifest,
        config: { mediaType: mediaTypes.ociConfig, digest: digestOf(config), size: config.length },
        layers: [
          { mediaType: mediaTypes.ociLayer, digest: digestOf(base), size: base.length },
          { mediaType: mediaTypes.ociLayer, digest, size: content.size },
        ],
      }),
      name,
    );
    manifests.set(manifest.digest, manifest);
    if (manifest.kind === 'image') children.push(manifest);
  }
  const root = parseManifest(
    json({
      schemaVersion: 2,
      mediaType: mediaTypes.ociIndex,
      manifests: children.map(({ mediaType, digest, size }) => ({ mediaType, digest, size })),
    }),
    name,
  );
  manifests.set(root.digest, root);
  return { name, root, manifests, configs, plans };
}

async function written(image: VirtualImage): Promise<string> {
  const root = join(await temporaryDirectory(), 'thin');
  await writeThinImage(root, image);
  return root;
}

const readBack = (root: string): Promise<VirtualImage | undefined> =>
  readThinImage(directory(root), root);

describe('a thin image', () => {
  test('is read back as it was written', async () => {
    const image = await virtual('docker.io/library/app:1');
    const root = await written(image);
    expect(await readBack(root)).toEqual(image);
    expect(await pathsBelow(root)).not.toContain('.staging/');
  });

  test('is an OCI layout with plans beside it, and holds no layer', async () => {
    const image = await virtual('app:1', ['amd64']);
    const root = await written(image);
    const small = [...image.manifests.keys(), ...image.configs.keys()].map(
      (digest) => `blobs/sha256/${digest.slice(7)}`,
    );
    const plans = [...image.plans.keys()].map((digest) => `plans/sha256/${digest.slice(7)}.json`);
    expect((await pathsBelow(root)).filter((path) => !path.endsWith('/'))).toEqual(
      [...small, ...plans, 'index.json', 'oci-layout'].sort(),
    );
  });

  test('that replaces another leaves nothing of it, and what is not ours', async () => {
    const [before, after] = [await virtual('before'), await virtual('after', ['s390x'])];
    const root = await written(before);
    writeFileSync(join(root, 'receipt.json'), '{}');
    await writeThinImage(root, after);
    expect(await readBack(root)).toEqual(after);
    const alone = await written(after);
    expect(await pathsBelow(root)).toEqual([...(await pathsBelow(alone)), 'receipt.json'].sort());
  });

  test('is undefined where there is none', async () => {
    expect(await readBack(await temporaryDirectory())).toBeUndefined();
    expect(await readBack('/nowhere')).toBeUndefined();
  });
});

describe('N01: a thin image that was tampered with', () => {
  const change = (text: string): string =>
    text.replace('linux', 'lunix').replace('"schemaVersion":2', '"schemaVersion": 2');

  async function tampered(
    path: (image: VirtualImage) => string,
    edit: (text: string) => string,
  ): Promise<unknown> {
    const image = await virtual('app:1');
    const root = await written(image);
    const file = join(root, path(image));
    const text = readFileSync(file, 'utf8');
    rmSync(file);
    writeFileSync(file, edit(text));
    return readBack(root).catch((error) => error);
  }

  const [config, root, child, plan] = [
    (image: VirtualImage) => ociBlobPath([...image.configs.keys()][0] ?? image.root.digest),
    (image: VirtualImage) => ociBlobPath(image.root.digest),
    (image: VirtualImage) => ociBlobPath([...image.manifests.keys()][0] ?? image.root.digest),
    (image: VirtualImage) => `plans/sha256/${[...image.plans.keys()][0]?.slice(7)}.json`,
  ];

  test.each([
    ['config', config],
    ['root', root],
    ['child', child],
  ])('in its %s is DIGEST_MISMATCH', async (_, path) => {
    expect(codeOf(await tampered(path, change))).toBe('DIGEST_MISMATCH');
  });

  test('in the form of a plan is INPUT_INVALID, naming the file', async () => {
    const failure = await tampered(plan, (text) => text.replace('"blob"', '"../blob"'));
    expect(codeOf(failure)).toBe('INPUT_INVALID');
    expect(String(failure)).toContain('plans/sha256/');
  });

  test.each([
    ['the bytes', 'amd64', 'AMD64', 'DIGEST_MISMATCH'],
    ['the size', 'amd64', 'amd64'.repeat(200), 'SIZE_MISMATCH'],
  ])('in %s that a plan stands for is found when its layer is read', async (_, from, to, code) => {
    const image = await virtual('app:1', ['amd64']);
    const root = await written(image);
    const path = join(root, plan(image));
    writeFileSync(path, readFileSync(path, 'utf8').replace(from, to));
    const read = await readBack(root);
    if (!read) throw new Error('no image');
    const from_ = { registry: virtualRegistry(read, blobs), repository: '' };
    const failure = await copy(
      from_,
      'app:1',
      { registry: memory(), repository: 'x' },
      {},
      createContext(),
    ).catch((error) => error);
    expect(codeOf(failure)).toBe(code);
  });

  test.each([
    ['config', config],
    ['root', root],
    ['child', child],
  ])('N04: or lost its %s is NOT_FOUND', async (what, path) => {
    const image = await virtual('app:1');
    const directory = await written(image);
    rmSync(join(directory, path(image)));
    const failure = await readBack(directory).catch((error) => error);
    expect(codeOf(failure)).toBe('NOT_FOUND');
    expect(String(failure)).toContain(what === 'config' ? 'config sha256:' : 'manifest');
  });

  test('N04: or lost a plan lacks that layer', async () => {
    const image = await virtual('app:1', ['amd64']);
    const root = await written(image);
    rmSync(join(root, plan(image)));
    const read = await readBack(root);
    if (!read) throw new Error('no image');
    const from = { registry: virtualRegistry(read, blobs), repository: '' };
    const failure = await copy(
      from,
      'app:1',
      { registry: memory(), repository: 'x' },
      {},
      createContext(),
    ).catch((error) => error);
    expect(codeOf(failure)).toBe('NOT_FOUND');
    expect(String(failure)).toContain([...image.plans.keys()][0]);
  });

  test('N04: or lost its modes and got others is as good as before', async () => {
    const image = await virtual('app:1');
    const root = await written(image);
    for (const path of await pathsBelow(root))
      if (!path.endsWith('/')) chmodSync(join(root, path), 0o400);
    await writeThinImage(root, image);
    expect(await readBack(root)).toEqual(image);
  });

  test('N02: with links that lead out is not followed there', async () => {
    const image = await virtual('app:1');
    const root = await written(image);
    const elsewhere = await written(image);
    rmSync(join(root, 'blobs'), { recursive: true });
    symlinkSync(join(elsewhere, 'blobs'), join(root, 'blobs'));
    expect(codeOf(await readBack(root).catch((error) => error))).toBe('NOT_FOUND');
    const path = join(elsewhere, 'index.json');
    mkdirSync(join(dirname(root), 'third'));
    symlinkSync(path, join(dirname(root), 'third', 'index.json'));
    expect(await readBack(join(dirname(root), 'third'))).toBeUndefined();
  });
});

describe('the registry of a virtual image', () => {
  test('has all of the image, layers computed and layers of a base', async () => {
    const image = await virtual('app:1');
    const registry = virtualRegistry(image, blobs);
    expect(await Array.fromAsync(registry.repositories())).toEqual(['']);
    expect(await Array.fromAsync(registry.tags(''))).toEqual(['app:1']);
    expect(await wholeTag(registry, '', 'app:1')).toBe(image.root.digest);
    const [child] = image.manifests.keys();
    expect((await registry.resolve('', child ?? ''))?.digest).toBe(child);
    const [computed] = image.plans.keys();
    expect((await registry.blob('', computed ?? image.root.digest))?.size).toBeGreaterThan(
      blob.length,
    );
  });

  test('has nothing else, though the store does', async () => {
    const image = await virtual('app:1');
    const registry = virtualRegistry(image, blobs);
    const stranger = digestOf(noise('stranger', 10));
    expect(await registry.blob('', stranger)).toBeUndefined();
    expect(await registry.blob('', stranger, 10)).toBeUndefined();
    expect(await registry.blob('', digestOf(blob))).toBeUndefined();
    expect((await registry.blob('', digestOf(base)))?.size).toBe(base.length);
    expect(await registry.resolve('', 'other')).toBeUndefined();
    expect(await registry.resolve('', stranger)).toBeUndefined();
    expect(await registry.resolve('x', 'app:1')).toBeUndefined();
    expect(await registry.manifest('x', image.root.digest)).toBeUndefined();
    expect(await registry.blob('x', digestOf(base))).toBeUndefined();
    expect(await Array.fromAsync(registry.tags('x'))).toEqual([]);
  });

  test('reads the same as the image when that is whole', async () => {
    const image = await virtual('app:1');
    const registry = virtualRegistry(image, blobs);
    const whole = memory();
    await copy(
      { registry, repository: '' },
      'app:1',
      { registry: whole, repository: 'x' },
      { tag: '1' },
      createContext(),
    );
    expect(await wholeTag(whole, 'x', '1')).toBe(image.root.digest);
    const reference = { tag: '1', reference: 'app:1' };
    const thin = await imageArchive(registry, '', image.root, reference, 'oci');
    const thick = await imageArchive(whole, 'x', image.root, reference, 'oci');
    expect(await digestContent(thin)).toBe(await digestContent(thick));
    expect(await wholeTag(await archive(thin, 'thin'), '', 'app:1')).toBe(image.root.digest);
  });
});

function json(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

test('a thin image that is written anew has new times, by which those who cache outputs know it', async () => {
  const root = await temporaryDirectory();
  const before = Date.now() - 1000;
  await writeThinImage(root, await virtual('one'));
  expect(statSync(join(root, 'index.json')).mtimeMs).toBeGreaterThan(before);
});
