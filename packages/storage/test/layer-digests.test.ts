import { randomBytes } from 'node:crypto';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { bytes, type Digest, digestContent, digestOf, slice } from '@cluster-image/oci';
import { type LayerPlan, layer, layoutPaths, openStore, type Store } from '@cluster-image/storage';
import { temporaryDirectory } from '@cluster-image/testing';
import { expect, test } from 'vitest';

const never = new AbortController().signal;

/** A store with a blob for each size, and a plan that has all of them between other entries. */
async function stored(...sizes: readonly number[]): Promise<{ store: Store; plan: LayerPlan }> {
  const store = openStore(await temporaryDirectory());
  const entries: LayerPlan['entries'] = [
    { type: 'directory', path: 'registry', mode: 0o755 },
    { type: 'text', path: 'registry/link', mode: 0o644, text: 'sha256:é' },
    { type: 'symlink', path: 'registry/other', target: 'link' },
  ];
  for (const [at, size] of sizes.entries()) {
    const body = randomBytes(size);
    const digest = digestOf(body);
    await store.registry.putContent(digest, bytes(body));
    entries.push({
      type: 'file',
      path: `registry/${at}${'x'.repeat(90)}`,
      mode: 0o644,
      digest,
      size,
    });
  }
  return { store, plan: { formatVersion: 1, entries } };
}

test.each([
  ['small, here', [0, 1, 511, 512, 513]],
  ['large, in threads', [33_000_000, 0, 1, 600]],
])('the digest of a layer is that of its bytes: %s', async (_, sizes) => {
  const { store, plan } = await stored(...sizes);
  const content = layer(plan, store.blobs);
  const [one, two] = await store.layers.describe([plan, plan], never);
  expect(one).toMatchObject({ digest: await digestContent(content), size: content.size });
  expect(two).toEqual(one);
  const wanted = plan.entries.flatMap((entry) => (entry.type === 'file' ? [entry.digest] : []));
  expect(one?.files.map(({ digest }) => digest)).toEqual(wanted);
  for (const { digest, offset, size } of one?.files ?? []) {
    const part = slice(content, { start: offset, end: offset + size });
    expect(await digestContent(part)).toBe(digest);
  }
});

/** Removes the only blob of a plan, so that a layer which is read again fails. */
async function forget(store: Store, plan: LayerPlan): Promise<void> {
  for (const entry of plan.entries) {
    if (entry.type === 'file') await rm(join(store.root, layoutPaths.blob(entry.digest)));
  }
}

test('a layer is read once, and remembered for the next process', async () => {
  const { store, plan } = await stored(100);
  const first = await store.layers.describe([plan], never);
  await forget(store, plan);
  expect(await openStore(store.root).layers.describe([plan], never)).toEqual(first);
});

test('a plan that differs in anything is another layer', async () => {
  const { store, plan } = await stored(100);
  const other = { ...plan, entries: plan.entries.slice(1) };
  const [one, two] = await store.layers.describe([plan, other], never);
  expect(two?.digest).not.toBe(one?.digest);
});

test('what is remembered and damaged is computed again', async () => {
  const { store, plan } = await stored(100);
  const first = await store.layers.describe([plan], never);
  const folder = join(store.root, 'layers/sha256');
  const [name = ''] = await readdir(folder);
  const whole = await readFile(join(folder, name), 'utf8');
  for (const text of [
    '',
    'x',
    whole.split('\n')[0] ?? '',
    `${whole}x\n`,
    whole.replace(/\d+$/m, '-1'),
  ]) {
    await writeFile(join(folder, name), text);
    expect(await store.layers.describe([plan], never)).toEqual(first);
    expect(await readFile(join(folder, name), 'utf8')).toBe(whole);
  }
});

test.each([[100], [33_000_000]])(
  'a layer of a blob that is nowhere (%i bytes) is NOT_FOUND, and not remembered',
  async (size) => {
    const { store, plan } = await stored(size);
    await forget(store, plan);
    const hashing = store.layers.describe([plan], never);
    await expect(hashing).rejects.toMatchObject({ code: 'NOT_FOUND' });
    expect(await readdir(store.root)).not.toContain('layers');
  },
);

test('a blob that was cut short on the disk is no layer', async () => {
  const { store, plan } = await stored(33_000_000);
  const digest = plan.entries.flatMap((entry): Digest[] =>
    entry.type === 'file' ? [entry.digest] : [],
  )[0];
  if (!digest) throw new Error('no blob');
  const path = join(store.root, layoutPaths.blob(digest));
  await rm(path);
  await writeFile(path, Buffer.alloc(32_999_999));
  const hashing = store.layers.describe([plan], never);
  await expect(hashing).rejects.toMatchObject({ code: 'NOT_FOUND' });
});

test('an interrupted run is ABORTED', async () => {
  const { store, plan } = await stored(100_000_000);
  const controller = new AbortController();
  const hashing = store.layers.describe([plan], controller.signal);
  // By a clock it might come too late on a busy machine.
  setImmediate(() => controller.abort());
  await expect(hashing).rejects.toMatchObject({ code: 'ABORTED' });
});
