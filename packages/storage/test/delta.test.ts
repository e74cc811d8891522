import {
  bytes,
  codeOf,
  copy,
  createContext,
  digestContent,
  digestOf,
  memory,
  parseManifest,
  type RegistryReader,
  readAll,
} from '@cluster-image/oci';
import {
  archive,
  deltaOf,
  directory,
  type Earlier,
  earlierImage,
  imageArchive,
  type LayoutReader,
  layersOf,
  ociLayout,
  ociLayoutReader,
  soleRepository,
  tarTree,
} from '@cluster-image/storage';
import {
  type ImageFixture,
  imageFixture,
  indexFixture,
  noise,
  putFixture,
  temporaryDirectory,
} from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';

const [kept, old, fresh] = ['kept', 'old', 'fresh'].map((seed) => noise(seed, 3000));
if (!kept || !old || !fresh) throw new Error('no layers');
const first = imageFixture({ seed: 'one', layers: [kept, old] });
const second = imageFixture({ seed: 'two', layers: [kept, fresh] });
const name = { tag: '2', reference: 'a.io/cluster:2' };

async function sourceOf(...fixtures: readonly ImageFixture[]): Promise<RegistryReader> {
  const registry = memory();
  for (const fixture of fixtures) await putFixture(registry, 'app', fixture);
  return registry;
}

async function earlier(fixture: ImageFixture, called?: string): Promise<Earlier> {
  const since = { digest: fixture.root.digest, name: called };
  return earlierImage(await sourceOf(fixture), 'app', since);
}

async function deltaArchive(
  format: 'oci' | 'docker' = 'oci',
  since?: Earlier,
): Promise<Awaited<ReturnType<typeof imageArchive>>> {
  const source = await sourceOf(second);
  const upon = since ?? (await earlier(first, 'a.io/cluster:1'));
  return imageArchive(source, 'app', second.root, name, format, upon);
}

async function textIn(path: string): Promise<string> {
  const entry = await (await tarTree(await deltaArchive(), 'delta.tar')).entry(path);
  return entry?.type === 'file' ? new TextDecoder().decode(await readAll(entry.content, 1e6)) : '';
}

describe('an archive of an image since another one', () => {
  test('is what it has always been, byte for byte', async () => {
    expect(JSON.parse(await textIn('index.json')).manifests).toEqual([
      {
        mediaType: second.root.mediaType,
        digest: second.root.digest,
        size: second.root.size,
        annotations: {
          'org.opencontainers.image.ref.name': '2',
          'io.containerd.image.name': 'a.io/cluster:2',
          'io.cluster-image.since.digest': first.root.digest,
          'io.cluster-image.since.name': 'a.io/cluster:1',
        },
      },
    ]);
    expect(await digestContent(await deltaArchive())).toBe(
      'sha256:c696b4fcf23b4a8a8003fc7e201909815b8620e086e558778e2e613705db86a0',
    );
    expect(await digestContent(await deltaArchive('docker'))).toBe(
      'sha256:4e26fc4b08fa356fc1d8be0110fcc3a2125e3b98338ce78cdc61a142f5bc7120',
    );
  });

  test('has the manifests of both, its config, and the layers that the other one lacks', async () => {
    const layout = await archive(await deltaArchive(), 'delta.tar');
    for (const { digest } of [second.root, first.root]) {
      expect((await layout.manifest(soleRepository, digest))?.digest).toBe(digest);
    }
    const there = [];
    for (const digest of [...second.blobs.keys(), ...first.blobs.keys()]) {
      if (await layout.blob(soleRepository, digest)) there.push(digest);
    }
    expect(there.sort()).toEqual([digestOf(fresh), second.root.config.digest].sort());
    expect(await layout.since(second.root.digest)).toEqual({
      digest: first.root.digest,
      name: 'a.io/cluster:1',
    });
    expect(await layout.since(first.root.digest)).toBeUndefined();
  });

  test('says what it left out, and what it lost', async () => {
    const layout = await archive(await deltaArchive(), 'delta.tar');
    const since = { digest: first.root.digest, name: 'a.io/cluster:1' };
    const [keptLayer, freshLayer] = second.root.layers;
    expect(await deltaOf(layout, second.root.digest, since)).toEqual({
      since,
      leftOut: [keptLayer],
      lost: [],
    });
    const without: RegistryReader = { ...layout, blob: async () => undefined };
    expect(await deltaOf(without, second.root.digest, since)).toEqual({
      since,
      leftOut: [keptLayer],
      lost: [freshLayer],
    });
    // Who has the manifest of no other image cannot say what that has.
    const strange = { digest: digestOf(bytesOf('strange')) };
    expect((await deltaOf(layout, second.root.digest, strange)).lost).toEqual([keptLayer]);
  });

  test('has no layer at all where nothing changed', async () => {
    const same = await earlier(second);
    const layout = await archive(await deltaArchive('oci', same), 'delta.tar');
    const { leftOut } = await deltaOf(layout, second.root.digest, same);
    expect(leftOut).toEqual(second.root.layers);
    expect(await layout.blob(soleRepository, second.root.config.digest)).toBeDefined();
  });

  test('has its config, even where that is a layer of the other one', async () => {
    const [config] = [...second.blobs.values()].slice(-1);
    const since = await earlier(imageFixture({ layers: [config ?? 0] }));
    const layout = await archive(await deltaArchive('oci', since), 'delta.tar');
    expect(await layout.blob(soleRepository, second.root.config.digest)).toBeDefined();
  });

  test('lacks no layer that nobody may pass on', async () => {
    const mediaType = 'application/vnd.oci.image.layer.nondistributable.v1.tar';
    const { config, layers } = second.root;
    const foreign = { mediaType, digest: digestOf(bytesOf('foreign')), size: 7 };
    const body = { schemaVersion: 2, config, layers: [...layers, foreign] };
    const root = parseManifest(bytesOf(JSON.stringify(body)), 'foreign');
    const layout = { ...memory(), manifest: async () => root };
    const since = { digest: root.digest };
    expect(await deltaOf(layout, root.digest, since)).toEqual({ since, leftOut: layers, lost: [] });
  });

  test('needs nothing that it leaves out', async () => {
    const { manifests } = second;
    const blobs = new Map([...second.blobs].filter(([digest]) => digest !== digestOf(kept)));
    const source = await sourceOf({ root: second.root, manifests, blobs });
    const since = await earlier(first);
    const content = await imageArchive(source, 'app', second.root, name, 'oci', since);
    expect(content.size).toBeLessThan(3000 + 12 * 1024);
    const whole = imageArchive(source, 'app', second.root, name, 'oci');
    expect(codeOf(await whole.catch((error: unknown) => error))).toBe('NOT_FOUND');
  });

  test('of several platforms leaves out what any of them has', async () => {
    const platforms = ['linux/amd64', 'linux/arm64'];
    const index = indexFixture(platforms, { layers: [kept, old] });
    const since = await earlier(index);
    expect(since.manifests.map(({ digest }) => digest)).toEqual([
      index.root.digest,
      ...index.root.manifests.map(({ digest }) => digest),
    ]);
    expect([...layersOf(since.manifests).keys()]).toEqual([digestOf(kept), digestOf(old)]);
    const missing = earlierImage(memory(), 'app', { digest: index.root.digest });
    expect(codeOf(await missing.catch((error: unknown) => error))).toBe('NOT_FOUND');
  });
});

function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

describe('a layout of an image since another one', () => {
  test('says so beside images that are whole', async () => {
    const root = await temporaryDirectory();
    const since = await earlier(first, 'a.io/cluster:1');
    await putFixture(ociLayout(root), soleRepository, imageFixture({ seed: 'whole' }), 'whole');
    const leftOut = layersOf(since.manifests);
    await copy(
      { registry: await sourceOf(second), repository: 'app' },
      second.root.digest,
      { registry: ociLayout(root, { since }), repository: soleRepository },
      { tag: '2', layers: ({ digest }) => !leftOut.has(digest) },
      createContext(),
    );
    const layout: LayoutReader = ociLayoutReader(directory(root), root);
    expect(await layout.since(second.root.digest)).toEqual({
      digest: first.root.digest,
      name: 'a.io/cluster:1',
    });
    expect(await layout.since(imageFixture({ seed: 'whole' }).root.digest)).toBeUndefined();
    expect(await Array.fromAsync(layout.tags(soleRepository))).toEqual(['2', 'whole']);
    await putFixture(ociLayout(root), soleRepository, second, '2');
    expect(await layout.since(second.root.digest)).toBeUndefined();
  });

  test('that names no digest is one of an image by itself', async () => {
    const root = await temporaryDirectory();
    const since = { digest: second.root.digest, name: 'x' };
    await putFixture(ociLayout(root, { since }), soleRepository, first, '1');
    const layout = ociLayoutReader(directory(root), root);
    expect((await layout.since(first.root.digest))?.name).toBe('x');
    const index = await await directory(root).entry('index.json');
    if (index?.type !== 'file') throw new Error('no index.json');
    const text = new TextDecoder().decode(await readAll(index.content, 1e6));
    const odd = text.replace(second.root.digest, 'latest');
    const tree = { ...directory(root), entry: async () => ({ ...index, content: bytes(odd) }) };
    expect(await ociLayoutReader(tree, root).since(first.root.digest)).toBeUndefined();
  });
});
