import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { bytes, type Digest, digestOf } from '@cluster-image/oci';
import {
  distributionLayout,
  type LayoutReport,
  layoutPaths,
  verifyLayout,
} from '@cluster-image/storage';
import { imageFixture, indexFixture, putFixture, temporaryDirectory } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { template } from './template.ts';
import { unsynced } from './unsynced.ts';

const [image, index] = [imageFixture(), indexFixture(['linux/amd64', 'linux/arm64'])];
const [layer = image.root.config] = image.root.layers;
const [child = index.root] = index.root.manifests;

const filled = template(async (root) => {
  const registry = distributionLayout(root, { fs: unsynced });
  await putFixture(registry, 'team/app', image, '1.0');
  await putFixture(registry, 'team/app', index, 'all');
});

const verify = (root: string, sparse = false): Promise<LayoutReport> =>
  verifyLayout(distributionLayout(root), { sparse });

test('a directory that is whole has no problems, and is counted', async () => {
  const report = await verify(await filled());
  const blobs = new Map([...image.blobs, ...index.blobs]);
  const manifests = [...image.manifests, ...index.manifests];
  const sizes = [
    ...[...blobs.values()].map((body) => body.length),
    ...manifests.map(({ size }) => size),
  ];
  expect(report).toEqual({
    repositories: 1,
    manifests: manifests.length,
    blobs: blobs.size + manifests.length,
    bytes: sizes.reduce((sum, size) => sum + size, 0),
    problems: [],
  });
  expect(await verify(await temporaryDirectory())).toMatchObject({ repositories: 0, problems: [] });
});

test('a directory whose digests are of sha512 is read by those', async () => {
  const root = await temporaryDirectory();
  const body = Buffer.from('by sha512');
  const digest = digestOf(body, 'sha512');
  await distributionLayout(root).putBlob('team/app', digest, bytes(body));
  expect(await verify(root)).toMatchObject({ blobs: 1, bytes: body.length, problems: [] });
  rewrite(join(root, layoutPaths.blob(digest)), flip);
  const why = `holds ${digestOf(flip(body), 'sha512')}`;
  expect((await verify(root)).problems).toContainEqual({ path: layoutPaths.blob(digest), why });
});

const blob = (digest: Digest): string => layoutPaths.blob(digest);
const flip = (body: Buffer): Buffer =>
  Buffer.from(body.map((byte, at) => (at === 5 ? byte ^ 1 : byte)));

describe('P2: what is found', () => {
  test.each<[string, string, (path: string) => void, string[]]>([
    [
      'a flipped bit of a layer',
      blob(layer.digest),
      (path) => rewrite(path, flip),
      [blob(layer.digest), layoutPaths.layer('team/app', layer.digest)],
    ],
    [
      'a flipped bit of a manifest',
      blob(image.root.digest),
      (path) => rewrite(path, flip),
      [blob(image.root.digest), layoutPaths.revision('team/app', image.root.digest)],
    ],
    [
      'D04: a layer that is cut off',
      blob(layer.digest),
      (path) => rewrite(path, (body) => body.subarray(1)),
      [blob(layer.digest), layoutPaths.layer('team/app', layer.digest)],
    ],
    [
      'D04: a layer that is gone',
      blob(layer.digest),
      rmSync,
      [layoutPaths.layer('team/app', layer.digest)],
    ],
    [
      'D04: a layer that is a directory',
      blob(layer.digest),
      (path) => {
        rmSync(path);
        mkdirSync(path);
      },
      [blob(layer.digest), layoutPaths.layer('team/app', layer.digest)],
    ],
    [
      'D08: a tag with a newline',
      layoutPaths.tag('team/app', '1.0'),
      (path) => rewrite(path, (body) => Buffer.concat([body, Buffer.from('\n')])),
      [layoutPaths.tag('team/app', '1.0')],
    ],
    [
      'D08: a tag of no bytes',
      layoutPaths.tag('team/app', '1.0'),
      (path) => rewrite(path, () => Buffer.alloc(0)),
      [layoutPaths.tag('team/app', '1.0')],
    ],
    [
      'D08: a tag that leads nowhere',
      layoutPaths.tag('team/app', '1.0'),
      (path) => rewrite(path, () => Buffer.from(layer.digest)),
      [layoutPaths.tag('team/app', '1.0')],
    ],
    [
      'D08: a layer link to another layer',
      layoutPaths.layer('team/app', layer.digest),
      (path) => rewrite(path, () => Buffer.from(image.root.config.digest)),
      [layoutPaths.layer('team/app', layer.digest)],
    ],
    [
      'D10: a child without its link',
      layoutPaths.revision('team/app', child.digest),
      rmSync,
      [layoutPaths.revision('team/app', child.digest)],
    ],
    [
      'a layer without its link',
      layoutPaths.layer('team/app', layer.digest),
      rmSync,
      [layoutPaths.layer('team/app', layer.digest)],
    ],
    [
      'a tag without a current link',
      layoutPaths.tag('team/app', '1.0'),
      rmSync,
      [layoutPaths.tag('team/app', '1.0')],
    ],
  ])('%s', async (_, path, damage, wrong) => {
    const root = await filled();
    damage(join(root, path));
    const { problems } = await verify(root);
    expect([...new Set(problems.map((problem) => problem.path))].sort()).toEqual(wrong.sort());
  });

  test('D07: a directory among the tags that is none', async () => {
    const root = await filled();
    mkdirSync(join(root, layoutPaths.tags('team/app'), '.tmp-1'));
    expect((await verify(root)).problems.map(({ path }) => path)).toEqual([
      `${layoutPaths.tags('team/app')}/.tmp-1`,
    ]);
  });

  test('C20: a blob whose directory is no digest, or lies in the wrong place', async () => {
    const root = await filled();
    const hex = layer.digest.slice(7);
    for (const path of [`sha256/00/${hex}`, 'sha256/zz/zzz', `md5/aa/${hex}`]) {
      mkdirSync(join(root, layoutPaths.blobs, path), { recursive: true });
      writeFileSync(join(root, layoutPaths.blobs, path, 'data'), 'x');
    }
    expect((await verify(root)).problems.map(({ path }) => path).sort()).toEqual(
      [`md5/aa/${hex}`, `sha256/00/${hex}`, 'sha256/zz/zzz'].map(
        (path) => `${layoutPaths.blobs}/${path}/data`,
      ),
    );
  });

  test('nothing, of a blob that is a link to the right bytes', async () => {
    const root = await filled();
    const path = join(root, blob(layer.digest));
    writeFileSync(join(dirname(path), 'elsewhere'), readFileSync(path));
    rmSync(path);
    symlinkSync('elsewhere', path);
    expect((await verify(root)).problems).toEqual([]);
  });
});

test('in a store an index may lack children, and a tag may be on its way', async () => {
  const root = await temporaryDirectory();
  const store = distributionLayout(root, { resumable: true });
  await store.putManifest('a', index.root, 'all');
  rmSync(join(root, layoutPaths.tag('a', 'all')));
  expect((await verify(root, true)).problems).toEqual([]);
  expect((await verify(root)).problems.map(({ path }) => path).sort()).toEqual(
    [
      layoutPaths.tag('a', 'all'),
      ...index.root.manifests.map(({ digest }) => layoutPaths.revision('a', digest)),
    ].sort(),
  );
});

function rewrite(path: string, edit: (body: Buffer) => Buffer): void {
  const body = readFileSync(path);
  rmSync(path);
  writeFileSync(path, edit(body));
}
