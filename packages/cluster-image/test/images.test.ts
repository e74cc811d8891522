import { readFile, rm, writeFile } from 'node:fs/promises';
import { bytes, type Manifest, readAll } from '@cluster-image/oci';
import {
  directory,
  file,
  imageArchive,
  ociLayout,
  ociLayoutReader,
  soleRepository,
  tarTree,
} from '@cluster-image/storage';
import { putFixture } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { openImage } from '../src/images.ts';
import { parseLocation } from '../src/location.ts';
import { copyVerb, saveVerb } from '../src/verbs/transfer.ts';
import { type Desk, desk, image, index, other } from './desk.ts';
import { failureOf } from './failure.ts';

/** What is at a location: its digest, name, and every blob as it can be read there. */
async function found(
  here: Desk,
  location: string,
): Promise<{ digest: string; name: string | undefined; blobs: number }> {
  return here.within({ plainHttp: [here.host] }, async (workspace) => {
    const located = await openImage(parseLocation(location), workspace);
    const { registry, repository, reference, name } = located;
    const root = await registry.resolve(repository, reference);
    const manifest = root && (await registry.manifest(repository, root.digest));
    const images: Manifest[] = [];
    if (manifest?.kind === 'image') images.push(manifest);
    for (const child of manifest?.kind === 'index' ? manifest.manifests : []) {
      const one = await registry.manifest(repository, child.digest);
      if (one) images.push(one);
    }
    let blobs = 0;
    for (const one of images) {
      if (one.kind !== 'image') continue;
      for (const { digest, size } of [one.config, ...one.layers]) {
        const content = await registry.blob(repository, digest, size);
        const body = content && (await readAll(content, size));
        const expected = image.blobs.get(digest) ?? index.blobs.get(digest);
        expect(body && Buffer.compare(body, expected ?? new Uint8Array())).toBe(0);
        blobs += 1;
      }
    }
    return { digest: manifest?.digest ?? 'none', name, blobs };
  });
}

/** Locations of each kind, and what an image of `HOST/acme/…` is called there. */
const ends = [
  ['docker', (host: string, at: string) => `docker://${host}/acme/${at}:2`, 'HOST/acme/AT:2'],
  ['store', (host: string, at: string) => `${host}/acme/${at}:2`, 'HOST/acme/AT:2'],
  ['oci', (_: string, at: string) => `oci:${at}.dir:2`, '2'],
  ['oci-archive', (_: string, at: string) => `oci-archive:${at}.oci.tar:2`, undefined],
  [
    'docker-archive',
    (host: string, at: string) => `docker-archive:${at}.tar:${host}/acme/${at}:2`,
    'HOST/acme/AT:2',
  ],
] as const;

describe('an image keeps its digest, its bytes and its name', () => {
  test.each(ends)('from %s to everywhere', async (_, fromAt) => {
    const here = await desk();
    const plainHttp = [here.host];
    const from = fromAt(here.host, 'here');
    await here.run(copyVerb, { from: `docker://${here.host}/acme/app:1`, to: from, plainHttp });
    for (const [kind, toAt, called] of ends) {
      const to = toAt(here.host, `there-${kind}`);
      const copied = await here.run(copyVerb, { from, to, plainHttp });
      expect(copied).toMatchObject({ from, to, digest: image.root.digest });
      const { digest, name, blobs } = await found(here, to);
      expect([digest, blobs]).toEqual([image.root.digest, 3]);
      const expected = called?.replace('HOST', here.host).replace('AT', `there-${kind}`);
      expect([kind, name]).toEqual([kind, expected ?? expect.stringMatching(/^(.*\/app:|.*:)?2$/)]);
    }
  });

  test.each(['docker', 'store', 'oci', 'oci-archive'])(
    'an index comes whole to %s',
    async (kind) => {
      const here = await desk();
      const to = ends.find(([name]) => name === kind)?.[1](here.host, 'there') ?? '';
      const from = `docker://${here.host}/acme/index:1`;
      await here.run(copyVerb, { from, to, plainHttp: [here.host] });
      expect(await found(here, to)).toMatchObject({ digest: index.root.digest, blobs: 6 });
    },
  );

  test('an index has no place in a docker archive, but each of its platforms has', async () => {
    const here = await desk();
    const options = {
      from: `docker://${here.host}/acme/index:1`,
      to: 'docker-archive:x.tar',
      plainHttp: [here.host],
    };
    const error = await failureOf(here.run(saveVerb, options));
    expect([error.code, error.hint]).toEqual([
      'UNSUPPORTED',
      expect.stringContaining('--platform'),
    ]);
    const saved = await here.run(saveVerb, { ...options, platform: 'linux/arm64' });
    expect(saved.digest).toBe(index.manifests[1]?.digest);
    expect(await found(here, 'docker-archive:x.tar')).toMatchObject({
      digest: index.manifests[1]?.digest,
      name: `${here.host}/acme/index:1`,
    });
    const absent = here.run(saveVerb, { ...options, platform: 'linux/s390x' });
    expect((await failureOf(absent)).code).toBe('NOT_FOUND');
    const nonsense = here.run(saveVerb, { ...options, platform: 'x' });
    expect((await failureOf(nonsense)).code).toBe('PLATFORM_INVALID');
  });

  test('--platform is no matter to an image for one', async () => {
    const here = await desk();
    const from = `docker://${here.host}/acme/app:1`;
    const options = { from, to: 'oci:x', platform: 'linux/amd64', plainHttp: [here.host] };
    expect((await here.run(copyVerb, options)).digest).toBe(image.root.digest);
  });
});

describe('an archive tells what its image is called', () => {
  /** Names as docker, skopeo and containerd look for them. */
  async function namesIn(here: Desk, path: string): Promise<readonly unknown[]> {
    const content = await file(here.path(path));
    const tree = await tarTree(content ?? bytes(''), path);
    const json = async (name: string) => {
      const entry = await tree.entry(name);
      if (entry?.type !== 'file') return undefined;
      return JSON.parse(new TextDecoder().decode(await readAll(entry.content, 1e6)));
    };
    const layout = await json('index.json');
    const listing = await json('manifest.json');
    const { annotations } = layout.manifests[0];
    return [
      annotations['org.opencontainers.image.ref.name'],
      annotations['io.containerd.image.name'],
      listing?.[0].RepoTags,
    ];
  }

  test.each([
    ['docker-archive:x.tar', '1', 'HOST/acme/app:1', ['HOST/acme/app:1']],
    [
      'docker-archive:x.tar:app',
      'latest',
      'docker.io/library/app:latest',
      ['docker.io/library/app:latest'],
    ],
    ['docker-archive:x.tar:app:3', '3', 'docker.io/library/app:3', ['docker.io/library/app:3']],
    ['docker-archive:x.tar:b.io/c', 'latest', 'b.io/c:latest', ['b.io/c:latest']],
    ['oci-archive:x.tar', '1', 'HOST/acme/app:1', undefined],
    ['oci-archive:x.tar:2', '2', 'HOST/acme/app:2', undefined],
    ['oci-archive:x.tar:b.io/c:3', '3', 'b.io/c:3', undefined],
  ])('%s', async (to, tag, reference, repoTags) => {
    const here = await desk();
    const from = `docker://${here.host}/acme/app:1`;
    await here.run(saveVerb, { from, to, plainHttp: [here.host] });
    const named = (text: string): string => text.replace('HOST', here.host);
    expect(await namesIn(here, 'x.tar')).toEqual([tag, named(reference), repoTags?.map(named)]);
  });

  test('and not of what is known by its digest alone', async () => {
    const here = await desk();
    const from = `docker://${here.host}/acme/app@${image.root.digest}`;
    await here.run(saveVerb, { from, to: 'docker-archive:x.tar', plainHttp: [here.host] });
    expect(await namesIn(here, 'x.tar')).toEqual(['latest', undefined, []]);
    await here.run(copyVerb, { from: 'docker-archive:x.tar', to: 'oci:layout' });
    await here.run(saveVerb, { from: 'oci:layout', to: 'oci-archive:y.tar:7' });
    expect(await namesIn(here, 'y.tar')).toEqual(['7', undefined, undefined]);
  });

  test('a layout without names gives no name to an archive', async () => {
    const here = await desk();
    await putFixture(ociLayout(here.path('layout')), soleRepository, image, 'x');
    const text = await readFile(here.path('layout/index.json'), 'utf8');
    await writeFile(
      here.path('layout/index.json'),
      text.replace('org.opencontainers.image.ref.name', 'other'),
    );
    await here.run(saveVerb, { from: 'oci:layout', to: 'docker-archive:x.tar' });
    expect(await namesIn(here, 'x.tar')).toEqual(['latest', undefined, []]);
  });

  test('through archive after archive', async () => {
    const here = await desk();
    const from = `docker://${here.host}/acme/app:1`;
    await here.run(saveVerb, { from, to: 'oci-archive:a.tar', plainHttp: [here.host] });
    await here.run(saveVerb, { from: 'oci-archive:a.tar:1', to: 'docker-archive:b.tar' });
    expect(await namesIn(here, 'b.tar')).toEqual([
      '1',
      `${here.host}/acme/app:1`,
      [`${here.host}/acme/app:1`],
    ]);
  });
});

describe('an image in an archive or layout is found', () => {
  const names = ['docker.io/library/app:1', 'b.io/team/web:1', 'b.io/team/web:2'];

  /** A layout of two images: `app:1` and `web:1`, the latter also as `web:2` and `edge`. */
  async function shelf(): Promise<Desk> {
    const here = await desk();
    const layout = ociLayout(here.path('layout'));
    const [app = '', web = '', again = ''] = names;
    await putFixture(layout, soleRepository, image, app);
    await putFixture(layout, soleRepository, other, web);
    await putFixture(layout, soleRepository, other, again);
    await putFixture(layout, soleRepository, other, 'edge');
    return here;
  }

  test.each([
    ['docker.io/library/app:1', image, 'docker.io/library/app:1'],
    ['app:1', image, 'docker.io/library/app:1'],
    ['library/app:1', image, 'docker.io/library/app:1'],
    ['b.io/team/web:2', other, 'b.io/team/web:2'],
    ['2', other, 'b.io/team/web:2'],
    ['edge', other, 'edge'],
    [image.root.digest, image, undefined],
  ])('by %s', async (name, { root }, called) => {
    const here = await shelf();
    const opened = await here.within({}, async (workspace) =>
      openImage(parseLocation(`oci:layout:${name}`), workspace),
    );
    expect([opened.reference, opened.name]).toEqual([root.digest, called]);
  });

  test.each([
    ['oci:layout', 'USAGE'],
    ['oci:layout:1', 'USAGE'],
    ['oci:layout:3', 'NOT_FOUND'],
    ['oci:layout:team/web:1', 'NOT_FOUND'],
    ['oci:layout:web:1', 'NOT_FOUND'],
    ['oci:layout:sha256:0', 'NOT_FOUND'],
  ])('but not by %s, and the names that there are are told', async (from, code) => {
    const here = await shelf();
    const error = await failureOf(here.run(copyVerb, { from, to: 'x:1' }));
    expect(error.code).toBe(code);
    for (const name of names) expect(error.hint).toContain(name);
  });

  test.each(['oci:nowhere', 'oci-archive:nowhere', 'docker-archive:nowhere:x:1', 'nowhere:1'])(
    'nothing is found at %s',
    async (from) => {
      const here = await desk();
      const error = await failureOf(here.run(copyVerb, { from, to: 'oci:x' }));
      expect([error.code, error.message]).toEqual([
        'NOT_FOUND',
        expect.stringContaining('nowhere'),
      ]);
    },
  );

  test('an image of a layout that lacks parts of another one', async () => {
    const here = await desk();
    const layout = ociLayout(here.path('layout'));
    await putFixture(layout, soleRepository, other, 'a');
    await putFixture(layout, soleRepository, image, 'b');
    const hex = other.root.config.digest.slice('sha256:'.length);
    await rm(here.path('layout/blobs/sha256', hex));
    expect(await found(here, 'oci:layout:b')).toMatchObject({ digest: image.root.digest });
    const error = await failureOf(here.run(copyVerb, { from: 'oci:layout:a', to: 'x:1' }));
    expect(error.code).toBe('NOT_FOUND');
  });

  test('what `docker save` wrote has its name, whichever way it is said', async () => {
    const here = await desk();
    const source = ociLayoutReader(directory(here.path('layout')), 'layout');
    await putFixture(ociLayout(here.path('layout')), soleRepository, image, 'x');
    const name = { tag: '1', reference: 'app:1' };
    const content = await imageArchive(source, soleRepository, image.root, name, 'docker');
    await writeFile(here.path('x.tar'), await readAll(content, content.size));
    for (const said of [
      'docker-archive:x.tar:app:1',
      'docker-archive:x.tar:docker.io/library/app:1',
    ]) {
      expect((await found(here, said)).digest).toBe(image.root.digest);
    }
    expect((await found(here, 'oci-archive:x.tar:1')).digest).toBe(image.root.digest);
  });

  test('a word after a docker archive is a name, whose tag is latest', async () => {
    const here = await desk();
    const from = `docker://${here.host}/acme/app:1`;
    await here.run(saveVerb, { from, to: 'docker-archive:x.tar:app', plainHttp: [here.host] });
    expect((await found(here, 'docker-archive:x.tar:app')).name).toBe(
      'docker.io/library/app:latest',
    );
    const error = await failureOf(
      here.run(copyVerb, { from: 'docker-archive:x.tar:latest', to: 'x' }),
    );
    expect([error.code, error.hint]).toEqual(['NOT_FOUND', expect.stringContaining('app:latest')]);
  });
});
