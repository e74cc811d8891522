import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { result, root, run, succeed } from './support/run.ts';
import {
  answers,
  containerDaemon,
  dockerDaemon,
  dockerRegistry,
  freePort,
  type RegistryServer,
  requestsSince,
  type Server,
  serveCommand,
} from './support/servers.ts';

// The example's own images: real programs, so that a container made of one really runs.
const upstream = join(root, 'e2e/example/upstream');
const context = join(root, 'e2e/example/cluster');
const name = 'registry.example/acme/cluster:1.0.0';

let work: string;
let env: Readonly<Record<string, string>>;
let digest: string;
let registry: RegistryServer;
let docker: Awaited<ReturnType<typeof dockerDaemon>>;
const servers: Server[] = [];

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'cluster-image-e2e-'));
  env = { CLUSTER_IMAGE_STORE: join(work, 'store') };
  await succeed(process.execPath, [join(upstream, 'make-registry.ts')]);
  // The store is filled straight from the upstream's directory: mirrors are the business of another test.
  const served = await dockerRegistry(join(upstream, 'dist/registry'), work, { readonly: true });
  servers.push(served);
  await writeFile(join(upstream, 'dist/endpoint'), `http://${served.host}\n`);
  const built = await result(['build', context, '-t', name], { env });
  digest = built.digest;
  await result(['save', name, `docker-archive:${join(work, 'docker.tar')}`], { env });
  await result(['save', name, `oci-archive:${join(work, 'oci.tar')}`], { env });
  await result(['sync', context, `registry:${join(work, 'registry')}`], { env });
  registry = await dockerRegistry(join(work, 'registry'), work, { readonly: true });
  docker = await dockerDaemon(work);
  servers.push(registry, docker);
});

afterAll(async () => {
  for (const server of servers.reverse()) await server.stop();
  await rm(work, { recursive: true, force: true });
});

describe('the cluster image', () => {
  test('loads in dockerd, and the registry/ it unpacks is the materialised one', async () => {
    const options = { env: { DOCKER_HOST: docker.address } };
    const loaded = await succeed('docker', ['load', '-i', join(work, 'docker.tar')], options);
    expect(loaded).toContain(name);
    const id = (await succeed('docker', ['create', name, 'none'], options)).trim();
    await succeed('docker', ['cp', `${id}:/registry`, join(work, 'from-docker')], options);
    await succeed('docker', ['rm', id], options);
    const compared = await run('diff', ['-r', join(work, 'from-docker'), join(work, 'registry')]);
    expect(compared.stdout).toBe('');
    const labels = ['inspect', '--format', '{{index .Config.Labels "sealos.io.type"}}', name];
    expect((await succeed('docker', labels, options)).trim()).toBe('application');
  });

  test.each(['docker', 'oci'])('loads in podman from its %s archive', async (kind) => {
    const store = [
      '--root',
      join(work, 'podman'),
      '--runroot',
      join(work, 'podman-run'),
      '--storage-driver',
      'vfs',
    ];
    const archive = kind === 'docker' ? 'docker.tar' : 'oci.tar';
    const loaded = await succeed('podman', [...store, 'load', '-i', join(work, archive)]);
    const [, image = ''] = /Loaded image:\s*(\S+)/.exec(loaded) ?? [];
    const inspected = JSON.parse(await succeed('podman', [...store, 'image', 'inspect', image]));
    expect(inspected[0].Config.Labels['sealos.io.version']).toBe('v1beta1');
    await succeed('podman', [...store, 'rmi', '-f', image]);
  });

  test.each(['docker', 'oci'])(
    'loads in containerd from its %s archive, with its digest',
    async (kind) => {
      const daemon = await containerDaemon(await mkdtemp(join(work, 'containerd-')));
      try {
        const ctr = (...args: string[]) => succeed('ctr', ['--address', daemon.address, ...args]);
        await ctr('images', 'import', '--snapshotter', 'native', join(work, `${kind}.tar`));
        const listed = await ctr('images', 'ls');
        expect(listed).toContain(name);
        expect(listed).toContain(digest);
      } finally {
        await daemon.stop();
      }
    },
  );

  test('is read by skopeo from every form, with the same layers', async () => {
    const layout = join(work, 'layout');
    await result(['save', name, `oci:${layout}`], { env });
    const layers = async (source: string): Promise<string> =>
      JSON.parse(await succeed('skopeo', ['inspect', source])).Layers;
    const expected = await layers(`oci:${layout}:1.0.0`);
    expect(await layers(`docker-archive:${join(work, 'docker.tar')}`)).toEqual(expected);
    expect(await layers(`oci-archive:${join(work, 'oci.tar')}:1.0.0`)).toEqual(expected);
  });

  test('is pushed to a real registry once, and comes back with the same digest', async () => {
    const target = await dockerRegistry(join(work, 'target'), work);
    servers.push(target);
    const location = `docker://${target.host}/acme/cluster:1.0.0`;
    const plain = ['--plain-http', target.host];
    const first = await result(['push', name, location, ...plain], { env });
    const second = await result(['push', name, location, ...plain], { env });
    expect(first.digest).toBe(digest);
    expect(first.moved).toBeGreaterThan(100_000_000);
    expect(second.moved).toBe(0);
    const inspect = ['inspect', '--tls-verify=false', '--format', '{{.Digest}}', location];
    expect((await succeed('skopeo', inspect)).trim()).toBe(digest);
    const elsewhere = { env: { CLUSTER_IMAGE_STORE: join(work, 'other-store') } };
    const pulled = await result(['pull', location, 'back:1', ...plain], elsewhere);
    expect(pulled.digest).toBe(digest);
    const verified = await result(['verify', 'back:1'], elsewhere);
    expect(verified.problems).toEqual([]);
  });

  test('is served from that registry to dockerd, by range', async () => {
    const target = await dockerRegistry(join(work, 'served'), work, { accessLog: true });
    servers.push(target);
    const location = `docker://${target.host}/acme/cluster:1.0.0`;
    const plain = ['--plain-http', target.host];
    await result(['push', name, location, ...plain], { env });
    const server = await serveCommand([location], work, plain);
    servers.push(server);
    const before = target.log().length;
    const image = `${server.host}/acme/web:1.0.0`;
    const options = { env: { DOCKER_HOST: docker.address } };
    await succeed('docker', ['pull', '-q', image], options);
    const requests = requestsSince(target, before);
    expect(requests.length).toBeGreaterThan(0);
    expect(new Set(requests.map(({ method, status }) => `${method} ${status}`))).toEqual(
      new Set(['GET 206']),
    );
    // The web server alone, of an image that has helm and kubectl too.
    const bytes = requests.reduce((sum, { size }) => sum + size, 0);
    expect(bytes).toBeLessThan(13_000_000);
    await succeed('docker', ['rmi', image], options);
  });

  test('comes back from each kind of archive with the same digest', async () => {
    for (const [kind, at] of [
      ['docker-archive', 'docker.tar'],
      ['oci-archive', 'oci.tar'],
    ] as const) {
      const elsewhere = { env: { CLUSTER_IMAGE_STORE: join(work, `store-${kind}`) } };
      const loaded = await result(['load', `${kind}:${join(work, at)}`, 'back:1'], elsewhere);
      expect(loaded.digest).toBe(digest);
    }
  });

  test('is a base for docker and buildah to build upon', async () => {
    const target = await dockerRegistry(join(work, 'base'), work);
    servers.push(target);
    const location = `${target.host}/acme/cluster:1.0.0`;
    await result(['push', name, `docker://${location}`, '--plain-http', target.host], { env });
    const built = join(work, 'upon');
    await mkdir(built);
    await writeFile(join(built, 'Dockerfile'), `FROM ${location}\nLABEL on=top\n`);
    const storage = [
      '--root',
      join(work, 'buildah'),
      '--runroot',
      join(work, 'buildah-run'),
      '--storage-driver',
      'vfs',
    ];
    await succeed('buildah', [...storage, 'bud', '--tls-verify=false', '-t', 'upon', built]);
  });
});

describe('an image out of the cluster image', () => {
  test('runs in dockerd and answers HTTP', async () => {
    const options = { env: { DOCKER_HOST: docker.address } };
    const image = `${registry.host}/acme/web:1.0.0`;
    await succeed('docker', ['pull', image], options);
    const port = await freePort();
    const serve = [`--serve=127.0.0.1:${port}`, '--servedir=/www', '--watch=forever'];
    const id = (
      await succeed('docker', ['run', '-d', '--network', 'host', image, ...serve], options)
    ).trim();
    try {
      const url = `http://127.0.0.1:${port}/`;
      const deadline = Date.now() + 20_000;
      while (!(await answers(url)) && Date.now() < deadline) {
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      expect(await (await fetch(url)).text()).toContain('came with the cluster');
    } finally {
      await succeed('docker', ['rm', '-f', id], options);
    }
  });

  test('is served by this tool to dockerd as well', async () => {
    const options = { env: { DOCKER_HOST: docker.address } };
    const served = await serveCommand([`registry:${join(work, 'registry')}`], work);
    try {
      await succeed('docker', ['pull', `${served.host}/kubectl:v1.35.2`], options);
    } finally {
      await served.stop();
    }
  });
});
