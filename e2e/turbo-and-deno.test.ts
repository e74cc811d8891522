import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { result, root, run, succeed } from './support/run.ts';
import { dockerRegistry, type RegistryServer } from './support/servers.ts';

// The packages as they would be published, in a workspace that knows nothing of this one.
const packages = ['oci', 'storage', 'distribution', 'cluster-image'];

let work: string;
let env: Readonly<Record<string, string>>;
let registry: RegistryServer;
/** What holds for every context of the workspace. */
let settings: object;

const deployment = `apiVersion: apps/v1
kind: Deployment
metadata: {name: api}
spec:
  template:
    spec:
      containers: [{name: api, image: registry.example/acme/api:dev}]
`;

/** The script of a package that builds an image of its own. */
const buildOf = (tag: string): string =>
  `cluster-image build -t ${tag} --bare --thin dist/image --digest-file dist/image.digest`;

beforeAll(async () => {
  const base = await mkdtemp(join(tmpdir(), 'cluster-image-e2e-'));
  work = join(base, 'workspace');
  env = {
    CLUSTER_IMAGE_STORE: join(base, 'store'),
    XDG_CONFIG_HOME: join(base, 'config'),
    XDG_CACHE_HOME: join(base, 'cache'),
    DENO_DIR: join(base, 'deno'),
    TURBO_TELEMETRY_DISABLED: '1',
    TURBO_CACHE_DIR: join(base, 'turbo'),
    DO_NOT_TRACK: '1',
  };
  const tarballs = join(base, 'tarballs');
  await mkdir(tarballs, { recursive: true });
  for (const name of packages) {
    const pack = ['pack', '--ignore-scripts', '--pack-destination', tarballs];
    await succeed('npm', pack, { cwd: join(root, 'packages', name) });
  }
  registry = await dockerRegistry(join(base, 'registry'), base);
  const { host } = registry;
  settings = { registries: { [host]: { plainHttp: true } } };
  await files({
    'package.json': JSON.stringify({
      name: 'shop',
      private: true,
      packageManager: 'npm@11.0.0',
      workspaces: ['packages/*'],
    }),
    'turbo.json': '{ "$schema": "https://turborepo.com/schema.json", "tasks": {} }\n',
    'cluster-image.json': JSON.stringify(settings),
    'packages/base/package.json': JSON.stringify({
      name: 'base',
      version: '0.0.0',
      scripts: { image: buildOf('acme/base') },
    }),
    'packages/base/Dockerfile': `FROM ${host}/team/shell:1\nCOPY base.txt /base.txt\n`,
    'packages/base/base.txt': 'one\n',
    'packages/api/package.json': JSON.stringify({
      name: 'api',
      version: '0.0.0',
      dependencies: { base: '*' },
      scripts: {
        image: buildOf(`${host}/acme/api:1`),
        'push-image': `cluster-image push ${host}/acme/api:1`,
      },
    }),
    'packages/api/Dockerfile': 'FROM registry.example/acme/base\nCOPY main.txt /main.txt\n',
    'packages/api/cluster-image.json': JSON.stringify({
      workspaceImages: { 'registry.example/acme/base': 'oci:../base/dist/image' },
    }),
    'packages/api/main.txt': 'one\n',
    'packages/api/README.md': 'first\n',
    'packages/cluster/package.json': JSON.stringify({
      name: 'cluster',
      private: true,
      dependencies: { api: '*' },
    }),
    'packages/cluster/manifests/api.yaml': deployment,
    'packages/cluster/cluster-image.json': JSON.stringify({
      workspaceImages: { 'registry.example/acme/api': 'oci:../api/dist/image' },
    }),
    '.gitignore': 'node_modules\n',
  });
  await succeed('git', ['init', '-q', '.'], { cwd: work });
  const names = ['oci', 'storage', 'distribution'].map((name) => `cluster-image-${name}`);
  const archives = [...names, 'cluster-image'].map((name) => join(tarballs, `${name}-0.0.0.tgz`));
  const tools = ['turbo@2.11.9', '@deno/linux-x64-glibc@2.9.6'];
  const install = ['install', '-D', '--prefer-offline', '--ignore-scripts', '--no-audit'];
  await succeed('npm', [...install, ...tools, ...archives], { cwd: work, env });
  const command = join(work, 'node_modules/.bin/cluster-image');
  const made = ['init', 'packages/cluster', '--turbo', '--tag', `${host}/acme/cluster:1`];
  await succeed(command, made, { cwd: work, env });
  const shell = join(base, 'shell');
  await files({ Dockerfile: 'FROM scratch\nCOPY sh /bin/sh\n', sh: 'a shell\n' }, shell);
  const upstream = [shell, '--bare', '--output', `docker://${host}/team/shell:1`];
  await succeed(command, ['build', ...upstream, '--plain-http', host], { cwd: work, env });
  await succeed(command, ['lock', 'packages/base', '--bare'], { cwd: work, env });
  await succeed(command, ['lock', 'packages/cluster'], { cwd: work, env });
}, 300_000);

afterAll(async () => {
  await registry?.stop();
  await rm(dirname(work), { recursive: true, force: true });
});

async function files(given: Readonly<Record<string, string>>, at = work): Promise<void> {
  for (const [path, text] of Object.entries(given)) {
    await mkdir(dirname(join(at, path)), { recursive: true });
    await writeFile(join(at, path), text);
  }
}

/** What Turborepo did with each task of a run: what it does not cache it calls a bypass. */
async function turbo(
  task = 'build-image',
  variables = env,
): Promise<Readonly<Record<string, string>>> {
  const program = join(work, 'node_modules/.bin/turbo');
  const args = ['run', task, '--output-logs=hash-only', '--ui=stream'];
  const options = { cwd: work, env: variables };
  const printed = stripVTControlCharacters(await succeed(program, args, options));
  const tasks = printed.matchAll(/^([\w-]+:[\w-]+): cache (hit|miss|bypass)/gm);
  return Object.fromEntries([...tasks].map(([, task = '', state = '']) => [task, state]));
}

/** Leaves of the workspace what a clone has. */
async function clean(): Promise<void> {
  for (const name of ['base', 'api', 'cluster']) {
    await rm(join(work, 'packages', name, 'dist'), { recursive: true, force: true });
  }
}

/** What each run builds, for no task cache restores files to the store. */
const images = { 'base:image': 'bypass', 'api:image': 'bypass' };

const digestOf = async (name: string): Promise<string> =>
  (await readFile(join(work, 'packages', name, 'dist/image.digest'), 'utf8')).trim();

describe('under Turborepo', () => {
  let first: string;

  test('a cluster image is built from the image of another package, and is a hit the second time', async () => {
    expect(await turbo()).toEqual({ ...images, 'cluster:build-image': 'miss' });
    first = await digestOf('cluster');
    expect(first).toMatch(/^sha256:/);
    expect(await turbo()).toEqual({ ...images, 'cluster:build-image': 'hit' });
    await clean();
    expect(await turbo()).toEqual({ ...images, 'cluster:build-image': 'hit' });
    expect(await digestOf('cluster')).toBe(first);
  });

  test('what leaves the image as it is leaves the cluster image a hit', async () => {
    await files({ 'packages/api/README.md': 'second\n' });
    expect(await turbo()).toEqual({ ...images, 'cluster:build-image': 'hit' });
  });

  test.each([
    ['what changes the image', 'packages/api/main.txt'],
    ['what changes the image that it is built upon', 'packages/base/base.txt'],
  ])('%s changes the cluster image, and back', async (_, path) => {
    await files({ [path]: 'two\n' });
    expect(await turbo()).toEqual({ ...images, 'cluster:build-image': 'miss' });
    expect(await digestOf('cluster')).not.toBe(first);
    await files({ [path]: 'one\n' });
    expect(await turbo()).toEqual({ ...images, 'cluster:build-image': 'hit' });
    expect(await digestOf('cluster')).toBe(first);
  });

  test('a setting of the workspace changes the cluster image, and back', async () => {
    await files({ 'cluster-image.json': JSON.stringify({ ...settings, keepHosts: true }) });
    expect(await turbo()).toMatchObject({ 'cluster:build-image': 'miss' });
    expect(await digestOf('cluster')).not.toBe(first);
    await files({ 'cluster-image.json': JSON.stringify(settings) });
    expect(await turbo()).toMatchObject({ 'cluster:build-image': 'hit' });
    expect(await digestOf('cluster')).toBe(first);
  });

  test('what else lies in dist/ is part of the hash', async () => {
    await files({ 'packages/cluster/dist/notes.txt': 'of another task\n' });
    expect(await turbo()).toMatchObject({ 'cluster:build-image': 'miss' });
    await rm(join(work, 'packages/cluster/dist/notes.txt'));
    expect(await turbo()).toMatchObject({ 'cluster:build-image': 'hit' });
  });

  describe('an agent whose store is empty', () => {
    const agent = (name: string) => ({ ...env, CLUSTER_IMAGE_STORE: join(dirname(work), name) });

    test('pushes images of which the cache restored no bytes', async () => {
      await clean();
      expect(await turbo('push-image', agent('pushing'))).toEqual({
        ...images,
        'api:push-image': 'bypass',
        'cluster:build-image': 'hit',
        'cluster:push-image': 'bypass',
      });
      expect(await digestOf('cluster')).toBe(first);
      for (const name of ['api', 'cluster']) {
        const location = `docker://${registry.host}/acme/${name}:1`;
        const plain = ['--plain-http', registry.host];
        expect(await result(['verify', location, ...plain], { env })).toMatchObject({
          problems: [],
        });
        const inspect = ['inspect', '--tls-verify=false', '--format', '{{.Digest}}', location];
        expect((await succeed('skopeo', inspect)).trim()).toBe(await digestOf(name));
      }
    });

    test('builds a cluster image that has changed', async () => {
      await clean();
      const kubefile = join(work, 'packages/cluster/Kubefile');
      const text = await readFile(kubefile, 'utf8');
      await writeFile(kubefile, `${text}LABEL changed=yes\n`);
      expect(await turbo('build-image', agent('building'))).toEqual({
        ...images,
        'cluster:build-image': 'miss',
      });
      await writeFile(kubefile, text);
      expect(await turbo()).toMatchObject({ 'cluster:build-image': 'hit' });
    });
  });
});

describe('under Deno', () => {
  test('the command builds the same cluster image', async () => {
    const deno = join(work, 'node_modules/@deno/linux-x64-glibc/deno');
    const entry = join(work, 'node_modules/cluster-image/bin/cluster-image.js');
    const store = join(dirname(work), 'deno-store');
    const options = {
      cwd: join(work, 'packages/cluster'),
      env: { ...env, CLUSTER_IMAGE_STORE: store },
    };
    const build = ['run', '-A', entry, 'build'];
    for (const name of ['base', 'api']) {
      const at = join(work, 'packages', name);
      const bare = [at, '-t', name, '--bare', '--thin', join(at, 'dist/image')];
      await succeed(deno, [...build, ...bare], options);
    }
    const tag = `${registry.host}/acme/cluster:1`;
    const built = await run(deno, [...build, '.', '-t', tag, '--json'], options);
    expect(built.code, built.stderr).toBe(0);
    expect(JSON.parse(built.stdout).digest).toBe(await digestOf('cluster'));
  });
});

test('under npm scripts the same', async () => {
  const copy = join(dirname(work), 'copy');
  await cp(work, copy, { recursive: true, verbatimSymlinks: true });
  await rm(join(copy, 'packages/cluster/dist'), { recursive: true, force: true });
  for (const name of ['base', 'api']) {
    await succeed('npm', ['run', 'image', '-w', name], { cwd: copy, env });
  }
  await succeed('npm', ['run', 'build-image', '-w', 'cluster'], { cwd: copy, env });
  const digest = await readFile(join(copy, 'packages/cluster/dist/image.digest'), 'utf8');
  expect(digest.trim()).toBe(await digestOf('cluster'));
});
