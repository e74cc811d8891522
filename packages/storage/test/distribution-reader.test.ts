import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bytes, codeOf, type RegistryReader, readAll, type Tree } from '@cluster-image/oci';
import {
  directory,
  distributionLayout,
  distributionReader,
  layoutPaths,
  subTree,
  type TarEntry,
  tarball,
  tarTree,
} from '@cluster-image/storage';
import { imageFixture, indexFixture, putFixture, temporaryDirectory } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { template } from './template.ts';
import { unsynced } from './unsynced.ts';
import { wholeTag } from './wreck.ts';

const [image, index] = [imageFixture(), indexFixture(['linux/amd64', 'linux/arm64'])];

const filled = template(async (root) => {
  const registry = distributionLayout(root, { fs: unsynced });
  await putFixture(registry, 'team/app', image, '1.0');
  await putFixture(registry, 'team/app', index, 'all');
  await putFixture(registry, 'team', image, 'a');
});

async function packed(tree: Tree): Promise<Tree> {
  const entries: TarEntry[] = [];
  for await (const entry of tree.entries()) {
    entries.push(entry.type === 'symlink' ? entry : { ...entry, path: `inner/${entry.path}` });
  }
  return subTree(await tarTree(tarball(entries), 'packed'), 'inner');
}

describe.each([
  ['a directory', async (root: string) => directory(root)],
  ['an archive', async (root: string) => packed(directory(root))],
])('a registry directory in %s', (_, treeOf) => {
  test('has what the directory has', async () => {
    const root = await filled();
    const reader = distributionReader(await treeOf(root), 'here');
    const layout = distributionLayout(root);
    expect(await Array.fromAsync(reader.repositories())).toEqual(['team', 'team/app']);
    expect(await Array.fromAsync(reader.tags('team/app'))).toEqual(['1.0', 'all']);
    expect(await Array.fromAsync(reader.tags('none'))).toEqual([]);
    expect(await wholeTag(reader, 'team/app', '1.0')).toBe(image.root.digest);
    expect(await wholeTag(reader, 'team/app', 'all')).toBe(index.root.digest);
    for (const [name, reference] of [
      ['team', 'a'],
      ['team', 'all'],
      ['none', 'a'],
      ['team', index.root.digest],
    ] as const) {
      expect(await reader.resolve(name, reference)).toEqual(await layout.resolve(name, reference));
    }
    const { digest, size } = index.root.manifests[0] ?? index.root;
    expect(await reader.blob('team', digest, size)).toBeUndefined();
  });

  test('refuses names that lead out', async () => {
    const reader = distributionReader(await treeOf(await filled()), 'here');
    await expect(reader.resolve('../x', 'a')).rejects.toMatchObject({ code: 'REFERENCE_INVALID' });
    await expect(reader.blob('a/../b', image.root.digest)).rejects.toMatchObject({
      code: 'REFERENCE_INVALID',
    });
    expect(await reader.resolve('team', '../x')).toBeUndefined();
  });

  test.each([
    ['a newline', `${image.root.digest}\n`],
    ['no bytes', ''],
    ['another digest', image.root.config.digest],
  ])('D08: a link with %s is DIGEST_INVALID, naming it', async (_, text) => {
    const root = await filled();
    for (const [link, ask] of [
      [
        layoutPaths.revision('team', image.root.digest),
        (reader: RegistryReader) => reader.resolve('team', 'a'),
      ],
      [
        layoutPaths.layer('team', image.root.layers[0]?.digest ?? image.root.digest),
        (reader: RegistryReader) =>
          reader.blob('team', image.root.layers[0]?.digest ?? image.root.digest),
      ],
    ] as const) {
      const before = readFileSync(join(root, link));
      writeFileSync(join(root, link), text);
      const failure = await ask(distributionReader(await treeOf(root), 'here')).catch(
        (error) => error,
      );
      expect(codeOf(failure)).toBe('DIGEST_INVALID');
      expect(String(failure)).toContain(`here/${link}`);
      writeFileSync(join(root, link), before);
    }
  });

  test('D08: a link that leads nowhere is absence', async () => {
    const root = await filled();
    rmSync(join(root, layoutPaths.blob(image.root.digest)));
    const reader = distributionReader(await treeOf(root), 'here');
    expect(await reader.resolve('team', 'a')).toBeUndefined();
    expect(await reader.manifest('team', image.root.digest)).toBeUndefined();
  });

  test('D07: what is no tag is not listed', async () => {
    const root = await filled();
    for (const name of ['.tmp-1/current', 'ghost']) {
      mkdirSync(join(root, layoutPaths.tags('team'), name), { recursive: true });
    }
    writeFileSync(join(root, layoutPaths.tags('team'), '.tmp-1/current/link'), image.root.digest);
    const reader = distributionReader(await treeOf(root), 'here');
    expect(await Array.fromAsync(reader.tags('team'))).toEqual(['a']);
  });
});

test('a registry directory is not read through links that lead out of it', async () => {
  const [root, elsewhere] = [await temporaryDirectory(), await filled()];
  symlinkSync(join(elsewhere, 'docker'), join(root, 'docker'));
  const reader = distributionReader(directory(root), 'here');
  expect(await reader.resolve('team', 'a')).toBeUndefined();
  expect(await Array.fromAsync(reader.repositories())).toEqual([]);
});

test('a tree below a directory has the names without it, and only what is there', async () => {
  const tree = await tarTree(
    tarball([
      { type: 'directory', path: 'a', mode: 0o755 },
      { type: 'file', path: 'a/f', mode: 0o644, content: bytes('inner') },
      { type: 'file', path: 'ab', mode: 0o644, content: bytes('outer') },
    ]),
    'tree',
  );
  const below = subTree(tree, 'a');
  expect((await Array.fromAsync(below.entries())).map(({ path }) => path)).toEqual(['f']);
  expect(await below.entry('b')).toBeUndefined();
  expect((await below.entry(''))?.type).toBe('directory');
  const found = await below.entry('f');
  expect(found?.type === 'file' && Buffer.from(await readAll(found.content, 10)).toString()).toBe(
    'inner',
  );
});
