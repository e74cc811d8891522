import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { clusterImage, result, succeed } from './support/run.ts';
import {
  dockerDaemon,
  dockerRegistry,
  type RegistryServer,
  type Server,
} from './support/servers.ts';

// One image, built by buildah in the format of each house, and loaded into docker.
const images = ['localhost/team/oci:1', 'localhost/team/docker:1'] as const;
const [ociImage, dockerImage] = images;

let work: string;
let context: string;
let env: Readonly<Record<string, string>>;
let registry: RegistryServer;
let docker: Awaited<ReturnType<typeof dockerDaemon>>;
const servers: Server[] = [];

/** A PATH with one of the tools of containers-storage, and nothing else. */
async function onlyWith(tool: string): Promise<Readonly<Record<string, string>>> {
  const path = join(work, `only-${tool}`);
  await mkdir(path, { recursive: true });
  const real = (await succeed('which', [tool])).trim();
  await symlink(real, join(path, tool)).catch(() => {});
  return { ...env, PATH: path };
}

const inDocker = (...args: string[]): Promise<string> => succeed('docker', args, { env });

async function idIn(engine: 'docker' | 'podman', name: string): Promise<string> {
  const format = ['image', 'inspect', '--format', '{{.Id}}', name];
  return (await succeed(engine, format, { env })).trim().replace(/^sha256:/, '');
}

/** The digests that a context's lockfile has when it is written anew. */
async function locked(environment = env): Promise<Readonly<Record<string, string>>> {
  await rm(join(context, 'cluster-image.lock.json'), { force: true });
  const { changes } = await result(['lock', context], { env: environment });
  return Object.fromEntries(
    changes.map(({ reference, to }: { reference: string; to: string }) => [reference, to]),
  );
}

async function list(lines: readonly string[]): Promise<void> {
  await writeFile(join(context, 'images/shim/local'), lines.map((line) => `${line}\n`).join(''));
}

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'cluster-image-e2e-'));
  context = join(work, 'context');
  await mkdir(join(context, 'images/shim'), { recursive: true });
  await writeFile(join(context, 'Kubefile'), 'FROM scratch\nCOPY registry ./registry\n');
  await writeFile(
    join(work, 'storage.conf'),
    `[storage]\ndriver = "vfs"\ngraphroot = "${work}/graph"\nrunroot = "${work}/run"\n`,
  );
  docker = await dockerDaemon(work);
  registry = await dockerRegistry(join(work, 'registry'), work);
  servers.push(docker, registry);
  env = {
    CLUSTER_IMAGE_STORE: join(work, 'store'),
    CONTAINERS_STORAGE_CONF: join(work, 'storage.conf'),
    DOCKER_HOST: docker.address,
  };
  const built = join(work, 'built');
  await mkdir(built);
  await writeFile(join(built, 'file'), Buffer.alloc(3_000_000, 'some of it '));
  await writeFile(
    join(built, 'Dockerfile'),
    'FROM scratch\nCOPY file /one\nCOPY Dockerfile /two\nLABEL a=b\n',
  );
  for (const [name, format] of [
    [ociImage, 'oci'],
    [dockerImage, 'docker'],
  ] as const) {
    await succeed('buildah', ['bud', '--layers', '--format', format, '-t', name, built], { env });
    const archive = join(work, `${format}.tar`);
    await succeed('podman', ['save', '-q', '-o', archive, name], { env });
    await inDocker('load', '-q', '-i', archive);
  }
});

afterAll(async () => {
  for (const server of servers.reverse()) await server.stop();
  await rm(work, { recursive: true, force: true });
});

describe('images of container engines, in a list', () => {
  test('are pinned to one digest by dockerd and by each tool of containers-storage', async () => {
    await list(images.map((name) => `docker-daemon:${name}`));
    const pins = await locked();
    expect(Object.keys(pins)).toEqual([dockerImage, ociImage]);
    expect(await locked()).toEqual(pins);
    await list(images.map((name) => `containers-storage:${name}`));
    for (const tool of ['skopeo', 'podman', 'buildah']) {
      expect(await locked(await onlyWith(tool))).toEqual(pins);
    }
  });

  test('are packed, and need their engine only once', async () => {
    await list([`docker-daemon:${dockerImage}`, `containers-storage:${ociImage}`]);
    const pins = await locked();
    await result(['cache', context], { env });
    const alone = { ...env, PATH: '/nowhere', DOCKER_HOST: 'unix:///nowhere' };
    const again = await result(['cache', context], { env: alone });
    expect(again.fetched).toBe(0);
    await result(['build', context, '-t', 'acme/cluster:1'], { env: alone });
    const inside = await result(['inspect', 'acme/cluster:1', '--images'], { env: alone });
    expect(inside.images.map(({ digest }: { digest: string }) => digest)).toEqual([
      pins[dockerImage],
      pins[ociImage],
    ]);
    expect((await result(['verify', 'acme/cluster:1'], { env: alone })).problems).toEqual([]);
    const elsewhere = { ...alone, CLUSTER_IMAGE_STORE: join(work, 'elsewhere') };
    const failed = await clusterImage(['cache', context], { env: elsewhere });
    expect([failed.code, failed.stderr]).toEqual([
      1,
      expect.stringMatching(/no such socket(?:.|\n)*skopeo or podman or buildah/),
    ]);
  });
});

describe('an image goes', () => {
  test.each(images)('out of dockerd and back, and %s is the same', async (name) => {
    const id = await idIn('docker', name);
    const there = `docker://${registry.host}/${name.replace('localhost/', '')}`;
    const plain = ['--plain-http', registry.host];
    const pushed = await result(['push', `docker-daemon:${name}`, there, ...plain], { env });
    const byId = await result(['copy', `docker-daemon:sha256:${id}`, `oci:${work}/id`], { env });
    expect(byId.digest).toBe(pushed.digest);
    await result(['copy', there, 'docker-daemon:acme/back:1', ...plain], { env });
    expect(await idIn('docker', 'acme/back:1')).toBe(id);
    await inDocker('pull', '-q', there.slice('docker://'.length));
    expect(await idIn('docker', there.slice('docker://'.length))).toBe(id);
  });

  test.each(['skopeo', 'podman'])('out of containers-storage and back by %s', async (tool) => {
    const only = { env: await onlyWith(tool) };
    for (const name of images) {
      const id = await idIn('podman', name);
      const there = `docker://${registry.host}/${tool}/${name.replace('localhost/', '')}`;
      const plain = ['--plain-http', registry.host];
      const options = ['push', `containers-storage:${name}`, there, ...plain];
      const pushed = await result(options, only);
      const back = `localhost/back-${tool}:1`;
      await result(['copy', there, `containers-storage:${back}`, ...plain], only);
      expect(await idIn('podman', back)).toBe(id);
      expect(await idIn('podman', name)).toBe(id);
      const again = await result(['verify', `containers-storage:${back}`], only);
      expect([again.problems, pushed.digest]).toEqual([[], expect.stringContaining('sha256:')]);
    }
  });

  test('into containers-storage whole, and out of it with its digest, if it is a cluster image', async () => {
    const { digest } = await result(['inspect', 'acme/cluster:1'], { env });
    for (const tool of ['skopeo', 'podman']) {
      const name = `localhost/cluster-${tool}:1`;
      await result(['copy', 'acme/cluster:1', `containers-storage:${name}`], {
        env: await onlyWith(tool),
      });
      const kept = ['image', 'inspect', '--format', '{{.Digest}}', name];
      expect((await succeed('podman', kept, { env })).trim()).toBe(digest);
    }
    const there = 'containers-storage:localhost/cluster-podman:1';
    for (const tool of ['skopeo', 'podman', 'buildah']) {
      const only = { env: await onlyWith(tool) };
      const inside = await result(['inspect', there, '--images'], only);
      expect(inside.images).toHaveLength(2);
      // Podman does not tell what the manifest was.
      if (tool !== 'podman') expect(inside.digest).toBe(digest);
    }
  });

  test('into dockerd whole, if it is a cluster image', async () => {
    await result(['copy', 'acme/cluster:1', 'docker-daemon:acme/cluster:1'], { env });
    const inside = await result(['inspect', 'docker-daemon:acme/cluster:1', '--images'], { env });
    expect(inside.images).toHaveLength(2);
  });
});

test('what an engine does not have is told, and leaves nothing behind', async () => {
  for (const location of ['docker-daemon:gone', 'containers-storage:gone']) {
    const { code, stderr } = await clusterImage(['verify', location], { env });
    expect([code, stderr]).toEqual([1, expect.stringMatching(/no (?:such )?image/)]);
  }
  const left = await succeed('find', [join(work, 'store/.staging'), '-type', 'f']);
  expect(left).toBe('');
});
