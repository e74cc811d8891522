import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Digest } from '@cluster-image/oci';
import { distributionLayout } from '@cluster-image/storage';
import { describe, expect, test } from 'vitest';
import { buildVerb } from '../../src/verbs/build.ts';
import { lockVerb } from '../../src/verbs/lock.ts';
import { syncVerb } from '../../src/verbs/sync.ts';
import { copyVerb, pullVerb } from '../../src/verbs/transfer.ts';
import { verifyVerb } from '../../src/verbs/verify.ts';
import { clusterFiles } from '../cluster-files.ts';
import { putFiles } from '../context.ts';
import { type Desk, desk, image, index } from '../desk.ts';
import { failureOf } from '../failure.ts';

const layer = image.root.layers[1]?.digest ?? image.root.digest;

/** Where a registry directory has a blob. */
function blobPath(digest: Digest): string {
  const hex = digest.slice('sha256:'.length);
  return join('docker/registry/v2/blobs/sha256', hex.slice(0, 2), hex, 'data');
}

/** Turns one bit of a file. */
async function damage(path: string): Promise<void> {
  const body = await readFile(path);
  body[7] = (body[7] ?? 0) ^ 1;
  await rm(path);
  await writeFile(path, body);
}

/** A desk whose store has the image and the index. */
async function stocked(): Promise<Desk> {
  const here = await desk();
  for (const from of [`${here.host}/acme/app:1`, `${here.host}/acme/index:1`]) {
    await here.run(pullVerb, { from, plainHttp: [here.host] });
  }
  return here;
}

describe('verify', () => {
  test('reads all of the store, and finds the blob that is damaged', async () => {
    const here = await stocked();
    const sound = await here.run(verifyVerb, {});
    expect(sound).toMatchObject({ repositories: 2, manifests: 4, problems: [] });
    expect(verifyVerb.failed?.(sound)).toBe(false);
    expect(verifyVerb.lines(sound)).toEqual([
      expect.stringMatching(/^\S+\.store: sound; 2 repositories, 4 manifests, \d+ blobs, .* read$/),
    ]);
    await damage(here.path('.store', blobPath(layer)));
    const found = await here.run(verifyVerb, {});
    expect(found.problems[0]).toEqual({
      path: blobPath(layer),
      why: expect.stringMatching(/^holds sha256:/),
    });
    expect(verifyVerb.failed?.(found)).toBe(true);
    expect(verifyVerb.lines(found)[0]).toMatch(`${blobPath(layer)} holds sha256:`);
    expect(verifyVerb.lines(found).at(-1)).toContain(`${found.problems.length} problems`);
  });

  test('finds a store that is not there yet sound', async () => {
    const here = await desk();
    expect((await here.run(verifyVerb, { store: 'new' })).problems).toEqual([]);
  });

  test.each(['damaged', 'missing'])('finds what is %s in an image of the store', async (how) => {
    const here = await stocked();
    const location = `${here.host}/acme/app:1`;
    expect(await here.run(verifyVerb, { location })).toMatchObject({
      location,
      repositories: 1,
      manifests: 1,
      blobs: 3,
      bytes: [...image.blobs.values()].reduce((sum, { length }) => sum + length, 0),
      problems: [],
    });
    const blob = here.path('.store', blobPath(layer));
    if (how === 'damaged') await damage(blob);
    else await rm(blob);
    const { problems } = await here.run(verifyVerb, { location });
    expect(problems.map(({ path }) => path)).toEqual([layer]);
  });

  test('reads each platform of an index, and what they share once', async () => {
    const here = await stocked();
    const location = `${here.host}/acme/index:1`;
    const found = await here.run(verifyVerb, { location });
    expect(found).toMatchObject({ manifests: 3, blobs: 6, problems: [] });
  });

  test('tells of every platform that is damaged or not there', async () => {
    const here = await desk();
    const from = `docker://${here.host}/acme/index:1`;
    await here.run(copyVerb, { from, to: 'oci:layout:1', plainHttp: [here.host] });
    const [amd64, arm64] = index.manifests;
    if (!amd64 || !arm64) throw new Error('no children');
    const path = (digest: Digest): string =>
      here.path('layout/blobs/sha256', digest.slice('sha256:'.length));
    await damage(path(amd64.digest));
    await rm(path(arm64.digest));
    const { problems } = await here.run(verifyVerb, { location: 'oci:layout:1' });
    expect(problems.map(({ path }) => path)).toEqual([amd64.digest, arm64.digest]);
    await damage(path(index.root.digest));
    const error = await failureOf(here.run(verifyVerb, { location: 'oci:layout:1' }));
    expect(error.code).toBe('DIGEST_MISMATCH');
  });

  test('reads what is in a registry, and says so where that gives wrong bytes', async () => {
    const rules = [{ match: { kind: 'blob' as const }, fault: { corrupt: 3 } }];
    const [sound, bad] = [await desk(), await desk({ rules })];
    for (const here of [sound, bad]) {
      const location = `docker://${here.host}/acme/app:1`;
      const { problems } = await here.run(verifyVerb, { location, plainHttp: [here.host] });
      expect(problems.map(({ path }) => path).sort()).toEqual(
        here === sound ? [] : [...image.blobs.keys()].sort(),
      );
    }
  });

  test('that a registry refuses is no fault of the image', async () => {
    const isPublic = ({ kind }: { kind: string }): boolean => kind !== 'blob';
    const here = await desk({ auth: { scheme: 'basic', users: ['a:b'], isPublic } });
    const location = `docker://${here.host}/acme/app:1`;
    const error = await failureOf(here.run(verifyVerb, { location, plainHttp: [here.host] }));
    expect(error.code).toBe('UNAUTHORIZED');
  });

  test('finds what is damaged in an archive', async () => {
    const here = await desk();
    const from = `docker://${here.host}/acme/app:1`;
    await here.run(copyVerb, { from, to: 'oci-archive:x.tar', plainHttp: [here.host] });
    const body = await readFile(here.path('x.tar'));
    const at = body.indexOf(image.blobs.get(layer) ?? 'nothing');
    body[at + 100] = (body[at + 100] ?? 0) ^ 1;
    await writeFile(here.path('x.tar'), body);
    const { problems } = await here.run(verifyVerb, { location: 'oci-archive:x.tar' });
    expect(problems.map(({ path }) => path)).toEqual([layer]);
  });

  test('reads a registry directory, which has to be whole', async () => {
    const here = await desk();
    await putFiles(here.root, clusterFiles(here.host, ['acme/app:1', 'acme/index:1']));
    const plainHttp = [here.host];
    await here.run(lockVerb, { context: 'cluster', plainHttp });
    await here.run(syncVerb, { from: 'cluster', to: 'registry:out', plainHttp });
    const location = 'registry:out';
    expect(await here.run(verifyVerb, { location })).toMatchObject({ location, problems: [] });
    await rm(here.path('out', blobPath(layer)));
    const { problems } = await here.run(verifyVerb, { location });
    expect(problems.length).toBeGreaterThan(0);
    // The store may lack platforms of an index, a directory for a cluster may not.
    const at = ['.store', 'sparse'].map((path) => distributionLayout(here.path(path)));
    for (const layout of at) await layout.putManifest('acme/index', index.root, '2');
    expect((await here.run(verifyVerb, {})).problems).toEqual([]);
    const sparse = await here.run(verifyVerb, { location: 'registry:sparse' });
    expect(sparse.problems.length).toBeGreaterThan(0);
    const nowhere = here.run(verifyVerb, { location: 'registry:nowhere' });
    expect((await failureOf(nowhere)).code).toBe('NOT_FOUND');
  });

  test('reads a cluster image through its plans', async () => {
    const here = await desk();
    await putFiles(here.root, clusterFiles(here.host, ['acme/app:1']));
    const plainHttp = [here.host];
    await here.run(lockVerb, { context: 'cluster', plainHttp });
    await here.run(buildVerb, { context: 'cluster', tag: 'x', plainHttp });
    expect((await here.run(verifyVerb, { location: 'x' })).problems).toEqual([]);
    await damage(here.path('.store', blobPath(layer)));
    const { problems } = await here.run(verifyVerb, { location: 'x' });
    expect(problems).toHaveLength(1);
  });
});
