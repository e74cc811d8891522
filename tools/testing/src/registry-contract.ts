import {
  bytes,
  type Content,
  codeOf,
  copy,
  createContext,
  describe as describeManifest,
  digestOf,
  memory,
  OciError,
  type Registry,
  readAll,
} from '@cluster-image/oci';
import { describe, expect, test } from 'vitest';
import { imageFixture, indexFixture, noise, putFixture } from './fixtures.ts';
import { type OpenedAs, opening } from './opened.ts';

/** What every registry promises, run against one implementation. */
export interface ContractOptions {
  /** Layouts and archives have one repository, whose name is empty. */
  readonly sole?: boolean;
}

export function registryContract(
  name: string,
  open: () => Promise<OpenedAs<Registry>>,
  { sole = false }: ContractOptions = {},
): void {
  const one = sole ? '' : 'team/app';
  const openOne = opening(open);

  describe(`the registry contract: ${name}`, () => {
    test('what is absent is undefined', async () => {
      const registry = await openOne();
      const { root } = imageFixture();
      expect(await registry.resolve(one, 'none')).toBeUndefined();
      expect(await registry.resolve(one, root.digest)).toBeUndefined();
      expect(await registry.manifest(one, root.digest)).toBeUndefined();
      expect(await registry.blob(one, root.config.digest)).toBeUndefined();
      expect(await Array.fromAsync(registry.tags(one))).toEqual([]);
    });

    test('an image is read back as it was written', async () => {
      const registry = await openOne();
      const image = imageFixture();
      await putFixture(registry, one, image, '1.0');
      const descriptor = describeManifest(image.root);
      expect(await registry.resolve(one, '1.0')).toEqual(descriptor);
      expect(await registry.resolve(one, image.root.digest)).toEqual(descriptor);
      const manifest = await registry.manifest(one, image.root.digest);
      expect(new Uint8Array(manifest?.bytes ?? [])).toEqual(image.root.bytes);
      expect(manifest?.mediaType).toBe(image.root.mediaType);
      for (const [digest, body] of image.blobs) {
        for (const size of [undefined, body.length]) {
          const blob = await registry.blob(one, digest, size);
          expect(blob?.size).toBe(body.length);
          expect(blob && (await readAll(blob, body.length))).toEqual(body);
        }
      }
    });

    test('any range of a blob can be read', async () => {
      const registry = await openOne();
      const body = noise('ranges', 5000);
      const image = imageFixture({ layers: [body] });
      await putFixture(registry, one, image, '1.0');
      const blob = await registry.blob(one, digestOf(body));
      for (const [start, end] of [
        [0, 1],
        [0, 5000],
        [1234, 1234],
        [1234, 4321],
        [4999, 5000],
      ] as const) {
        const read = blob && (await Array.fromAsync(blob.open({ start, end })));
        expect(Buffer.concat(read ?? [])).toEqual(Buffer.from(body.subarray(start, end)));
      }
    });

    test('an empty blob is a blob', async () => {
      const registry = await openOne();
      const image = imageFixture({ layers: [0, 10] });
      await putFixture(registry, one, image, '1.0');
      const empty = await registry.blob(one, digestOf(new Uint8Array()));
      expect(empty?.size).toBe(0);
      expect(empty && (await readAll(empty, 0))).toEqual(new Uint8Array());
    });

    test.each([
      ['other bytes', noise('other', 3000), 'DIGEST_MISMATCH'],
      ['too few bytes', noise('blob', 3000).subarray(0, 2000), 'SIZE_MISMATCH'],
      ['too many bytes', Buffer.concat([noise('blob', 3000), noise('more', 10)]), 'SIZE_MISMATCH'],
    ])('%s leave no trace', async (_, wrong, code) => {
      const registry = await openOne();
      const right = noise('blob', 3000);
      const digest = digestOf(right);
      const lying: Content = { size: right.length, open: () => bytes(wrong).open() };
      const failure = await registry.putBlob(one, digest, lying).catch((error: unknown) => error);
      expect(codeOf(failure)).toBe(code);
      expect(await registry.blob(one, digest)).toBeUndefined();
      await registry.putBlob(one, digest, bytes(right));
      const image = imageFixture({ layers: [right] });
      await putFixture(registry, one, image, '1.0');
      const blob = await registry.blob(one, digest);
      expect(blob && (await readAll(blob, 3000))).toEqual(right);
    });

    test('a source that breaks off leaves no trace', async () => {
      const registry = await openOne();
      const body = noise('broken', 3000);
      const broken: Content = {
        size: body.length,
        async *open() {
          yield body.subarray(0, 1000);
          throw new OciError('NETWORK', 'the line went dead');
        },
      };
      const failure = await registry
        .putBlob(one, digestOf(body), broken)
        .catch((error: unknown) => error);
      expect(codeOf(failure)).toBe('NETWORK');
      expect(await registry.blob(one, digestOf(body))).toBeUndefined();
    });

    test('a blob that is there is not read again', async () => {
      const registry = await openOne();
      const image = imageFixture();
      await putFixture(registry, one, image, '1.0');
      const [digest, body] = [...image.blobs][0] ?? [];
      if (!digest || !body) throw new Error('no blob');
      let opened = 0;
      const counted: Content = {
        size: body.length,
        open: (range) => {
          opened += 1;
          return bytes(body).open(range);
        },
      };
      await registry.putBlob(one, digest, counted);
      expect(opened).toBe(0);
    });

    test('a tag moves, and what it meant stays', async () => {
      const registry = await openOne();
      const [before, after] = [imageFixture({ seed: 'before' }), imageFixture({ seed: 'after' })];
      await putFixture(registry, one, before, 'latest');
      await putFixture(registry, one, after, 'latest');
      expect((await registry.resolve(one, 'latest'))?.digest).toBe(after.root.digest);
      expect((await registry.manifest(one, before.root.digest))?.digest).toBe(before.root.digest);
      expect(await Array.fromAsync(registry.tags(one))).toEqual(['latest']);
    });

    test('an index brings its children', async () => {
      const registry = await openOne();
      const index = indexFixture(['linux/amd64', 'linux/arm64']);
      await putFixture(registry, one, index, '1.0');
      expect((await registry.resolve(one, '1.0'))?.mediaType).toBe(index.root.mediaType);
      for (const child of index.root.manifests) {
        expect((await registry.manifest(one, child.digest))?.size).toBe(child.size);
      }
    });

    test('tags come in bytewise order', async () => {
      const registry = await openOne();
      const image = imageFixture();
      for (const tag of ['v1', 'B', 'a', 'V1.0', '1']) {
        await putFixture(registry, one, image, tag);
      }
      expect(await Array.fromAsync(registry.tags(one))).toEqual(['1', 'B', 'V1.0', 'a', 'v1']);
    });

    test('copying there and back changes nothing', async () => {
      const [registry, back] = [await openOne(), memory()];
      const index = indexFixture(['linux/amd64', 'linux/arm64'], { layers: [100, 200_000] });
      const source = memory();
      await putFixture(source, 'origin', index, '1.0');
      const context = createContext();
      const there = { registry, repository: one };
      await copy({ registry: source, repository: 'origin' }, '1.0', there, { tag: '1.0' }, context);
      await copy(there, '1.0', { registry: back, repository: 'end' }, { tag: '1.0' }, context);
      expect((await back.resolve('end', '1.0'))?.digest).toBe(index.root.digest);
      for (const [digest, body] of index.blobs) {
        const blob = await back.blob('end', digest);
        expect(blob && (await readAll(blob, body.length))).toEqual(body);
      }
    });

    if (sole) return;

    test('repositories are listed in order, also those below others', async () => {
      const registry = await openOne();
      for (const name of ['team/app', 'team', 'a-b', 'a/b', 'zebra']) {
        await putFixture(registry, name, imageFixture(), '1');
      }
      const names = await Array.fromAsync(registry.repositories());
      expect(names).toEqual(['a-b', 'a/b', 'team', 'team/app', 'zebra']);
    });

    test('what one repository has another has not', async () => {
      const registry = await openOne();
      const image = imageFixture();
      await putFixture(registry, 'mine', image, '1');
      expect(await registry.resolve('yours', '1')).toBeUndefined();
      expect(await registry.manifest('yours', image.root.digest)).toBeUndefined();
      expect(await registry.blob('yours', image.root.config.digest)).toBeUndefined();
    });
  });
}
