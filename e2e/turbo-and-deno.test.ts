import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { root, run, succeed } from './support/run.ts';

// The packages as they would be published, in a workspace that knows nothing of this one.
const packages = ['oci', 'storage', 'distribution', 'cluster-image'];

let work: string;
let env: Readonly<Record<string, string>>;

const deployment = `apiVersion: apps/v1
kind: Deployment
metadata: {name: api}
spec:
  template:
    spec:
      containers: [{name: api, image: registry.example/acme/api:dev}]
`;

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
  await files({
    'package.json': JSON.stringify({
      name: 'shop',
      private: true,
      packageManager: 'npm@11.0.0',
      workspaces: ['packages/*'],
    }),
    'turbo.json': '{ "$schema": "https://turborepo.com/schema.json", "tasks": {} }\n',
    'packages/api/package.json': JSON.stringify({
      name: 'api',
      version: '0.0.0',
      scripts: {
        image:
          'cluster-image build -t acme/api --bare --thin dist/image --digest-file dist/image.digest',
      },
    }),
    'packages/api/Dockerfile': 'FROM scratch\nCOPY main.txt /main.txt\n',
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
    '.gitignore': 'node_modules\ndist\n.turbo\n',
  });
  await succeed('git', ['init', '-q', '.'], { cwd: work });
  const names = ['oci', 'storage', 'distribution'].map((name) => `cluster-image-${name}`);
  const archives = [...names, 'cluster-image'].map((name) => join(tarballs, `${name}-0.0.0.tgz`));
  const tools = ['turbo@2.11.9', '@deno/linux-x64-glibc@2.9.6'];
  const install = ['install', '-D', '--prefer-offline', '--ignore-scripts', '--no-audit'];
  await succeed('npm', [...install, ...tools, ...archives], { cwd: work, env });
  const command = join(work, 'node_modules/.bin/cluster-image');
  const made = ['init', 'packages/cluster', '--turbo', '--tag', 'acme/cluster:1'];
  await succeed(command, made, { cwd: work, env });
  await succeed(command, ['lock', 'packages/cluster'], { cwd: work, env });
}, 300_000);

afterAll(async () => {
  await rm(dirname(work), { recursive: true, force: true });
});

async function files(given: Readonly<Record<string, string>>): Promise<void> {
  for (const [path, text] of Object.entries(given)) {
    await mkdir(dirname(join(work, path)), { recursive: true });
    await writeFile(join(work, path), text);
  }
}

/** What Turborepo did with each task of a run. */
async function turbo(): Promise<Readonly<Record<string, string>>> {
  const program = join(work, 'node_modules/.bin/turbo');
  const args = ['run', 'build-image', '--output-logs=hash-only', '--ui=stream'];
  const printed = stripVTControlCharacters(await succeed(program, args, { cwd: work, env }));
  const tasks = printed.matchAll(/^([\w-]+:[\w-]+): cache (hit|miss)/gm);
  return Object.fromEntries([...tasks].map(([, task = '', state = '']) => [task, state]));
}

const digestOf = async (name: string): Promise<string> =>
  (await readFile(join(work, 'packages', name, 'dist/image.digest'), 'utf8')).trim();

describe('under Turborepo', () => {
  let first: string;

  test('a cluster image is built from the image of another package, and is a hit the second time', async () => {
    expect(await turbo()).toEqual({ 'api:image': 'miss', 'cluster:build-image': 'miss' });
    first = await digestOf('cluster');
    expect(first).toMatch(/^sha256:/);
    await rm(join(work, 'packages/cluster/dist'), { recursive: true });
    expect(await turbo()).toEqual({ 'api:image': 'hit', 'cluster:build-image': 'hit' });
    expect(await digestOf('cluster')).toBe(first);
  });

  test('what leaves the image as it is leaves the cluster image a hit', async () => {
    await files({ 'packages/api/README.md': 'second\n' });
    expect(await turbo()).toEqual({ 'api:image': 'miss', 'cluster:build-image': 'hit' });
  });

  test('what changes the image changes the cluster image, and back', async () => {
    await files({ 'packages/api/main.txt': 'two\n' });
    expect(await turbo()).toEqual({ 'api:image': 'miss', 'cluster:build-image': 'miss' });
    expect(await digestOf('cluster')).not.toBe(first);
    await files({ 'packages/api/main.txt': 'one\n' });
    expect(await turbo()).toEqual({ 'api:image': 'hit', 'cluster:build-image': 'hit' });
    expect(await digestOf('cluster')).toBe(first);
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
    const api = join(work, 'packages/api');
    const build = ['run', '-A', entry, 'build'];
    await succeed(
      deno,
      [...build, api, '-t', 'api', '--bare', '--thin', join(api, 'dist/image')],
      options,
    );
    const built = await run(deno, [...build, '.', '-t', 'acme/cluster:1', '--json'], options);
    expect(built.code, built.stderr).toBe(0);
    expect(JSON.parse(built.stdout).digest).toBe(await digestOf('cluster'));
  });
});

test('under npm scripts the same', async () => {
  const copy = join(dirname(work), 'copy');
  await cp(work, copy, { recursive: true, verbatimSymlinks: true });
  await rm(join(copy, 'packages/cluster/dist'), { recursive: true, force: true });
  await succeed('npm', ['run', 'image', '-w', 'api'], { cwd: copy, env });
  await succeed('npm', ['run', 'build-image', '-w', 'cluster'], { cwd: copy, env });
  const digest = await readFile(join(copy, 'packages/cluster/dist/image.digest'), 'utf8');
  expect(digest.trim()).toBe(await digestOf('cluster'));
});
