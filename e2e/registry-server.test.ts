import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { digestOf } from '@cluster-image/oci';
import { ociLayout } from '@cluster-image/storage';
import { imageFixture, indexFixture, noise, putFixture } from '@cluster-image/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ask, command, result, succeed } from './support/run.ts';
import {
  answers,
  containerDaemon,
  dockerDaemon,
  dockerRegistry,
  freePort,
  type Server,
  serveCommand,
} from './support/servers.ts';

/** This project's own registry, pushed to and pulled from by the clients that people have. */

const platforms = ['linux/amd64', 'linux/arm64'];

let work: string;
let directory: string;
let host: string;
let served: Server;
/** An OCI layout with an index of two platforms, made of layers that any client can unpack. */
let source: string;
let digest: string;
const servers: Server[] = [];

const at = (name: string): string => join(work, name);
const insecure = ['--src-tls-verify=false', '--dest-tls-verify=false'];
/** Everything, and as it is: skopeo would compress what is not. */
const all = ['--all', '--preserve-digests', ...insecure];
const skopeo = (...args: string[]): Promise<string> => succeed('skopeo', args);

/** The digest that a tag has, as a client sees it. */
async function digestOfTag(name: string, on = host): Promise<string> {
  const raw = await skopeo('inspect', '--raw', '--tls-verify=false', `docker://${on}/${name}`);
  return digestOf(Buffer.from(raw));
}

/** A layer with one file. */
async function layerOf(name: string, size: number): Promise<Uint8Array> {
  await mkdir(at(name));
  await writeFile(join(at(name), `${name}.bin`), noise(name, size));
  await succeed('tar', ['-cf', at(`${name}.tar`), '-C', at(name), '.']);
  return readFile(at(`${name}.tar`));
}

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'cluster-image-e2e-'));
  directory = at('registry');
  source = `oci:${at('layout')}:1.0`;
  const layers = [await layerOf('base', 2_500_000), await layerOf('app', 40_000)];
  const index = indexFixture(platforms, { seed: 'e2e', layers });
  await putFixture(ociLayout(at('layout')), '', index, '1.0');
  digest = index.root.digest;
  const options = ['--writable', '--deletable', '--access-log'];
  const server = await serveCommand([`registry:${directory}`], work, options);
  served = server;
  host = server.host;
  servers.push(server);
});

afterAll(async () => {
  for (const server of servers.reverse()) await server.stop();
  await rm(work, { recursive: true, force: true });
});

/** What the registry was asked since its log had that length: method, path and status. */
function asked(length: number): readonly string[] {
  return served
    .log()
    .slice(length)
    .split('\n')
    .filter((line) => line.includes('/v2/'));
}

async function expectSound(): Promise<void> {
  const { problems } = await result(['verify', `registry:${directory}`]);
  expect(problems).toEqual([]);
}

describe('skopeo', () => {
  test('pushes an index with all its platforms, and pulls it back byte by byte', async () => {
    const name = `docker://${host}/skopeo/app:1.0`;
    await skopeo('copy', ...all, source, name);
    expect(await digestOfTag('skopeo/app:1.0')).toBe(digest);
    await skopeo('copy', ...all, name, `oci:${at('back')}:1.0`);
    const { manifests } = JSON.parse(await readFile(join(at('back'), 'index.json'), 'utf8'));
    expect(manifests[0].digest).toBe(digest);
    const files = (layout: string) => readdir(at(`${layout}/blobs/sha256`));
    expect((await files('back')).sort()).toEqual((await files('layout')).sort());
  });

  test('mounts what another repository has, and sends nothing twice', async () => {
    const name = `docker://${host}/skopeo/app:1.0`;
    const before = served.log().length;
    await skopeo('copy', ...all, name, `docker://${host}/skopeo/copy:2.0`);
    expect(await digestOfTag('skopeo/copy:2.0')).toBe(digest);
    // It mounts layers, and sends configs.
    const mounted = asked(before).filter((line) => line.includes('mount='));
    expect(mounted.map((line) => line.slice(0, 8))).toEqual(['201 POST', '201 POST']);
  });

  test('pushes in the older format, compressed on the way, with digests known at the end', async () => {
    const image = imageFixture({ seed: 'older', layers: [await layerOf('older', 300_000)] });
    await putFixture(ociLayout(at('plain')), '', image, '1.0');
    const name = `docker://${host}/skopeo/older:1.0`;
    const before = served.log().length;
    await skopeo('copy', '--format', 'v2s2', ...insecure, `oci:${at('plain')}:1.0`, name);
    expect(asked(before).some((line) => line.startsWith('202 PATCH'))).toBe(true);
    const raw = JSON.parse(await skopeo('inspect', '--raw', '--tls-verify=false', name));
    expect(raw.mediaType).toBe('application/vnd.docker.distribution.manifest.v2+json');
    expect(raw.layers[0].mediaType).toMatch(/gzip$/);
    await skopeo('copy', ...insecure, name, `dir:${at('older-back')}`);
  });

  test('lists tags, and deletes', async () => {
    const name = `docker://${host}/skopeo/gone`;
    for (const tag of ['a', 'b']) await skopeo('copy', ...all, source, `${name}:${tag}`);
    const list = ['list-tags', '--tls-verify=false', name];
    expect(JSON.parse(await skopeo(...list)).Tags).toEqual(['a', 'b']);
    await skopeo('delete', '--tls-verify=false', `${name}:a`);
    // What it deletes is the manifest, and with it every tag.
    expect((await fetch(`http://${host}/v2/skopeo/gone/manifests/${digest}`)).status).toBe(404);
    expect((await fetch(`http://${host}/v2/skopeo/gone/tags/list`)).status).toBe(404);
    await expectSound();
  });
});

describe('podman and buildah', () => {
  const storage = (): readonly string[] => [
    ...['--root', at('graph'), '--runroot', at('run'), '--storage-driver', 'vfs'],
  ];

  test('podman pulls, pushes, and pulls again what it pushed', async () => {
    const podman = (...args: string[]): Promise<string> =>
      succeed('podman', [...storage(), ...args]);
    const name = `${host}/podman/app:1.0`;
    await skopeo('copy', ...all, source, `docker://${host}/podman/source:1.0`);
    const id = await podman('pull', '-q', '--tls-verify=false', `${host}/podman/source:1.0`);
    await podman('tag', id.trim(), name);
    await podman('push', '-q', '--tls-verify=false', name);
    await podman('rmi', '-f', id.trim());
    const again = await podman('pull', '-q', '--tls-verify=false', name);
    expect(again).toBe(id);
    const by = `${host}/podman/source@${digest}`;
    expect(await podman('pull', '-q', '--tls-verify=false', by)).toBe(id);
  });

  test('buildah pushes what it built, and a list of several platforms', async () => {
    const buildah = (...args: string[]): Promise<string> =>
      succeed('buildah', [...storage(), ...args]);
    await writeFile(at('Dockerfile'), 'FROM scratch\nCOPY Dockerfile /\n');
    for (const platform of platforms) {
      const build = ['--platform', platform, '--manifest', 'built:1', '-f', at('Dockerfile')];
      await buildah('bud', '-q', ...build, work);
    }
    const name = `docker://${host}/buildah/built:1`;
    await buildah('manifest', 'push', '-q', '--all', '--tls-verify=false', 'built:1', name);
    const index = JSON.parse(await skopeo('inspect', '--raw', '--tls-verify=false', name));
    expect(index.manifests).toHaveLength(2);
    const pulled = await buildah('pull', '-q', '--tls-verify=false', `${host}/buildah/built:1`);
    expect(pulled.trim()).toMatch(/^[0-9a-f]{64}$/);
  });
});

describe('helm', () => {
  test('pushes a chart and pulls it back', async () => {
    await mkdir(at('demo/templates'), { recursive: true });
    const chart = 'apiVersion: v2\nname: demo\nversion: 0.1.0+build.7\ndescription: a chart\n';
    await writeFile(at('demo/Chart.yaml'), chart);
    await writeFile(at('demo/templates/none.yaml'), '# nothing\n');
    await succeed('helm', ['package', at('demo'), '-d', work]);
    const archive = at('demo-0.1.0+build.7.tgz');
    await succeed('helm', ['push', archive, `oci://${host}/charts`, '--plain-http']);
    expect(await ask(`http://${host}/v2/charts/demo/tags/list`)).toEqual({
      name: 'charts/demo',
      tags: ['0.1.0_build.7'],
    });
    const pull = ['pull', `oci://${host}/charts/demo`, '--version', '^0.1', '--plain-http'];
    await mkdir(at('pulled'));
    await succeed('helm', [...pull, '-d', at('pulled')]);
    const [found = ''] = await readdir(at('pulled'));
    expect(await readFile(join(at('pulled'), found))).toEqual(await readFile(archive));
    const shown = ['show', 'chart', `oci://${host}/charts/demo`, '--plain-http'];
    expect(await succeed('helm', [...shown, '--version', '0.1.0+build.7'])).toContain('a chart');
  });
});

describe('containerd', () => {
  test('pulls all platforms, and pushes them', async () => {
    await skopeo('copy', ...all, source, `docker://${host}/ctr/source:1.0`);
    const daemon = await containerDaemon(work);
    try {
      const ctr = (...args: string[]) => succeed('ctr', ['--address', daemon.address, ...args]);
      const name = `${host}/ctr/source:1.0`;
      await ctr('content', 'fetch', '--plain-http', '--all-platforms', name);
      await ctr('images', 'push', '--plain-http', `${host}/ctr/pushed:2.0`, name);
      expect(await digestOfTag('ctr/pushed:2.0')).toBe(digest);
      const unpack = ['--snapshotter', 'native', '--plain-http'];
      await ctr('images', 'pull', ...unpack, `${host}/ctr/pushed:2.0`);
    } finally {
      await daemon.stop();
    }
  });
});

describe('docker', () => {
  test('pulls, pushes under another name, and pulls by digest', async () => {
    await skopeo('copy', ...all, source, `docker://${host}/docker/source:1.0`);
    const daemon = await dockerDaemon(work);
    servers.push(daemon);
    const docker = (...args: string[]): Promise<string> =>
      succeed('docker', args, { env: { DOCKER_HOST: daemon.address } });
    const name = `${host}/docker/source:1.0`;
    await docker('pull', '-q', name);
    await docker('tag', name, `${host}/docker/pushed:1.0`);
    const before = served.log().length;
    const pushed = await docker('push', `${host}/docker/pushed:1.0`);
    const [, said] = /digest: (sha256:[0-9a-f]{64})/.exec(pushed) ?? [];
    expect(await digestOfTag('docker/pushed:1.0')).toBe(said);
    expect(asked(before).some((line) => line.includes('mount='))).toBe(true);
    const id = await docker('image', 'inspect', '--format', '{{.Id}}', name);
    await docker('rmi', '-f', id.trim());
    await docker('pull', '-q', `${host}/docker/pushed@${said}`);
    const format = ['image', 'inspect', '--format', '{{.Id}}'];
    expect(await docker(...format, `${host}/docker/pushed@${said}`)).toBe(id);
  });
});

describe('docker-registry', () => {
  test('pulls through from it', async () => {
    await skopeo('copy', ...all, source, `docker://${host}/behind/app:1.0`);
    const upstream = `http://${host}`;
    const cache = await dockerRegistry(at('cache'), work, { upstream });
    servers.push(cache);
    for (const round of ['cold', 'warm']) {
      const name = `docker://${cache.host}/behind/app:1.0`;
      await skopeo('copy', ...all, name, `oci:${at(`through-${round}`)}:1.0`);
      expect(await digestOfTag('behind/app:1.0', cache.host)).toBe(digest);
    }
  });

  test('serves its directory as it is', async () => {
    const server = await dockerRegistry(directory, work, { readonly: true });
    servers.push(server);
    expect(await digestOfTag('skopeo/app:1.0', server.host)).toBe(digest);
    const ours = await ask(`http://${host}/v2/_catalog`);
    expect(await ask(`http://${server.host}/v2/_catalog`)).toEqual(ours);
  });
});

test('this project copies into it and out of it, and the second time nothing moves', async () => {
  const env = { CLUSTER_IMAGE_STORE: at('store') };
  const plain = ['--plain-http', host];
  const name = `docker://${host}/ours/app:1.0`;
  const first = await result(['copy', source, name, ...plain], { env });
  expect([first.digest, first.moved > 2_500_000]).toEqual([digest, true]);
  const second = await result(['copy', source, name, ...plain], { env });
  expect([second.digest, second.moved]).toEqual([digest, 0]);
  const back = await result(['copy', name, `oci:${at('ours')}:1.0`, ...plain], { env });
  expect(back.digest).toBe(digest);
  await expectSound();
});

test('S07 a server that is killed in the middle of a push loses nothing but that', async () => {
  const [port, into] = [await freePort(), at('killed')];
  const url = `http://127.0.0.1:${port}`;
  const start = async (): Promise<ChildProcess> => {
    const args = [command, 'serve', `registry:${into}`, '--writable', '--port', String(port)];
    const child = spawn(process.execPath, args, { stdio: 'ignore', timeout: 120_000 });
    while (!(await answers(`${url}/v2/`))) await new Promise((resolve) => setTimeout(resolve, 50));
    return child;
  };
  const killed = await start();
  const name = `docker://127.0.0.1:${port}/team/app`;
  await skopeo('copy', ...all, source, `${name}:1.0`);
  const begun = await fetch(`${url}/v2/team/app/blobs/uploads/`, { method: 'POST' });
  const upload = new URL(begun.headers.get('location') ?? '', url);
  await fetch(upload, { method: 'PATCH', body: noise('half', 1_000_000) });
  expect(await readdir(join(into, '.staging'))).toHaveLength(1);
  const ended = new Promise((resolve) => killed.once('close', resolve));
  killed.kill('SIGKILL');
  await ended;
  const next = await start();
  try {
    expect((await fetch(upload)).status).toBe(404);
    await skopeo('copy', ...all, source, `${name}:2.0`);
    for (const tag of ['1.0', '2.0']) {
      expect(await digestOfTag(`team/app:${tag}`, `127.0.0.1:${port}`)).toBe(digest);
    }
    // A push brings no new blobs here; what was left goes with the next that does.
    await fetch(`${url}/v2/team/app/blobs/uploads/`, { method: 'POST' });
    expect(await readdir(join(into, '.staging'))).toHaveLength(1);
    const { problems } = await result(['verify', `registry:${into}`]);
    expect(problems).toEqual([]);
  } finally {
    const stopped = new Promise((resolve) => next.once('close', resolve));
    next.kill('SIGTERM');
    await stopped;
  }
});
