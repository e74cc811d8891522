import { bytes, type Registry, type Removable, readAll } from '@cluster-image/oci';
import { describe, expect, test } from 'vitest';
import { imageFixture, indexFixture, putFixture } from './fixtures.ts';
import { type OpenedAs, opening } from './opened.ts';

const one = 'team/app';

/** What every registry promises that can be made to forget, run against one implementation. */
export function removableContract(
  name: string,
  open: () => Promise<OpenedAs<Registry & Removable>>,
): void {
  const openOne = opening(open);
  const image = imageFixture();
  const { digest } = image.root;

  describe(`the contract of removal: ${name}`, () => {
    test('there is nothing to remove where nothing is', async () => {
      const registry = await openOne();
      expect(await registry.removeTag(one, '1.0')).toBe(false);
      expect(await registry.removeManifest(one, digest)).toBe(false);
      expect(await registry.removeBlob(one, image.root.config.digest)).toBe(false);
      expect(await Array.fromAsync(registry.repositories())).toEqual([]);
    });

    test('a tag goes once, and what it meant stays with its other tags', async () => {
      const registry = await openOne();
      await putFixture(registry, one, image, '1.0');
      await registry.putManifest(one, image.root, 'latest');
      expect(await registry.removeTag(one, '1.0')).toBe(true);
      expect(await registry.removeTag(one, '1.0')).toBe(false);
      expect(await registry.resolve(one, '1.0')).toBeUndefined();
      expect(await Array.fromAsync(registry.tags(one))).toEqual(['latest']);
      expect((await registry.resolve(one, 'latest'))?.digest).toBe(digest);
      expect((await registry.manifest(one, digest))?.digest).toBe(digest);
    });

    test('a manifest goes with every tag that means it, and with no other', async () => {
      const registry = await openOne();
      const other = imageFixture({ seed: 'other' });
      await putFixture(registry, one, image, '1.0');
      await putFixture(registry, one, image, 'latest');
      await putFixture(registry, one, other, '2.0');
      expect(await registry.removeManifest(one, digest)).toBe(true);
      expect(await registry.removeManifest(one, digest)).toBe(false);
      expect(await registry.manifest(one, digest)).toBeUndefined();
      for (const reference of ['1.0', 'latest', digest]) {
        expect(await registry.resolve(one, reference)).toBeUndefined();
      }
      expect(await Array.fromAsync(registry.tags(one))).toEqual(['2.0']);
      expect((await registry.resolve(one, '2.0'))?.digest).toBe(other.root.digest);
    });

    test('an index goes, and its children stay', async () => {
      const registry = await openOne();
      const index = indexFixture(['linux/amd64', 'linux/arm64']);
      await putFixture(registry, one, index, '1.0');
      expect(await registry.removeManifest(one, index.root.digest)).toBe(true);
      for (const child of index.root.manifests) {
        expect((await registry.manifest(one, child.digest))?.digest).toBe(child.digest);
      }
    });

    test('a tag that went can be given again, also to something else', async () => {
      const registry = await openOne();
      const other = imageFixture({ seed: 'other' });
      await putFixture(registry, one, image, '1.0');
      await registry.removeTag(one, '1.0');
      await putFixture(registry, one, other, '1.0');
      expect((await registry.resolve(one, '1.0'))?.digest).toBe(other.root.digest);
      await registry.removeManifest(one, other.root.digest);
      await putFixture(registry, one, image, '1.0');
      expect((await registry.resolve(one, '1.0'))?.digest).toBe(digest);
    });

    test('a blob goes from its repository, and can be put there again', async () => {
      const registry = await openOne();
      const [blob, body] = [...image.blobs][0] ?? [];
      if (!blob || !body) throw new Error('no blob');
      await registry.putBlob(one, blob, bytes(body));
      await registry.putBlob('team/other', blob, bytes(body));
      expect(await registry.removeBlob(one, blob)).toBe(true);
      expect(await registry.removeBlob(one, blob)).toBe(false);
      expect(await registry.blob(one, blob)).toBeUndefined();
      const kept = await registry.blob('team/other', blob);
      expect(kept && (await readAll(kept, body.length))).toEqual(body);
      await registry.putBlob(one, blob, bytes(body));
      const again = await registry.blob(one, blob);
      expect(again && (await readAll(again, body.length))).toEqual(body);
    });

    test('what goes from one repository stays in the others', async () => {
      const registry = await openOne();
      for (const repository of [one, 'team', 'team/app/sub']) {
        await putFixture(registry, repository, image, '1.0');
      }
      await registry.removeManifest(one, digest);
      for (const blob of image.blobs.keys()) await registry.removeBlob(one, blob);
      for (const repository of ['team', 'team/app/sub']) {
        expect((await registry.resolve(repository, '1.0'))?.digest).toBe(digest);
        for (const blob of image.blobs.keys()) {
          expect(await registry.blob(repository, blob)).toBeDefined();
        }
      }
    });
  });
}
