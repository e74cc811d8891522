import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createContext, jsonOf, type Manifest, readAll } from '@cluster-image/oci';
import { file, openStore, tarTree } from '@cluster-image/storage';
import { imageFixture, temporaryDirectory } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { containersStorage } from '../../src/engines/containers-storage.ts';
import { manifestOf, openImage } from '../../src/images.ts';
import { parseLocation } from '../../src/location.ts';
import { copyVerb } from '../../src/verbs/transfer.ts';
import { verifyVerb } from '../../src/verbs/verify.ts';
import { desk, image } from '../desk.ts';
import { dockerSave } from '../docker-save.ts';
import { failureOf } from '../failure.ts';
import { type Place, place } from '../place.ts';

const app = imageFixture({
  seed: 'app',
  layers: [2000, 30_000],
  annotations: { own: 'and kept' },
});

interface Tools {
  /** A directory with these tools and nothing else. */
  readonly path: string;
  /** What was written there by a tool, lines of calls for one; empty where nothing was. */
  text(name: string): Promise<string>;
  at(name: string): string;
}

/**
 * Programs of these names, which note down how they are called. A script finds its arguments in `$*`, and
 * in `$file` the file of an archive among them.
 */
async function toolsOf(scripts: Readonly<Record<string, string>>): Promise<Tools> {
  const root = await temporaryDirectory();
  const at = (name: string): string => join(root, name);
  await mkdir(at('bin'));
  for (const [name, script] of Object.entries(scripts)) {
    const text = `#!/bin/sh
[ "$1" = --version ] && exit 0
PATH=/bin:/usr/bin
file=$(echo "$*" | sed -n 's|.*\\(\\./[^ ]*\\).*|\\1|p')
echo "${name} $*" | sed 's|\\./[^ ]*|FILE|' >> ${root}/calls
${script.replaceAll('$root', root)}
`;
    await writeFile(at(`bin/${name}`), text);
    await chmod(at(`bin/${name}`), 0o755);
  }
  return { path: at('bin'), at, text: (name) => readFile(at(name), 'utf8').catch(() => '') };
}

/** Says that of the manifest where it is asked to inspect, and writes the archive otherwise. */
const answering = (said: string, writing = 'cat $root/archive > "$file"'): string =>
  `case "$*" in *inspect*) cat <<'END' | head -c -1\n${said}\nEND\nexit;; esac\n${writing}`;

const manifest = new TextDecoder().decode(app.root.bytes);
const reader = { skopeo: answering(manifest) };

async function placeWith(
  scripts: Readonly<Record<string, string>>,
  variables: Readonly<Record<string, string>> = {},
): Promise<Place & { readonly tools: Tools }> {
  const tools = await toolsOf(scripts);
  await writeFile(tools.at('archive'), await dockerSave(app, 'localhost/app:1'));
  return { ...(await place({}, { PATH: tools.path, ...variables })), tools };
}

async function staged({ store }: Place): Promise<readonly string[]> {
  return (await store.registry.disk.staged()).map(({ path }) => path);
}

const from = 'containers-storage:localhost/app:1';

describe('an image of the storage that podman has', () => {
  test.each([
    [
      'skopeo',
      manifest,
      'inspect --raw containers-storage:localhost/app:1',
      'copy containers-storage:localhost/app:1 docker-archive:FILE',
    ],
    [
      'podman',
      '{}',
      'image inspect --format {{json .Annotations}} localhost/app:1',
      'save --format docker-archive -o FILE localhost/app:1',
    ],
    [
      'buildah',
      JSON.stringify({ Manifest: manifest }),
      'inspect --type image localhost/app:1',
      'push localhost/app:1 docker-archive:FILE',
    ],
  ])('is read by %s, every byte checked', async (name, said, ...calls) => {
    const here = await placeWith({ [name]: answering(said) });
    const verified = await here.run(verifyVerb, { location: from });
    expect([verified.problems, verified.blobs]).toEqual([[], 3]);
    expect((await here.tools.text('calls')).trimEnd().split('\n')).toEqual(
      calls.map((call) => `${name} ${call}`),
    );
    expect(await staged(here)).toEqual([]);
  });

  test('is read by the first of them that is there', async () => {
    const here = await placeWith({ podman: 'exit 1', ...reader, buildah: 'exit 1' });
    await here.run(verifyVerb, { location: from });
    expect(await here.tools.text('calls')).not.toMatch(/podman|buildah/);
  });

  test('is looked for where the environment says, and nothing else of that is seen', async () => {
    const here = await placeWith(
      { skopeo: `env > $root/env\n${reader.skopeo}` },
      { STORAGE_DRIVER: 'vfs', CONTAINERS_STORAGE_CONF: '/etc/own.conf', TOKEN: 'canary' },
    );
    await here.run(verifyVerb, { location: from });
    const seen = await here.tools.text('env');
    expect(seen).toContain('STORAGE_DRIVER=vfs');
    expect(seen).toContain('CONTAINERS_STORAGE_CONF=/etc/own.conf');
    expect(seen).toContain(`HOME=${here.environment.variables.HOME}`);
    expect(seen).not.toMatch(/canary|CLUSTER_IMAGE/);
  });
});

describe('the manifest that an image came with', () => {
  /** The image as it is read, where a tool says that of its manifest. */
  async function readBy(name: string, said: string): Promise<Manifest> {
    const here = await placeWith({ [name]: answering(said) });
    return here.within({}, async (workspace) => {
      return manifestOf(await openImage(parseLocation(from), workspace));
    });
  }

  const { config, layers } = app.root;
  const changed = (more: object): string => JSON.stringify({ ...JSON.parse(manifest), ...more });
  const annotations = { 'sealer.image.extension': '{}' };

  test.each([
    ['skopeo', manifest],
    ['buildah', JSON.stringify({ Manifest: manifest })],
  ])('is still its manifest to %s, if its layers were not compressed', async (name, said) => {
    const found = await readBy(name, said);
    expect([found.digest, Buffer.from(found.bytes)]).toEqual([
      app.root.digest,
      Buffer.from(app.root.bytes),
    ]);
  });

  test.each([
    ['skopeo', changed({ annotations, layers: layers.map((layer) => ({ ...layer, size: 7 })) })],
    ['podman', JSON.stringify(annotations)],
  ])('leaves its annotations by %s, if that cannot be', async (name, said) => {
    const found = await readBy(name, said);
    expect(found).toMatchObject({ kind: 'image', annotations, config: { digest: config.digest } });
    expect(found).toMatchObject({ layers: layers.map(({ digest }) => ({ digest })) });
  });

  test.each([
    ['skopeo', changed({ config: { ...config, digest: `sha256:${'2'.repeat(64)}` } })],
    ['skopeo', JSON.stringify({ schemaVersion: 2, manifests: [] })],
    ['podman', 'null'],
    ['buildah', '{}'],
  ])('counts for nothing where %s tells of another: %s', async (name, said) => {
    const found = await readBy(name, said);
    const plain = await readBy('podman', '{}');
    expect([found.digest, found.annotations]).toEqual([plain.digest, {}]);
    expect(found.digest).not.toBe(app.root.digest);
  });

  test('that is none is told', async () => {
    expect((await failureOf(readBy('skopeo', '<html>'))).code).toBe('MANIFEST_INVALID');
  });
});

describe('an image that cannot be read', () => {
  test.each([
    'does not resolve to an image ID: identifier is not an image',
    'Error: localhost/app:1: image not known',
  ])('is not there: %s', async (message) => {
    const here = await placeWith({ skopeo: `echo '${message}' >&2; exit 1` });
    const error = await failureOf(here.run(verifyVerb, { location: from }));
    expect([error.code, error.hint]).toEqual(['NOT_FOUND', expect.stringContaining('localhost/')]);
    expect(await staged(here)).toEqual([]);
  });

  test('is told as the tool tells it', async () => {
    const here = await placeWith({ skopeo: 'echo "the disk is on fire" >&2; exit 1' });
    const error = await failureOf(here.run(verifyVerb, { location: from }));
    expect([error.code, error.message]).toEqual([
      'TOOL',
      expect.stringContaining('the disk is on fire'),
    ]);
  });

  test.each([
    ['half of an archive', 'head -c 5000 $root/archive > "$file"'],
    ['nothing', ''],
    ['a text', 'echo hello > "$file"'],
    ['no file', 'rm "$file"'],
  ])('is %s of a tool that ends well', async (_, writes) => {
    const here = await placeWith({ buildah: answering('{}', writes) });
    const { code } = await failureOf(here.run(verifyVerb, { location: from }));
    expect(code).toBe(writes.startsWith('rm') ? 'FILE_SYSTEM' : 'ARCHIVE_INVALID');
    expect(await staged(here)).toEqual([]);
  });

  test('has nobody to read it', async () => {
    const here = await placeWith({});
    const error = await failureOf(here.run(verifyVerb, { location: from }));
    expect([error.code, error.hint]).toEqual(['TOOL', expect.stringContaining('Install skopeo')]);
  });
});

describe('a tool that does not end', () => {
  // What it started lives on its own, as far as it can.
  const endless = 'sleep 600 &\necho $! > $root/pid\nwait';

  async function isAlive(tools: Tools): Promise<boolean> {
    const pid = Number(await tools.text('pid'));
    expect(pid).toBeGreaterThan(1);
    try {
      // A dead process that nobody has asked after is no more than its number.
      const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
      return !/\) [ZX]/.test(stat);
    } catch {
      return false;
    }
  }

  test('is ended when it has been silent for too long, with all that it started', async () => {
    const tools = await toolsOf({ buildah: endless });
    const store = openStore(await temporaryDirectory());
    const variables = { PATH: tools.path };
    const storage = containersStorage(
      { cwd: '/', variables },
      store.scratch,
      createContext(),
      5_000,
    );
    const target = await store.scratch();
    const error = await failureOf(storage.save('localhost/app:1', target));
    expect([error.code, error.message]).toEqual(['TOOL', expect.stringMatching(/silent/)]);
    await expect.poll(() => isAlive(tools)).toBe(false);
  });

  test('is ended when the work is interrupted', async () => {
    const here = await placeWith({ buildah: endless });
    const controller = new AbortController();
    const reading = failureOf(here.run(verifyVerb, { location: from }, controller.signal));
    await expect.poll(() => here.tools.text('pid').catch(() => '')).toMatch(/^\d+\n/);
    controller.abort();
    expect((await reading).code).toBe('ABORTED');
    await expect.poll(() => isAlive(here.tools)).toBe(false);
    expect(await staged(here)).toEqual([]);
  });

  test('is ended when it prints without end', async () => {
    const here = await placeWith({ buildah: 'yes $$ | head -c 1000000000' });
    const { code, message } = await failureOf(here.run(verifyVerb, { location: from }));
    expect([code, message]).toEqual(['TOOL', expect.stringContaining('printed over')]);
  });
});

describe('an image for that storage', () => {
  const takes = 'cp "$file" $root/loaded';

  test.each([
    ['skopeo', 'skopeo copy oci-archive:FILE containers-storage:docker.io/team/app:2\n'],
    ['podman', 'podman load -i FILE\n'],
  ])('is handed to %s as an archive with its digest and its name', async (name, calls) => {
    const upstream = await desk();
    const here = await placeWith({ [name]: takes, buildah: 'exit 1' });
    const copied = await here.run(copyVerb, {
      from: `docker://${upstream.host}/acme/app:1`,
      to: 'containers-storage:team/app:2',
      plainHttp: [upstream.host],
    });
    expect(copied.digest).toBe(image.root.digest);
    expect(await here.tools.text('calls')).toBe(calls);
    const loaded = await file(here.tools.at('loaded'));
    if (!loaded) throw new Error('nothing was handed over');
    const tree = await tarTree(loaded, 'loaded');
    const index = await tree.entry('index.json');
    if (index?.type !== 'file') throw new Error('no index.json');
    expect(jsonOf(await readAll(index.content, 10_000))).toMatchObject({
      manifests: [
        {
          digest: image.root.digest,
          annotations: { 'org.opencontainers.image.ref.name': 'docker.io/team/app:2' },
        },
      ],
    });
    expect(await staged(here)).toEqual([]);
  });

  test('is not given to buildah, which would take names from others', async () => {
    const upstream = await desk();
    const here = await placeWith({ buildah: takes });
    const options = { from: `docker://${upstream.host}/acme/app:1`, plainHttp: [upstream.host] };
    const error = await failureOf(here.run(copyVerb, { ...options, to: 'containers-storage:app' }));
    expect([error.code, error.message]).toEqual([
      'TOOL',
      expect.stringContaining('skopeo or podman'),
    ]);
    expect(await here.tools.text('calls')).toBe('');
  });

  test('for several platforms has to be one of them', async () => {
    const upstream = await desk();
    const here = await placeWith({ skopeo: takes });
    const options = { from: `docker://${upstream.host}/acme/index:1`, plainHttp: [upstream.host] };
    const error = await failureOf(here.run(copyVerb, { ...options, to: 'containers-storage:app' }));
    expect(error.code).toBe('UNSUPPORTED');
  });
});
