import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { distributionLayout } from '@cluster-image/storage';
import { type ImageFixture, imageFixture, noise, putFixture } from '@cluster-image/testing';
import { hash } from 'bcryptjs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ask, result, succeed } from './support/run.ts';
import {
  containerDaemon,
  dockerDaemon,
  dockerRegistry,
  freePort,
  type LoggedRequest,
  requestsSince,
  type Server,
  serveCommand,
} from './support/servers.ts';

/** Real clients, by what `--print-config` prints for them, pulling what they never pulled before. */

let work: string;
/** Stands for Docker Hub: docker-registry, open to all. */
let hub: Server & { readonly host: string };
/** Stands for quay.io: our own server, which wants a token for everything. */
let quay: Server & { readonly host: string };
let proxy: Server & { readonly host: string };
let docker: Awaited<ReturnType<typeof dockerDaemon>>;
let containerd: Awaited<ReturnType<typeof containerDaemon>>;
let downstream: Server & { readonly host: string };
let port: number;
const servers: Server[] = [];
const at = (...parts: readonly string[]): string => join(work, ...parts);

const names = ['skopeo', 'podman', 'buildah', 'containerd', 'docker', 'connect', 'downstream'];
const hubNames = ['docker', 'downstream'];
/** What each client pulls, so that it is new to the cache. */
const images = new Map<string, ImageFixture>();

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'cluster-image-e2e-'));
  port = await freePort();
  for (const name of names) images.set(name, await realImage(name));
  await startUpstreams();
  await startProxy();
  await startClients();
});

afterAll(async () => {
  for (const server of servers.reverse()) await server.stop();
  await rm(work, { recursive: true, force: true });
});

/** An image that clients can unpack: its layer is a tar. */
async function realImage(name: string): Promise<ImageFixture> {
  const directory = at('layers', name);
  await mkdir(directory, { recursive: true });
  await writeFile(join(directory, 'file'), noise(name, 3_000_000));
  const args = ['-C', directory, '-cf', at(`${name}.tar`), '--sort=name', '--mtime=@0', 'file'];
  await succeed('tar', args);
  return imageFixture({ seed: name, layers: [await readFile(at(`${name}.tar`))] });
}

async function startUpstreams(): Promise<void> {
  const hubDirectory = at('hub');
  const quayDirectory = at('quay');
  for (const [name, image] of images) {
    const isHub = hubNames.includes(name);
    const layout = distributionLayout(isHub ? hubDirectory : quayDirectory);
    await putFixture(layout, isHub ? `hub/library/${name}` : `team/${name}`, image, '1');
  }
  hub = await dockerRegistry(hubDirectory, work, { accessLog: true });
  await writeFile(at('htpasswd'), `robot:${await hash('canary-password', 4)}\n`);
  const secured = ['--writable', '--htpasswd', at('htpasswd'), '--tokens', '--access-log'];
  quay = await serveCommand([`registry:${quayDirectory}`], work, secured);
  servers.push(hub, quay);
  await writeFile(
    at('config.json'),
    JSON.stringify({
      auths: { [quay.host]: { auth: Buffer.from('robot:canary-password').toString('base64') } },
    }),
  );
  await mkdir(at('chart/templates'), { recursive: true });
  await writeFile(at('chart/Chart.yaml'), 'apiVersion: v2\nname: chart\nversion: 0.1.0\n');
  await succeed('helm', ['package', at('chart'), '-d', work]);
  const to = [`oci://${quay.host}/team`, '--plain-http', '--registry-config', at('config.json')];
  await succeed('helm', ['push', at('chart-0.1.0.tgz'), ...to]);
}

async function startProxy(): Promise<void> {
  const directory = at('proxy');
  await mkdir(directory, { recursive: true });
  const registries = {
    'docker.io': { mirrors: [`http://${hub.host}/hub`] },
    'quay.io': { mirrors: [`http://${quay.host}`] },
  };
  await writeFile(join(directory, 'cluster-image.json'), JSON.stringify({ registries }));
  const options = ['--proxy', '--port', String(port), '--intercept', 'quay.io'];
  const env = { CLUSTER_IMAGE_STORE: at('store'), DOCKER_CONFIG: work };
  const all = [...options, '--authority', at('authority'), '--access-log'];
  proxy = await serveCommand([], work, all, { cwd: directory, env });
  servers.push(proxy);
}

/** Writes what `--print-config` prints for a client, and tells where. */
async function configured(client: string): Promise<string> {
  const printed = await result(['serve', '--proxy', '--port', `${port}`, '--print-config', client]);
  const [file] = printed.config.files;
  const path = at('etc', file.path);
  await mkdir(join(path, '..'), { recursive: true });
  await writeFile(path, file.text);
  return path;
}

async function startClients(): Promise<void> {
  // Docker Hub through its mirror, and quay.io because it is answered for.
  docker = await dockerDaemon(work, ['--config-file', await configured('docker')], {
    env: { HTTPS_PROXY: `http://${proxy.host}`, SSL_CERT_FILE: at('authority/authority.pem') },
  });
  containerd = await containerDaemon(work);
  const cache = at('downstream');
  downstream = await dockerRegistry(cache, work, { upstream: `http://${proxy.host}` });
  servers.push(docker, containerd, downstream);
}

/** A client with nothing of its own, as often as it is asked. */
interface Client {
  pull(turn: string): Promise<void>;
}

async function conf(): Promise<Readonly<Record<string, string>>> {
  return { CONTAINERS_REGISTRIES_CONF: await configured('podman') };
}

const storage = (name: string): readonly string[] => [
  ...['--root', at(name), '--runroot', at(`${name}-run`), '--storage-driver', 'vfs'],
];

const clients: Readonly<Record<string, Client>> = {
  skopeo: {
    async pull(turn) {
      const to = `dir:${at(`skopeo-${turn}`)}`;
      const own = ['--registries-conf', await configured('podman')];
      await succeed('skopeo', [...own, 'copy', 'docker://quay.io/team/skopeo:1', to]);
    },
  },
  podman: {
    async pull(turn) {
      const store = storage(`podman-${turn}`);
      await succeed('podman', [...store, 'pull', 'quay.io/team/podman:1'], { env: await conf() });
    },
  },
  buildah: {
    async pull(turn) {
      const store = storage(`buildah-${turn}`);
      await mkdir(at('upon'), { recursive: true });
      await writeFile(at('upon/Dockerfile'), 'FROM quay.io/team/buildah:1\nLABEL on=top\n');
      await succeed('buildah', [...store, 'bud', '-t', 'upon', at('upon')], { env: await conf() });
    },
  },
  containerd: {
    async pull() {
      const directory = join(await configured('containerd'), '../..');
      const ctr = ['--address', containerd.address, 'images'];
      const image = 'quay.io/team/containerd:1';
      const options = ['--hosts-dir', directory, '--snapshotter', 'native'];
      await succeed('ctr', [...ctr, 'pull', ...options, image]);
      await succeed('ctr', [...ctr, 'rm', '--sync', image]);
    },
  },
  docker: { pull: () => pullWithDocker('docker:1') },
  connect: { pull: () => pullWithDocker('quay.io/team/connect:1') },
  downstream: {
    async pull(turn) {
      const from = `docker://${downstream.host}/library/downstream:1`;
      const to = `dir:${at(`downstream-${turn}`)}`;
      await succeed('skopeo', ['copy', '--src-tls-verify=false', from, to]);
    },
  },
};

async function pullWithDocker(image: string): Promise<void> {
  const env = { DOCKER_HOST: docker.address };
  await succeed('docker', ['pull', '-q', image], { env });
  await succeed('docker', ['rmi', image], { env });
}

/** What upstreams were asked while something was done, as `METHOD path`. */
async function askedMeanwhile(deed: () => Promise<void>): Promise<readonly LoggedRequest[]> {
  const before = [hub.log().length, quay.log().length] as const;
  await deed();
  // Servers tell of a request once it is over.
  await new Promise((resolve) => setTimeout(resolve, 300));
  return [...requestsSince(hub, before[0]), ...toldSince(quay, before[1])].filter(
    ({ path, status }) => path.includes('/v2/') && path !== '/v2/' && status !== 401,
  );
}

/** As `--access-log` tells it. */
function toldSince({ log }: Server, length: number): readonly LoggedRequest[] {
  return [
    ...log()
      .slice(length)
      .matchAll(/^(\d{3}) (\w+) (\S+) (\d+)$/gm),
  ].map(([, status, method = '', path = '', size]) => ({
    method,
    path,
    status: Number(status),
    size: Number(size),
  }));
}

describe.each(names)('%s', (name) => {
  const pull = (turn: string): Promise<void> => clients[name]?.pull(turn) ?? Promise.reject();

  test('pulls through the proxy, which asks once for every part', async () => {
    const asked = await askedMeanwhile(() => pull('cold'));
    const parts = asked.filter(({ method }) => method === 'GET').map(({ path }) => path);
    const digests = parts.map((path) => /sha256:\w+/.exec(path)?.[0]).sort();
    const { root, blobs } = images.get(name) ?? {};
    expect(digests).toEqual([root?.digest, ...(blobs?.keys() ?? [])].sort());
  });

  test('pulls again, for a HEAD', async () => {
    const asked = await askedMeanwhile(() => pull('warm'));
    expect(asked.map(({ method }) => method)).toEqual(['HEAD']);
  });
});

test('helm pulls a chart', async () => {
  const pull = async (turn: string): Promise<void> => {
    const to = at(`helm-${turn}`);
    await mkdir(to);
    const chart = `oci://${proxy.host}/quay.io/team/chart`;
    await succeed('helm', ['pull', chart, '--version', '0.1.0', '--plain-http', '-d', to]);
    await succeed('cmp', [join(to, 'chart-0.1.0.tgz'), at('chart-0.1.0.tgz')]);
  };
  const cold = await askedMeanwhile(() => pull('cold'));
  expect(cold.filter(({ path }) => path.includes('/blobs/'))).toHaveLength(2);
  const warm = await askedMeanwhile(() => pull('warm'));
  expect(warm.filter(({ method }) => method !== 'HEAD')).toEqual([]);
});

test('nobody is shown what opens the upstream', async () => {
  const answers = await fetch(`http://${proxy.host}/v2/quay.io/team/skopeo/manifests/1`, {
    headers: { authorization: 'Bearer canary-of-the-client' },
  });
  expect(answers.status).toBe(200);
  const shown = [[...answers.headers], await answers.text(), proxy.log()];
  expect(JSON.stringify(shown)).not.toMatch(/canary-password|Bearer/);
  expect(quay.log()).not.toContain('canary-of-the-client');
});

describe('once the upstreams are gone', () => {
  beforeAll(async () => {
    await hub.stop();
    await quay.stop();
  });

  test.each(names)('%s pulls all the same', async (name) => {
    await clients[name]?.pull('gone');
  });

  test.each([
    ['from the store that the proxy fills', 'store'],
    ['through the proxy, from any other', 'other-store'],
  ])('what clients pulled is there for builds, %s', async (_, store) => {
    const context = at(`context-${store}`);
    const env = { CLUSTER_IMAGE_STORE: at(store) };
    await mkdir(join(context, 'images/shim'), { recursive: true });
    await writeFile(join(context, 'images/shim/list'), 'docker:1\nquay.io/team/podman:1\n');
    await writeFile(join(context, 'Kubefile'), 'FROM scratch\nCOPY registry ./registry\n');
    const registries = { '*': { mirrors: [`http://${proxy.host}/{host}`] } };
    await writeFile(join(context, 'cluster-image.json'), JSON.stringify({ registries }));
    await result(['lock', context], { env });
    const { fetched, images: cached } = await result(['cache', context], { env });
    expect([fetched > 0, cached.length]).toEqual([store === 'other-store', 2]);
    const to = `registry:${at(`built-${store}`)}`;
    await result(['build', context, '-t', 'e.example/cluster:1'], { env });
    const { problems } = await result(['verify', 'e.example/cluster:1'], { env });
    expect(problems).toEqual([]);
    await result(['sync', context, to], { env });
    const layout = distributionLayout(at(`built-${store}`));
    const found = await layout.resolve('team/podman', '1');
    expect(found?.digest).toBe(images.get('podman')?.root.digest);
  });

  test('the store is sound, and holds what was pulled by the names it has upstream', async () => {
    await proxy.stop();
    const env = { CLUSTER_IMAGE_STORE: at('store') };
    const verified = await result(['verify'], { env });
    expect(verified.problems).toEqual([]);
    const served = await serveCommand(['store:'], work, [], { env });
    const { repositories } = await ask(`http://${served.host}/v2/_catalog`);
    await served.stop();
    expect(repositories).toEqual(
      [
        ...names.map((name) =>
          hubNames.includes(name) ? `docker.io/library/${name}` : `quay.io/team/${name}`,
        ),
        'quay.io/team/chart',
      ].sort(),
    );
  });
});
