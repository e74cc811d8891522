import { gzipSync } from 'node:zlib';
import {
  bytes,
  type Content,
  codeOf,
  copy,
  createContext,
  type Digest,
  digestOf,
  mediaTypes,
  memory,
  parseManifest,
  type RegistryReader,
  readAll,
} from '@cluster-image/oci';
import {
  archive,
  compressionOf,
  file,
  imageArchive,
  ociBlobPath,
  saveFile,
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
import { end, rawEntry } from './raw-tar.ts';
import { wholeTag } from './wreck.ts';

const what = 'images.tar';
const image = imageFixture({ layers: [1000, 3000] });
const index = indexFixture(['linux/amd64', 'linux/arm64']);

const tar = (files: Readonly<Record<string, string | Uint8Array>>): Content =>
  bytes(
    Buffer.concat([
      ...Object.entries(files).map(([name, body]) => rawEntry({ name }, Buffer.from(body))),
      end,
    ]),
  );

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const hex = (digest: Digest): string => digest.slice(7);

async function source(fixture: ImageFixture): Promise<RegistryReader> {
  const registry = memory();
  await putFixture(registry, 'app', fixture, '1');
  return registry;
}

async function failure(act: Promise<unknown>): Promise<unknown> {
  return act.then(
    () => 'accepted',
    (error: unknown) => error,
  );
}

/** Copies an image out of an archive, which is what checks its blobs. */
async function load(from: RegistryReader, name: string): Promise<RegistryReader> {
  const target = memory();
  await copy(
    { registry: from, repository: '' },
    name,
    { registry: target, repository: 'app' },
    { tag: '1' },
    createContext(),
  );
  return target;
}

/** The files that docker before 25 wrote for an image. */
function dockerFiles(
  fixture: ReturnType<typeof imageFixture>,
  tags: readonly string[] | null = ['app:1'],
) {
  const { config, layers } = fixture.root;
  const paths = layers.map((_, at) => `${String(at).repeat(64)}/layer.tar`);
  const body = (digest: Digest): Uint8Array => fixture.blobs.get(digest) ?? new Uint8Array();
  const files: Record<string, Uint8Array> = {
    [`${hex(config.digest)}.json`]: body(config.digest),
  };
  for (const [at, path] of paths.entries()) files[path] = body(layers[at]?.digest ?? config.digest);
  return { entry: { Config: `${hex(config.digest)}.json`, RepoTags: tags, Layers: paths }, files };
}

function dockerTar(...images: readonly ReturnType<typeof dockerFiles>[]): Content {
  const files = Object.assign({}, ...images.map(({ files }) => files));
  return tar({ ...files, 'manifest.json': json(images.map(({ entry }) => entry)) });
}

describe('an image that is written', () => {
  test.each([
    ['an image', 'oci', image],
    ['an index', 'oci', index],
    ['an image', 'docker', image],
  ] as const)(
    'P9: %s is read back byte for byte from an archive of the format %s',
    async (_, format, fixture) => {
      const reference = { tag: '1', reference: 'docker.io/library/app:1' };
      const content = await imageArchive(
        await source(fixture),
        'app',
        fixture.root,
        reference,
        format,
      );
      const path = `${await temporaryDirectory()}/out.tar`;
      await saveFile(path, content);
      const saved = await file(path);
      if (!saved) throw new Error('no file');
      expect(saved.size).toBe(content.size);
      const reader = await archive(saved, path);
      expect(await Array.fromAsync(reader.tags(''))).toEqual([reference.tag, reference.reference]);
      expect(await Array.fromAsync(reader.repositories())).toEqual(['']);
      expect(await wholeTag(reader, '', reference.reference)).toBe(fixture.root.digest);
      for (const manifest of fixture.manifests) {
        expect((await reader.manifest('', manifest.digest))?.bytes).toEqual(manifest.bytes);
      }
      for (const [digest, body] of fixture.blobs) {
        const blob = await reader.blob('', digest, body.length);
        expect(Buffer.from((blob && (await readAll(blob, 1e6))) ?? '').equals(body)).toBe(true);
      }
      const again = await imageArchive(reader, '', fixture.root, reference, format);
      expect(
        Buffer.concat(await Array.fromAsync(again.open())).equals(await readAll(saved, 1e6)),
      ).toBe(true);
    },
  );

  test('T05: for docker is an OCI layout too, with the name that docker gives it', async () => {
    const content = await imageArchive(
      await source(image),
      'app',
      image.root,
      { tag: '1', reference: 'docker.io/library/app:1' },
      'docker',
    );
    const tree = await tarTree(content, what);
    const text = async (path: string): Promise<unknown> => {
      const entry = await tree.entry(path);
      return entry?.type === 'file'
        ? JSON.parse(Buffer.from(await readAll(entry.content, 1e6)).toString())
        : undefined;
    };
    expect(await text('manifest.json')).toEqual([
      {
        Config: ociBlobPath(image.root.config.digest),
        RepoTags: ['docker.io/library/app:1'],
        Layers: image.root.layers.map(({ digest }) => ociBlobPath(digest)),
      },
    ]);
    expect(await text('oci-layout')).toEqual({ imageLayoutVersion: '1.0.0' });
    expect(await text('index.json')).toMatchObject({
      manifests: [
        {
          digest: image.root.digest,
          annotations: {
            'org.opencontainers.image.ref.name': '1',
            'io.containerd.image.name': 'docker.io/library/app:1',
          },
        },
      ],
    });
  });

  test('of several platforms is UNSUPPORTED for docker', async () => {
    const reference = { tag: '1', reference: 'app:1' };
    const error = await failure(
      imageArchive(await source(index), 'app', index.root, reference, 'docker'),
    );
    expect(codeOf(error)).toBe('UNSUPPORTED');
    expect(String(error)).toContain('app:1');
  });

  test('costs nothing before it is opened', async () => {
    const registry = await source(image);
    let opened = 0;
    const counting: RegistryReader = {
      ...registry,
      async blob(repository, digest, size) {
        const found = await registry.blob(repository, digest, size);
        return (
          found && {
            size: found.size,
            open(range) {
              opened += 1;
              return found.open(range);
            },
          }
        );
      },
    };
    const content = await imageArchive(counting, 'app', image.root, { tag: 'x' }, 'oci');
    expect(opened).toBe(0);
    await Array.fromAsync(content.open());
    expect(opened).toBe(image.blobs.size);
  });

  test('T04: without one of its parts is NOT_FOUND, naming it', async () => {
    const reference = { tag: '1', reference: 'app:1' };
    const registry = memory();
    await registry.putManifest('app', index.root, '1');
    const child = await failure(imageArchive(registry, 'app', index.root, reference, 'oci'));
    expect(codeOf(child)).toBe('NOT_FOUND');
    expect(String(child)).toContain(
      `app:1: the source has no manifest ${index.root.manifests[0]?.digest}`,
    );
    const blob = await failure(imageArchive(registry, 'app', image.root, reference, 'oci'));
    expect(codeOf(blob)).toBe('NOT_FOUND');
    expect(String(blob)).toContain(`app:1: the source has no blob ${image.root.config.digest}`);
  });

  test.each([
    [
      'D04: of another size is SIZE_MISMATCH before anything is written',
      (body: Uint8Array) => body.subarray(1),
      'SIZE_MISMATCH',
    ],
    [
      'D04: of no bytes is SIZE_MISMATCH before anything is written',
      () => new Uint8Array(),
      'SIZE_MISMATCH',
    ],
    [
      'D04: with other bytes is DIGEST_MISMATCH, and what was there stays',
      (body: Uint8Array) => body.map((byte) => byte ^ 1),
      'DIGEST_MISMATCH',
    ],
  ])('with a blob %s', async (_, change, code) => {
    const registry = await source(image);
    const damaged: RegistryReader = {
      ...registry,
      async blob(repository, digest, size) {
        const found = await registry.blob(repository, digest, size);
        return found && bytes(change(await readAll(found, 1e6)));
      },
    };
    const path = `${await temporaryDirectory()}/out.tar`;
    await saveFile(path, bytes('old'));
    const reference = { tag: '1', reference: 'app:1' };
    const error = await failure(
      imageArchive(damaged, 'app', image.root, reference, 'oci').then((content) =>
        saveFile(path, content),
      ),
    );
    expect(codeOf(error)).toBe(code);
    expect(String(error)).toContain('app:1');
    expect((await file(path))?.size).toBe(3);
  });
});

describe('an archive that docker wrote', () => {
  test('T05: has the image under its name, in a form that depends on its bytes alone', async () => {
    const { files, entry } = dockerFiles(image);
    const first = await archive(tar({ 'manifest.json': json([entry]), ...files }), what);
    const last = await archive(
      tar({ ...files, 'manifest.json': json([{ ...entry, RepoTags: ['b:2'] }]) }),
      what,
    );
    expect(await Array.fromAsync(first.tags(''))).toEqual(['app:1']);
    const digest = await wholeTag(first, '', 'app:1');
    expect(digest).toBe('sha256:ce33e68ca618b1b1fdcf84187258a7d7a4921ac29186a478c590f323ac3966e2');
    expect(await wholeTag(last, '', 'b:2')).toBe(digest);
    const manifest = digest && (await first.manifest('', digest));
    expect(manifest).toMatchObject({
      kind: 'image',
      mediaType: mediaTypes.ociManifest,
      config: { digest: image.root.config.digest },
      layers: image.root.layers.map(({ digest, size }) => ({
        mediaType: mediaTypes.ociLayer,
        digest,
        size,
      })),
    });
    const loaded = await load(first, 'app:1');
    expect((await loaded.resolve('app', '1'))?.digest).toBe(digest);
    expect(await first.resolve('', 'none')).toBeUndefined();
    expect(await first.resolve('app', 'app:1')).toBeUndefined();
  });

  test('an image without a name goes by its digest', async () => {
    for (const tags of [null, []]) {
      const reader = await archive(dockerTar(dockerFiles(image, tags)), what);
      const [name = ''] = await Array.fromAsync(reader.tags(''));
      expect(name).toMatch(/^sha256:/);
      expect((await reader.resolve('', name))?.digest).toBe(name);
    }
  });

  test('two images, one of them with two names', async () => {
    const other = imageFixture({ seed: 'other', layers: [noise('other', 2000)] });
    const otherFiles = dockerFiles(other, ['b:1']);
    const renamed = {
      entry: { ...otherFiles.entry, Layers: ['other/layer.tar'] },
      files: { ...otherFiles.files, 'other/layer.tar': noise('other', 2000) },
    };
    const { entry, files } = dockerFiles(image, ['a:1', 'a:2']);
    const reader = await archive(
      tar({ ...renamed.files, ...files, 'manifest.json': json([entry, renamed.entry]) }),
      what,
    );
    expect(await Array.fromAsync(reader.tags(''))).toEqual(['a:1', 'a:2', 'b:1']);
    expect(await wholeTag(reader, '', 'a:1')).toBe(await wholeTag(reader, '', 'a:2'));
    expect(await wholeTag(reader, '', 'b:1')).not.toBe(await wholeTag(reader, '', 'a:1'));
  });

  test('T08: two images of one name are ARCHIVE_INVALID, one image twice is not', async () => {
    const other = imageFixture({ seed: 'other', layers: [1000, 3000] });
    const [one, two] = [dockerFiles(image), dockerFiles(other)];
    const both = {
      entry: { ...two.entry, Layers: ['x', 'y'] },
      files: { ...two.files, x: noise('other layer 0', 1000), y: noise('other layer 1', 3000) },
    };
    const files = { ...both.files, ...one.files };
    const error = await failure(
      archive(tar({ ...files, 'manifest.json': json([one.entry, both.entry]) }), what),
    );
    expect(codeOf(error)).toBe('ARCHIVE_INVALID');
    expect(String(error)).toContain('two images named "app:1"');
    const reader = await archive(
      tar({ ...files, 'manifest.json': json([one.entry, one.entry]) }),
      what,
    );
    expect(await Array.fromAsync(reader.tags(''))).toEqual(['app:1']);
  });

  test('T02: layers may be links within it, as docker wrote for those that images share', async () => {
    const { entry, files } = dockerFiles(image);
    const [first = '', second = ''] = entry.Layers;
    const bodies = Object.entries(files).filter(([path]) => path !== second);
    const parts = [
      ...bodies.map(([name, body]) => rawEntry({ name }, Buffer.from(body))),
      rawEntry({ name: 'shared/layer.tar' }, Buffer.from(files[second] ?? '')),
      rawEntry({ name: 'hop', type: '2', link: './shared/layer.tar' }),
      rawEntry({ name: second, type: '2', link: '../hop' }),
      rawEntry({ name: 'hard', type: '1', link: first }),
      rawEntry({ name: 'manifest.json' }, json([{ ...entry, Layers: ['hard', second] }])),
      end,
    ];
    const reader = await archive(bytes(Buffer.concat(parts)), what);
    expect(await wholeTag(reader, '', 'app:1')).toBe(
      await wholeTag(await archive(dockerTar(dockerFiles(image)), what), '', 'app:1'),
    );
  });

  test.each([
    ['that lead out', '../../etc/passwd', 'leads out of it'],
    ['to an absolute path', '/etc/passwd', 'leads out of it'],
    ['in a loop', 'layer.tar', 'a loop of links'],
    ['to nothing', 'nothing', 'manifest.json names what is not there'],
    ['to a directory', '../d', 'manifest.json names what is not there'],
  ])('T02: links %s are ARCHIVE_INVALID', async (_, link, why) => {
    const { entry, files } = dockerFiles(image);
    const [first = ''] = entry.Layers;
    const parts = [
      rawEntry({ name: 'd/', type: '5' }),
      ...Object.entries(files).flatMap(([name, body]) =>
        name === first ? [] : [rawEntry({ name }, Buffer.from(body))],
      ),
      rawEntry({ name: first, type: '2', link }),
      rawEntry({ name: 'manifest.json' }, json([entry])),
      end,
    ];
    const error = await failure(archive(bytes(Buffer.concat(parts)), what));
    expect(error).toMatchObject({ code: 'ARCHIVE_INVALID', message: expect.stringContaining(why) });
    expect(String(error)).toContain(first);
  });

  test.each(['../x', '/etc/passwd', '..'])(
    'T01: a path that leads out is ARCHIVE_INVALID: %s',
    async (path) => {
      const { entry, files } = dockerFiles(image);
      for (const changed of [
        { ...entry, Config: path },
        { ...entry, Layers: [path] },
      ]) {
        const error = await failure(
          archive(tar({ ...files, 'manifest.json': json([changed]) }), what),
        );
        expect(error).toMatchObject({
          code: 'ARCHIVE_INVALID',
          message: expect.stringContaining('leads out of it'),
        });
      }
    },
  );

  test('T04: everything that is missing of any image is named at once', async () => {
    const { entry } = dockerFiles(image);
    const second = {
      Config: 'second.json',
      RepoTags: ['b:1'],
      Layers: ['x/layer.tar', 'x/layer.tar'],
    };
    const error = await failure(archive(tar({ 'manifest.json': json([entry, second]) }), what));
    expect(codeOf(error)).toBe('ARCHIVE_INVALID');
    expect(String(error)).toContain(
      `names what is not there: ${[entry.Config, ...entry.Layers, 'second.json', 'x/layer.tar'].join(', ')}`,
    );
  });

  test('T03: a config that is not what its name says is ARCHIVE_INVALID', async () => {
    const { entry, files } = dockerFiles(image);
    const body = Buffer.from(files[entry.Config] ?? '');
    const changed = {
      ...files,
      [entry.Config]: body.toString().replace('"config":{}', '"config":{"User":"root"}'),
    };
    const error = await failure(archive(tar({ ...changed, 'manifest.json': json([entry]) }), what));
    expect(error).toMatchObject({
      code: 'ARCHIVE_INVALID',
      message: expect.stringContaining('is not the config that its name says'),
    });
    const moved = { ...entry, Config: `blobs/sha256/${hex(image.root.config.digest)}` };
    const other = await failure(
      archive(
        tar({
          ...files,
          [moved.Config]: changed[entry.Config] ?? '',
          'manifest.json': json([moved]),
        }),
        what,
      ),
    );
    expect(codeOf(other)).toBe('ARCHIVE_INVALID');
  });

  test('T03: a layer that is not what the config says is found when it is copied', async () => {
    const { entry, files } = dockerFiles(image);
    const [first = ''] = entry.Layers;
    const reader = await archive(
      tar({ ...files, [first]: noise('changed', 1000), 'manifest.json': json([entry]) }),
      what,
    );
    expect(codeOf(await failure(load(reader, 'app:1')))).toBe('DIGEST_MISMATCH');
  });

  test('T03: another number of layers than the config has is ARCHIVE_INVALID', async () => {
    const { entry, files } = dockerFiles(image);
    const error = await failure(
      archive(
        tar({ ...files, 'manifest.json': json([{ ...entry, Layers: entry.Layers.slice(1) }]) }),
        what,
      ),
    );
    expect(error).toMatchObject({
      code: 'ARCHIVE_INVALID',
      message: expect.stringContaining('has 2 layers where manifest.json has 1'),
    });
  });

  test('T06: compressed layers keep their bytes', async () => {
    const { entry, files } = dockerFiles(image);
    const packed = Object.fromEntries(
      entry.Layers.map((path) => [path, gzipSync(files[path] ?? '')]),
    );
    const reader = await archive(
      tar({ ...files, ...packed, 'manifest.json': json([entry]) }),
      what,
    );
    const digest = await wholeTag(reader, '', 'app:1');
    const manifest = digest && (await reader.manifest('', digest));
    expect(manifest).toMatchObject({
      layers: entry.Layers.map((path) => ({
        mediaType: mediaTypes.ociLayerGzip,
        digest: digestOf(packed[path] ?? new Uint8Array()),
      })),
    });
  });

  test.each([
    ['no JSON', '{'],
    ['no list', '{}'],
    ['a list of nothing', '[]'],
    ['no config', '[{"RepoTags":["a:1"]}]'],
    ['names that are no list', '[{"Config":"x","RepoTags":"a:1"}]'],
  ])('a manifest.json with %s is ARCHIVE_INVALID', async (_, text) => {
    const error = await failure(archive(tar({ 'manifest.json': text }), what));
    expect(error).toMatchObject({
      code: 'ARCHIVE_INVALID',
      message: expect.stringContaining('images.tar: manifest.json'),
    });
  });

  test('a config that is none is MANIFEST_INVALID', async () => {
    const error = await failure(
      archive(tar({ 'c.json': '{}', 'manifest.json': '[{"Config":"c.json"}]' }), what),
    );
    expect(codeOf(error)).toBe('MANIFEST_INVALID');
  });
});

describe('an archive that holds an OCI layout', () => {
  function ociFiles(fixture: ImageFixture): Record<string, Uint8Array> {
    const blobs = [
      ...fixture.blobs,
      ...fixture.manifests.map(({ digest, bytes }) => [digest, bytes] as const),
    ];
    const { mediaType, digest, size } = fixture.root;
    return {
      ...Object.fromEntries(blobs.map(([digest, body]) => [ociBlobPath(digest), body])),
      'index.json': json({
        schemaVersion: 2,
        manifests: [
          { mediaType, digest, size, annotations: { 'org.opencontainers.image.ref.name': 'v1' } },
        ],
      }),
    };
  }

  test('T05: is read as that, whether or not docker could read it too', async () => {
    const { entry, files } = dockerFiles(imageFixture({ seed: 'other' }));
    for (const extra of [{}, { ...files, 'manifest.json': json([entry]) }]) {
      const reader = await archive(tar({ ...extra, ...ociFiles(index) }), what);
      expect(await Array.fromAsync(reader.tags(''))).toEqual(['v1']);
      expect(await wholeTag(reader, '', 'v1')).toBe(index.root.digest);
    }
  });

  test('T03: a blob that is not what its name says is found when it is copied', async () => {
    const files = ociFiles(image);
    const [layer = image.root.config] = image.root.layers;
    const wrong = { ...files, [ociBlobPath(layer.digest)]: noise('wrong', layer.size) };
    expect(codeOf(await failure(load(await archive(tar(wrong), what), 'v1')))).toBe(
      'DIGEST_MISMATCH',
    );
    const short = { ...files, [ociBlobPath(layer.digest)]: 'short' };
    expect(codeOf(await failure(load(await archive(tar(short), what), 'v1')))).toBe(
      'SIZE_MISMATCH',
    );
  });

  test('T02: a blob that is a link, to wherever, is no blob', async () => {
    const [layer = image.root.config] = image.root.layers;
    const files = Object.entries(ociFiles(image)).filter(
      ([path]) => path !== ociBlobPath(layer.digest),
    );
    const content = bytes(
      Buffer.concat([
        ...files.map(([name, body]) => rawEntry({ name }, Buffer.from(body))),
        rawEntry({ name: ociBlobPath(layer.digest), type: '2', link: '/etc/passwd' }),
        end,
      ]),
    );
    const error = await failure(load(await archive(content, what), 'v1'));
    expect(codeOf(error)).toBe('NOT_FOUND');
    expect(String(error)).toContain(layer.digest);
  });

  test('T04: a file that is in it twice with different bytes is ARCHIVE_INVALID', async () => {
    const files = Object.entries(ociFiles(image)).map(([name, body]) =>
      rawEntry({ name }, Buffer.from(body)),
    );
    const index = ociFiles(image)['index.json'] ?? '';
    const same = rawEntry({ name: 'index.json' }, Buffer.from(index));
    expect(
      await wholeTag(await archive(bytes(Buffer.concat([...files, same, end])), what), '', 'v1'),
    ).toBe(image.root.digest);
    const other = rawEntry({ name: './index.json' }, json({ schemaVersion: 2, manifests: [] }));
    const error = await failure(archive(bytes(Buffer.concat([...files, other, end])), what));
    expect(error).toMatchObject({
      code: 'ARCHIVE_INVALID',
      message: expect.stringContaining('index.json is in it twice'),
    });
  });
});

describe('what is no archive of images', () => {
  test.each([
    ['gzip', '1f8b08000000000000'],
    ['zstd', '28b52ffd0000'],
    ['xz', 'fd377a585a00'],
    ['bzip2', '425a6839314159265359'],
  ])(
    'T06: one that is compressed with %s is UNSUPPORTED, saying how to decompress it',
    async (name, magic) => {
      const error = await failure(
        archive(bytes(Buffer.from(magic.padEnd(2048, '0'), 'hex')), what),
      );
      expect(error).toMatchObject({
        code: 'UNSUPPORTED',
        message: `images.tar is compressed with ${name}`,
      });
      expect(error).toMatchObject({ hint: expect.stringContaining(`${name} -d`) });
    },
  );

  test('T06: one whose first name begins like compressed bytes is not', async () => {
    const { entry, files } = dockerFiles(image);
    expect(await compressionOf(tar({ BZh9: '' }))).toBeUndefined();
    const reader = await archive(
      tar({ 'BZh91AY.txt': '', ...files, 'manifest.json': json([entry]) }),
      what,
    );
    expect(await Array.fromAsync(reader.tags(''))).toEqual(['app:1']);
  });

  test.each([
    ['of nothing', bytes('')],
    ['with other files', tar({ 'readme.txt': 'hello' })],
    [
      'whose index.json is a directory',
      bytes(Buffer.concat([rawEntry({ name: 'index.json/', type: '5' }), end])),
    ],
    ['that is no tar', bytes(noise('no tar', 2000))],
    ['that is text', bytes('hello')],
  ])('one %s is ARCHIVE_INVALID', async (_, content) => {
    const error = await failure(archive(content, what));
    expect(codeOf(error)).toBe('ARCHIVE_INVALID');
    expect(String(error)).toContain(what);
  });

  test('T05: one in the format of docker before 1.10 is UNSUPPORTED', async () => {
    expect(codeOf(await failure(archive(tar({ repositories: '{}' }), what)))).toBe('UNSUPPORTED');
  });
});

test('a manifest of a sha512 digest is archived under it', async () => {
  const body = image.root.bytes;
  const root = parseManifest(body, 'test', digestOf(body, 'sha512'));
  const content = await imageArchive(
    await source(image),
    'app',
    root,
    { tag: '1', reference: 'x:1' },
    'oci',
  );
  expect(await wholeTag(await archive(content, what), '', 'x:1')).toBe(root.digest);
});
