import { readFile, writeFile } from 'node:fs/promises';
import { verifyLayout } from '@cluster-image/storage';
import { faultRegistry, type ImageFixture } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { buildVerb } from '../../src/verbs/build.ts';
import { copyVerb, loadVerb, pullVerb, pushVerb, saveVerb } from '../../src/verbs/transfer.ts';
import { putImages } from '../cluster-files.ts';
import { type Desk, desk, image, index, other } from '../desk.ts';
import { failureOf } from '../failure.ts';
import { place } from '../place.ts';

function size({ blobs }: ImageFixture): number {
  return [...blobs.values()].reduce((sum, { length }) => sum + length, 0);
}

describe('push', () => {
  test('sends what a registry lacks, and nothing the second time', async () => {
    const here = await desk();
    const plainHttp = [here.host];
    await here.run(pullVerb, { from: `${here.host}/acme/app:1`, plainHttp });
    const options = { from: `${here.host}/acme/app:1`, to: `${here.host}/b/c:1`, plainHttp };
    const pushed = await here.run(pushVerb, options);
    expect(pushed).toEqual({
      from: `${here.host}/acme/app:1`,
      to: `docker://${here.host}/b/c:1`,
      digest: image.root.digest,
      moved: size(image),
      present: 0,
    });
    expect(pushVerb.lines(pushed)).toEqual([
      `docker://${here.host}/b/c:1`,
      `  digest  ${image.root.digest}`,
      expect.stringMatching(/^ {2}moved {3}[\d.]+ kB$/),
    ]);
    const sent = here.upstream.log.filter(({ method }) => method !== 'GET' && method !== 'HEAD');
    expect((await here.run(pushVerb, options)).moved).toBe(0);
    const after = here.upstream.log.filter(({ method }) => method !== 'GET' && method !== 'HEAD');
    expect(after.length).toBe(sent.length);
  });

  test('goes where the name says', async () => {
    const here = await desk();
    const from = `${here.host}/acme/app:1`;
    await here.run(pullVerb, { from, plainHttp: [here.host] });
    const empty = await faultRegistry();
    const name = `${empty.host}/acme/app:1`;
    await here.run(copyVerb, { from, to: name });
    await here.run(pushVerb, { from: name, plainHttp: [empty.host] });
    expect((await empty.registry.resolve('acme/app', '1'))?.digest).toBe(image.root.digest);
  });

  test('of a file needs a target', async () => {
    const error = await failureOf((await place()).run(pushVerb, { from: 'oci:x' }));
    expect([error.code, error.hint]).toEqual([
      'USAGE',
      expect.stringContaining('push oci:x docker:'),
    ]);
  });
});

describe('pull', () => {
  test('brings an image into the store, where it is sound', async () => {
    const here = await desk();
    const from = `${here.host}/acme/index:1`;
    const pulled = await here.run(pullVerb, { from, plainHttp: [here.host] });
    expect(pulled).toEqual({
      from: `docker://${from}`,
      to: from,
      digest: index.root.digest,
      moved: size(index),
      present: 0,
    });
    const { problems, manifests } = await verifyLayout(here.store.registry, { sparse: false });
    expect([problems, manifests]).toEqual([[], 3]);
    const again = await here.run(pullVerb, { from, plainHttp: [here.host] });
    expect([again.moved, again.present]).toEqual([0, size(index)]);
  });

  test('by digest takes no tag away', async () => {
    const here = await desk();
    const plainHttp = [here.host];
    await putImages(here.upstream, { 'acme/app:latest': other });
    await here.run(pullVerb, { from: `${here.host}/acme/app`, plainHttp });
    const pinned = `${here.host}/acme/app@${image.root.digest}`;
    const pulled = await here.run(pullVerb, { from: pinned, plainHttp });
    expect([pulled.to, pulled.digest]).toEqual([pinned, image.root.digest]);
    const read = await here.run(copyVerb, { from: pinned, to: 'oci:x' });
    expect(read.digest).toBe(image.root.digest);
    const { registry } = here.store;
    const name = `${here.host}/acme/app`;
    expect(await Array.fromAsync(registry.tags(name))).toEqual(['latest']);
    expect((await registry.resolve(name, 'latest'))?.digest).toBe(other.root.digest);
  });

  test('into a file, if that is said', async () => {
    const here = await desk();
    const options = { from: `${here.host}/acme/app:1`, to: 'oci:x', plainHttp: [here.host] };
    expect((await here.run(pullVerb, options)).to).toBe('oci:x');
    expect((await failureOf(here.run(pullVerb, { from: 'oci:x' }))).code).toBe('USAGE');
  });

  test('of what is not there, is forbidden, or cannot be reached, is told by its code', async () => {
    const closed = await desk({ auth: { scheme: 'basic', users: ['me:canary-secret'] } });
    const open = await desk();
    const odd = await desk({ rules: [{ match: { kind: 'manifest' }, fault: { status: 418 } }] });
    const pulling = (here: Desk, image: string, plainHttp = [here.host]) =>
      failureOf(here.run(pullVerb, { from: `${here.host}/acme/${image}`, plainHttp }));
    const failures = [
      [closed, await pulling(closed, 'app:1')],
      [open, await pulling(open, 'gone:1')],
      [odd, await pulling(odd, 'app:1')],
      [open, await pulling(open, 'app:1', [])],
    ] as const;
    for (const [{ host }, { message }] of failures) expect(message).toContain(host);
    const codes = failures.map(([, { code }]) => code);
    expect(codes).toEqual(['UNAUTHORIZED', 'NOT_FOUND', 'UPSTREAM', 'NETWORK']);
  });

  test('P2: wrong bytes are no image in the store', async () => {
    const here = await desk({ rules: [{ match: { kind: 'blob' }, fault: { corrupt: 7 } }] });
    const from = `${here.host}/acme/app:1`;
    const error = await failureOf(here.run(pullVerb, { from, plainHttp: [here.host] }));
    expect(error.code).toBe('DIGEST_MISMATCH');
    expect(await here.store.registry.resolve(`${here.host}/acme/app`, '1')).toBeUndefined();
  });

  test('that is interrupted says so, and leaves no image', async () => {
    const here = await desk({ rules: [{ match: { kind: 'blob' }, fault: { drop: 'silence' } }] });
    const controller = new AbortController();
    const from = `${here.host}/acme/app:1`;
    const pulling = here.run(pullVerb, { from, plainHttp: [here.host] }, controller.signal);
    setTimeout(() => controller.abort(), 100);
    expect((await failureOf(pulling)).code).toBe('ABORTED');
    expect(await here.store.registry.resolve(`${here.host}/acme/app`, '1')).toBeUndefined();
  });

  test('with the credentials that docker login left, which are in no error', async () => {
    const here = await desk({ auth: { scheme: 'basic', users: ['me:canary-secret'] } });
    const from = `${here.host}/acme/app:1`;
    const login = async (password: string): Promise<void> => {
      const auth = Buffer.from(`me:${password}`).toString('base64');
      await writeFile(
        here.path('config.json'),
        JSON.stringify({ auths: { [here.host]: { auth } } }),
      );
    };
    const signed = await place({}, { DOCKER_CONFIG: here.root });
    await login('canary-wrong');
    const error = await failureOf(signed.run(pullVerb, { from, plainHttp: [here.host] }));
    expect(error.code).toBe('UNAUTHORIZED');
    expect([error.message, error.hint, error.stack].join('\n')).not.toContain('canary');
    await login('canary-secret');
    const pulled = await signed.run(pullVerb, { from, plainHttp: [here.host] });
    expect(pulled.digest).toBe(image.root.digest);
  });
});

describe('save and load', () => {
  test('are each other’s reverse', async () => {
    const here = await desk();
    const name = `${here.host}/acme/app:1`;
    await here.run(pullVerb, { from: name, plainHttp: [here.host] });
    const saved = await here.run(saveVerb, { from: name, to: 'docker-archive:x.tar' });
    const elsewhere = await place();
    const from = `docker-archive:${here.path('x.tar')}:${name}`;
    const loaded = await elsewhere.run(loadVerb, { from });
    expect([loaded.to, loaded.digest, saved.digest]).toEqual([
      name,
      image.root.digest,
      image.root.digest,
    ]);
    expect((await verifyLayout(elsewhere.store.registry, { sparse: false })).problems).toEqual([]);
  });

  test('replace an archive only when the new one is whole', async () => {
    const here = await desk();
    await writeFile(here.path('x.tar'), 'old');
    const rules = [{ match: { kind: 'blob' as const }, fault: { corrupt: 7 } }];
    const bad = await desk({ rules });
    const from = `docker://${bad.host}/acme/app:1`;
    const options = { from, to: 'oci-archive:x.tar', plainHttp: [bad.host] };
    expect((await failureOf(here.run(saveVerb, options))).code).toBe('DIGEST_MISMATCH');
    expect(await readFile(here.path('x.tar'), 'utf8')).toBe('old');
  });

  test('load gives an image the name that it has in the archive', async () => {
    const here = await desk();
    const from = `docker://${here.host}/acme/app:1`;
    await here.run(saveVerb, { from, to: 'docker-archive:x.tar', plainHttp: [here.host] });
    const loaded = await here.run(loadVerb, { from: 'docker-archive:x.tar' });
    expect([loaded.to, loaded.digest]).toEqual([`${here.host}/acme/app:1`, image.root.digest]);
    await here.run(saveVerb, {
      from: `${from}@${image.root.digest}`,
      to: 'oci:y',
      plainHttp: [here.host],
    });
    const { code, hint } = await failureOf(here.run(loadVerb, { from: 'oci:y' }));
    expect([code, hint]).toEqual(['USAGE', 'For instance: cluster-image load oci:y NAME:TAG']);
  });

  test.each([
    ['x.tar', 'app:1'],
    ['docker://a.io/b:1', 'app:1'],
    ['registry:x', 'app:1'],
  ])('load %s as %s is refused', async (from, to) => {
    const error = await failureOf((await place()).run(loadVerb, { from, to }));
    expect([error.code, error.hint]).toEqual(['USAGE', expect.any(String)]);
  });

  test.each([undefined, 'x.tar', 'app:1', 'docker://a.io/b:1', 'registry:x'])(
    'save to %s is refused, for it is neither archive nor layout',
    async (to) => {
      const error = await failureOf((await place()).run(saveVerb, { from: 'app:1', to }));
      expect([error.code, error.hint]).toEqual(['USAGE', expect.stringMatching(/archive:|sync/)]);
    },
  );
});

describe('copy refuses, before it begins', () => {
  test.each([
    undefined,
    'registry:x',
    'oci:x:a b',
    'oci:x:a/B:1',
    'oci-archive:x:app@sha256:1',
    `docker-archive:x:app:1@${image.root.digest}`,
    `docker://a.io/b@${image.root.digest}`,
    `b:1@${image.root.digest}`,
    `docker-daemon:${image.root.digest}`,
    `containers-storage:x@${image.root.digest}`,
  ])('%s as target', async (to) => {
    const here = await desk();
    const from = `docker://${here.host}/acme/app:1`;
    const error = await failureOf(here.run(copyVerb, { from, to, plainHttp: [here.host] }));
    expect([error.code, here.upstream.log.length]).toEqual(['USAGE', 0]);
  });

  test('registry: as source', async () => {
    const here = await place();
    const error = await failureOf(here.run(copyVerb, { from: 'registry:x', to: 'oci:y' }));
    expect([error.code, error.hint]).toEqual(['USAGE', expect.stringContaining('sync')]);
  });
});

describe('a name that is built anew', () => {
  const files = {
    'cluster/Kubefile': 'FROM scratch\nCOPY manifests .\n',
    'cluster/manifests/a': '',
  };

  test('means what came last, a build or an image that was pulled', async () => {
    const here = await desk();
    await putImages(here.upstream, { 'acme/app:latest': image });
    const name = `${here.host}/acme/app`;
    const home = await place(files);
    const built = await home.run(buildVerb, { context: 'cluster', tag: name });
    const digest = async (): Promise<string> =>
      (await home.run(copyVerb, { from: name, to: 'oci:x' })).digest;
    expect(await digest()).toBe(built.digest);
    // By its own digest an image is never another one, whatever was built under its name.
    const pinned = `${here.host}/acme/app@${image.root.digest}`;
    const asked = home.run(copyVerb, { from: pinned, to: 'oci:x' });
    expect((await failureOf(asked)).code).toBe('NOT_FOUND');
    await home.run(pullVerb, { from: pinned, plainHttp: [here.host] });
    expect(await digest()).toBe(built.digest);
    await home.run(pullVerb, { from: name, plainHttp: [here.host] });
    expect(await digest()).toBe(image.root.digest);
    await home.run(buildVerb, { context: 'cluster', tag: name });
    expect(await digest()).toBe(built.digest);
  });
});
