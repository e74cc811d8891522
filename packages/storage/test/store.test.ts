import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parseReference, readAll } from '@cluster-image/oci';
import { openStore, type VirtualImage } from '@cluster-image/storage';
import {
  imageFixture,
  putFixture,
  registryContract,
  temporaryDirectory,
} from '@cluster-image/testing';
import { expect, test } from 'vitest';
import { faulty } from './faulty.ts';
import { simulatedDisk } from './simulated-disk.ts';

registryContract('the content store', async () => ({
  registry: openStore(await temporaryDirectory()).registry,
}));

const fixture = imageFixture({ layers: [] });
const config = fixture.root.config.digest;

function named(name: string): VirtualImage {
  return {
    name,
    root: fixture.root,
    manifests: new Map([[fixture.root.digest, fixture.root]]),
    configs: new Map([[config, fixture.blobs.get(config) ?? new Uint8Array()]]),
    plans: new Map(),
  };
}

test('a blob is found by its digest alone, whatever repository it came with', async () => {
  const store = openStore(await temporaryDirectory());
  await putFixture(store.registry, 'docker.io/library/app', fixture, '1');
  const found = await store.blobs(config, fixture.root.config.size);
  expect(found && (await readAll(found, 1e6))).toEqual(fixture.blobs.get(config));
  expect(await store.blobs(imageFixture({ seed: 'other' }).root.config.digest, 1)).toBeUndefined();
});

test('an image that was built is found under its name, replaced and forgotten', async () => {
  const root = await temporaryDirectory();
  const store = openStore(root);
  const reference = parseReference('localhost:5000/team/cluster:v1');
  expect(await store.image(reference)).toBeUndefined();
  await store.putImage(reference, named('one'));
  expect(await store.image(reference)).toEqual(named('one'));
  expect(existsSync(join(root, 'images/localhost:5000/team/cluster/_tags/v1/index.json'))).toBe(
    true,
  );
  await store.putImage(reference, named('two'));
  expect((await openStore(root).image(reference))?.name).toBe('two');
  expect(await store.image(parseReference('localhost:5000/team/cluster:v2'))).toBeUndefined();
  expect(await store.image(parseReference('localhost:5000/team/cluster'))).toBeUndefined();
  await store.removeImage(reference);
  await store.removeImage(reference);
  expect(await store.image(reference)).toBeUndefined();
});

test('a name that lies below another is another', async () => {
  const store = openStore(await temporaryDirectory());
  const [outer, inner] = [parseReference('x.io/a:1'), parseReference('x.io/a/b:1')];
  await store.putImage(outer, named('outer'));
  await store.putImage(inner, named('inner'));
  await store.removeImage(outer);
  expect((await store.image(inner))?.name).toBe('inner');
});

test('T01: a name that leads out is refused', async () => {
  const root = await temporaryDirectory();
  const store = openStore(join(root, 'store'));
  for (const reference of [
    { host: 'x.io', repository: '../../../escaped', tag: '1' },
    { host: '..', repository: 'a', tag: '1' },
    { host: 'x.io', repository: 'a', tag: '../../1' },
  ]) {
    await expect(async () => store.putImage(reference, named('x'))).rejects.toMatchObject({
      code: 'REFERENCE_INVALID',
    });
    await expect(async () => store.removeImage(reference)).rejects.toMatchObject({
      code: 'REFERENCE_INVALID',
    });
  }
  expect(existsSync(join(root, 'store'))).toBe(false);
});

test('D01: an image whose removal was interrupted is no image, or whole', async () => {
  const reference = parseReference('x.io/a:1');
  const seen = new Set<string | undefined>();
  for (let at = 1; ; at++) {
    const disk = simulatedDisk();
    await openStore('/disk', disk.fs).putImage(reference, named('x'));
    const broken = faulty('death', at, disk.fs);
    await openStore('/disk', broken.fs)
      .removeImage(reference)
      .catch(() => {});
    seen.add((await openStore('/disk', disk.fs).image(reference))?.name);
    if (broken.hit() === undefined) break;
  }
  expect(seen).toEqual(new Set(['x', undefined]));
});
