import { createHash, randomBytes } from 'node:crypto';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { noise } from '@cluster-image/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { nxVersion } from './support/nx-versions.ts';
import { ask, result, run, succeed } from './support/run.ts';
import {
  cacheServer,
  dockerRegistry,
  type RegistryServer,
  type Server,
} from './support/servers.ts';

type Cache = Server & { readonly host: string };

let work: string;
let registry: RegistryServer;
const servers: Server[] = [];

/** A token, as its owner has it. */
const secrets = {
  main: randomBytes(32).toString('hex'),
  laptop: randomBytes(32).toString('hex'),
  pulls: randomBytes(32).toString('hex'),
};
const [main, laptop] = [secrets.main, secrets.laptop];
const pull = `${secrets.pulls}@pr-1`;

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'cluster-image-e2e-'));
  registry = await dockerRegistry(join(work, 'registry'), work);
  const sha256 = (secret: string): string => createHash('sha256').update(secret).digest('hex');
  const tokens = [
    { name: 'ci', sha256: sha256(secrets.main), rights: ['read', 'write'], scope: 'main' },
    { name: 'laptops', sha256: sha256(secrets.laptop), rights: ['read'] },
    { name: 'pulls', sha256: sha256(secrets.pulls), rights: ['read', 'write'], scope: 'pr-*' },
  ];
  await writeFile(join(work, 'tokens.json'), JSON.stringify({ tokens }));
  const template = join(work, 'template');
  const project = {
    name: 'one',
    version: '0.0.0',
    scripts: { build: 'mkdir -p dist && cp src.txt dist/out.txt && date +%N > dist/when.txt' },
    nx: {
      targets: {
        build: {
          cache: true,
          inputs: ['{projectRoot}/src.txt'],
          outputs: ['{projectRoot}/dist'],
        },
      },
    },
  };
  const manifest = { name: 'all', private: true, packageManager: 'npm@11.0.0' };
  const files: Readonly<Record<string, string>> = {
    'package.json': JSON.stringify({ ...manifest, workspaces: ['apps/*'] }),
    'nx.json': '{ "neverConnectToCloud": true, "analytics": false }\n',
    'turbo.json': JSON.stringify({
      remoteCache: { signature: true },
      tasks: { build: { inputs: ['src.txt'], outputs: ['dist/**'] } },
    }),
    'apps/one/package.json': JSON.stringify(project),
    'apps/one/src.txt': 'a source\n',
    '.gitignore': 'node_modules\ndist\n.nx\n.turbo\n',
  };
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(template, path)), { recursive: true });
    await writeFile(join(template, path), text);
  }
  const flags = ['--prefer-offline', '--ignore-scripts', '--no-audit', '--no-fund'];
  const packages = [`nx@${nxVersion.nx}`, 'turbo@2.11.9'];
  await succeed('npm', ['install', '-D', ...flags, ...packages], { cwd: template });
});

afterAll(async () => {
  for (const server of [...servers, registry]) await server?.stop();
  await rm(work, { recursive: true, force: true });
});

/** A cache with tokens, that ends with the tests. */
async function guarded(location: string, options: readonly string[] = []): Promise<Cache> {
  const given = ['--token-file', join(work, 'tokens.json'), '--plain-http', registry.host];
  const cache = await cacheServer(location, work, [...given, ...options]);
  servers.push(cache);
  return cache;
}

interface Built {
  readonly code: number | null;
  readonly printed: string;
  /** Where the result came from. */
  readonly from: 'remote' | 'built';
  /** What only the run that made it could know. */
  readonly when: string;
}

/** A machine: the workspace with a first commit and caches of its own. */
interface Machine {
  nx(host: string, token: string): Promise<Built>;
  turbo(host: string, token: string, key?: string): Promise<Built>;
  /** Makes the next build another one. */
  change(): Promise<void>;
}

const signatureKey = 'a signature key of more than 32 bytes';
let machines = 0;

async function machine(source = 'a source\n'): Promise<Machine> {
  machines += 1;
  const at = join(work, `machine-${machines}`);
  await succeed('cp', ['-al', join(work, 'template'), at]);
  const change = async (text: string): Promise<void> => {
    // The files of the others have the same name on the disk.
    await rm(join(at, 'apps/one/src.txt'));
    await writeFile(join(at, 'apps/one/src.txt'), text);
  };
  await change(source);
  const git = ['-c', 'user.name=e2e', '-c', 'user.email=e2e@example'];
  await succeed('git', ['init', '-q', '-b', 'main'], { cwd: at });
  await succeed('git', ['add', '-A'], { cwd: at });
  await succeed('git', [...git, 'commit', '-q', '-m', `machine ${machines}`], { cwd: at });

  async function build(
    args: readonly string[],
    env: Readonly<Record<string, string>>,
    isRemote: (printed: string) => boolean,
  ): Promise<Built> {
    const dist = join(at, 'apps/one/dist');
    await rm(dist, { recursive: true, force: true });
    const ran = await run(args[0] ?? '', args.slice(1), { cwd: at, env });
    const printed = stripVTControlCharacters(`${ran.stdout}${ran.stderr}`);
    const when = await readFile(join(dist, 'when.txt'), 'utf8').catch(() => '');
    return { code: ran.code, printed, from: isRemote(printed) ? 'remote' : 'built', when };
  }

  return {
    change: () => change(randomBytes(8).toString('hex')),
    async nx(host, token) {
      // Nothing is known here of what was built before.
      const caches = await mkdtemp(`${at}-nx-`);
      const env = {
        NX_DAEMON: 'false',
        NX_TUI: 'false',
        NX_CACHE_DIRECTORY: join(caches, 'cache'),
        NX_WORKSPACE_DATA_DIRECTORY: join(caches, 'data'),
        NX_SELF_HOSTED_REMOTE_CACHE_SERVER: `http://${host}`,
        NX_SELF_HOSTED_REMOTE_CACHE_ACCESS_TOKEN: token,
      };
      const isRemote = (printed: string): boolean => printed.includes('[remote cache]');
      return build([join(at, 'node_modules/.bin/nx'), 'run', 'one:build'], env, isRemote);
    },
    async turbo(host, token, key = signatureKey) {
      const env = {
        TURBO_API: `http://${host}`,
        TURBO_TOKEN: token,
        TURBO_TEAM: 'acme',
        TURBO_REMOTE_CACHE_SIGNATURE_KEY: key,
        TURBO_TELEMETRY_DISABLED: '1',
        DO_NOT_TRACK: '1',
        XDG_CONFIG_HOME: join(work, 'config'),
      };
      const args = ['run', 'build', '--cache=remote:rw', '--ui=stream'];
      const isRemote = (printed: string): boolean => printed.includes('cache hit, replaying logs');
      return build([join(at, 'node_modules/.bin/turbo'), ...args], env, isRemote);
    },
  };
}

const places = [
  ['a registry', () => `docker://${registry.host}/team/cache`],
  ['a directory', () => `registry:${join(work, 'cache')}`],
] as const;

describe.each(places)('a remote cache in %s', (_, location) => {
  let cache: Cache;

  beforeAll(async () => {
    cache = await guarded(location());
  });

  test('gives one machine of Nx what another has built', async () => {
    const [one, two] = [await machine(), await machine()];
    const first = await one.nx(cache.host, main);
    expect(first).toMatchObject({ code: 0, from: 'built', when: expect.stringMatching(/\d/) });
    expect(await two.nx(cache.host, main)).toMatchObject({
      code: 0,
      from: 'remote',
      when: first.when,
    });
    expect(await two.nx(cache.host, laptop)).toMatchObject({ code: 0, from: 'remote' });
  });

  test('gives one machine of Turborepo what another has built and signed', async () => {
    const [one, two] = [await machine(), await machine()];
    const first = await one.turbo(cache.host, main);
    expect(first).toMatchObject({ code: 0, from: 'built' });
    expect(first.printed).not.toContain('WARNING');
    expect(await two.turbo(cache.host, main)).toMatchObject({
      code: 0,
      from: 'remote',
      when: first.when,
    });
    // Who has another key trusts nothing of it, and does not get to write over it.
    const stranger = await two.turbo(cache.host, main, 'another signature key of over 32 bytes');
    expect(stranger).toMatchObject({ code: 0, from: 'built' });
    expect(await two.turbo(cache.host, laptop)).toMatchObject({ from: 'remote', when: first.when });
  });

  test('keeps what a pull request has built to itself', async () => {
    const [poisoner, other] = [await machine('poison\n'), await machine('poison\n')];
    for (const tool of ['nx', 'turbo'] as const) {
      const poison = await poisoner[tool](cache.host, pull);
      expect(poison).toMatchObject({ code: 0, from: 'built' });
      expect(await poisoner[tool](cache.host, pull)).toMatchObject({ from: 'remote' });
      const built = await other[tool](cache.host, main);
      expect(built).toMatchObject({ code: 0, from: 'built' });
      // What is trusted comes first for the pull request too.
      expect(await poisoner[tool](cache.host, pull)).toMatchObject({ when: built.when });
    }
  });

  test('fails no build of who only reads, and stores nothing of theirs', async () => {
    const reader = await machine();
    for (const tool of ['nx', 'turbo'] as const) {
      await reader.change();
      expect(await reader[tool](cache.host, laptop)).toMatchObject({ code: 0, from: 'built' });
      expect(await reader[tool](cache.host, laptop)).toMatchObject({ code: 0, from: 'built' });
    }
  });

  test('tells who has a wrong token', async () => {
    const stranger = await machine();
    const failed = await stranger.nx(cache.host, 'wrong');
    expect(failed.code).toBe(1);
    expect(failed.printed).toContain('Unauthorized: unknown token');
    const warned = await stranger.turbo(cache.host, 'wrong');
    expect(warned).toMatchObject({ code: 0, from: 'built' });
    expect(warned.printed).toContain('WARNING');
  });

  test('takes an artifact of any size with little memory', async () => {
    const size = 200_000_000;
    const body = Buffer.alloc(size, noise('large', 1_000_003));
    const url = `http://${cache.host}/v1/cache/77`;
    const headers = { authorization: `Bearer ${main}` };
    expect((await fetch(url, { method: 'PUT', headers, body })).status).toBe(200);
    const digest = createHash('sha256');
    for await (const chunk of (await fetch(url, { headers })).body ?? []) digest.update(chunk);
    expect(digest.digest('hex')).toBe(createHash('sha256').update(body).digest('hex'));
    const metrics = await (await fetch(`http://${cache.host}/metrics`)).text();
    const memory = Number(/resident_memory_bytes (\d+)/.exec(metrics)?.[1]);
    expect(memory).toBeLessThan(size);
  });
});

test('what is left of a cache that is stopped: Nx says so, Turborepo builds', async () => {
  const cache = await guarded(`registry:${join(work, 'stopped')}`);
  await cache.stop();
  const alone = await machine();
  const failed = await alone.nx(cache.host, main);
  expect([failed.code, failed.printed]).toEqual([
    1,
    expect.stringContaining('Failed to send request'),
  ]);
  expect(await alone.turbo(cache.host, main)).toMatchObject({ code: 0, from: 'built' });
});

test('a registry that is stopped behind a cache fails no build', async () => {
  const behind = await dockerRegistry(join(work, 'behind'), work);
  servers.push(behind);
  const cache = await guarded(`docker://${behind.host}/team/cache`, ['--plain-http', behind.host]);
  const builder = await machine();
  await builder.nx(cache.host, main);
  expect(await builder.nx(cache.host, main)).toMatchObject({ code: 0, from: 'remote' });
  await behind.stop();
  expect(await builder.nx(cache.host, main)).toMatchObject({ code: 0, from: 'built' });
  expect(await builder.turbo(cache.host, main)).toMatchObject({ code: 0, from: 'built' });
  expect(cache.log()).toContain('counts as a miss');
});

test('an artifact that was tampered with is built again, and stored again', async () => {
  const directory = join(work, 'tampered');
  const cache = await guarded(`registry:${directory}`);
  const builder = await machine();
  const first = await builder.nx(cache.host, main);
  const blobs = join(directory, 'docker/registry/v2/blobs/sha256');
  const files = (await readdir(blobs, { recursive: true })).filter((name) => name.endsWith('data'));
  for (const file of files) {
    const all = await readFile(join(blobs, file));
    if (all[0] !== 0x1f) continue;
    all[all.length - 9] = (all[all.length - 9] ?? 0) ^ 1;
    await rm(join(blobs, file));
    await writeFile(join(blobs, file), all);
  }
  const again = await builder.nx(cache.host, main);
  expect(again).toMatchObject({ code: 0, from: 'built' });
  expect(again.when).not.toBe(first.when);
  expect(await builder.nx(cache.host, main)).toMatchObject({ from: 'remote', when: again.when });
  expect((await result(['verify', `registry:${directory}`])).problems).toEqual([]);
});

test.each(places)(
  'of servers that write one key at a time, all in %s, one does',
  async (_, location) => {
    const caches = [await guarded(location()), await guarded(location())];
    for (let key = 100; key < 110; key++) {
      const puts = ['one', 'two', 'three', 'four'].map(async (body, at) => {
        const url = `http://${caches[at % 2]?.host}/v1/cache/${key}`;
        const headers = { authorization: `Bearer ${main}` };
        return { body, status: (await fetch(url, { method: 'PUT', headers, body })).status };
      });
      const answered = await Promise.all(puts);
      const won = answered.filter(({ status }) => status === 200).map(({ body }) => body);
      expect(answered.map(({ status }) => status).sort()).toEqual([200, 409, 409, 409]);
      const url = `http://${caches[0]?.host}/v1/cache/${key}`;
      const stored = await fetch(url, { headers: { authorization: `Bearer ${laptop}` } });
      expect([await stored.text()]).toEqual(won);
    }
  },
);

test('a directory is what docker-registry serves, and there is nothing in it to collect', async () => {
  const directory = join(work, 'cache');
  expect((await result(['verify', `registry:${directory}`])).problems).toEqual([]);
  const copy = join(work, 'cache-copy');
  await cp(directory, copy, { recursive: true });
  const server = await dockerRegistry(copy, work, { readonly: true });
  servers.push(server);
  const { tags } = await ask(`http://${server.host}/v2/cache/tags/list`);
  expect(tags).toEqual(expect.arrayContaining(['main_nx_77']));
  const collected = await succeed('docker-registry', ['garbage-collect', '-d', server.config]);
  expect(collected).toMatch(/\d+ blobs marked, 0 blobs and 0 manifests eligible for deletion/);
  const shown = await succeed('skopeo', [
    ...['inspect', '--raw', '--tls-verify=false'],
    `docker://${registry.host}/team/cache:main_nx_77`,
  ]);
  expect(JSON.parse(shown).artifactType).toBe('application/vnd.cluster-image.cache.v1');
});
