import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { clusterImage, result, succeed } from './support/run.ts';
import {
  dockerDaemon,
  dockerRegistry,
  type RegistryServer,
  type Server,
} from './support/servers.ts';
import { shellDirectory } from './support/shell.ts';

/** What each engine needs on a machine without a bridge and control groups of its own, and a registry without TLS. */
const engines = [
  ['docker', ['--network=none']],
  ['podman', ['--isolation=chroot', '--tls-verify=false']],
  ['buildah', ['--isolation=chroot', '--tls-verify=false']],
] as const;

let work: string;
let env: Readonly<Record<string, string>>;
let registry: RegistryServer;
let docker: Awaited<ReturnType<typeof dockerDaemon>>;
const servers: Server[] = [];

const at = (path: string): string => join(work, path);
const argumentsFor = (list: readonly string[]): readonly string[] =>
  list.map((argument) => `--engine-arg=${argument}`);

async function write(files: Readonly<Record<string, string>>): Promise<void> {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(at(path)), { recursive: true });
    await writeFile(at(path), text);
  }
}

/** Pushes an image of the shell that says which one it is. */
async function pushShell(name: string, which: string): Promise<void> {
  await write({ 'shell/which': which });
  const to = `docker://${registry.host}/${name}`;
  await result(['build', at('shell'), '--bare', '-t', name, '-o', to], { env });
}

/** The files of an image, as `docker cp` unpacks them. */
async function unpackedBy(name: string, to: string): Promise<void> {
  await result(['copy', name, 'docker-daemon:unpacked'], { env });
  const id = (await succeed('docker', ['create', 'unpacked', 'none'], { env })).trim();
  await succeed('docker', ['cp', `${id}:/`, to], { env });
  await succeed('docker', ['rm', id], { env });
}

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'cluster-image-e2e-'));
  docker = await dockerDaemon(work);
  registry = await dockerRegistry(at('registry'), work);
  servers.push(docker, registry);
  env = {
    CLUSTER_IMAGE_STORE: at('store'),
    CONTAINERS_STORAGE_CONF: at('storage.conf'),
    DOCKER_HOST: docker.address,
    DOCKER_BUILDKIT: '0',
    TMPDIR: at('temporary'),
  };
  const { host } = registry;
  const settings = JSON.stringify({ registries: { [host]: { plainHttp: true } } });
  await write({
    'nx.json': '{}',
    'temporary/.keep': '',
    'storage.conf': `[storage]\ndriver = "vfs"\ngraphroot = "${at('graph')}"\nrunroot = "${at('run')}"\n`,
    'cluster-image.json': settings,
    'shell/Dockerfile': 'FROM scratch\nCOPY . /\nENV PATH=/bin\n',
    'api/Dockerfile': `FROM ${host}/team/shell:1\nRUN read which < /which; echo made of $which > /made\n`,
    'cluster/Kubefile': [
      'ARG BASE=team/shell',
      `FROM ${host}/\${BASE}:1`,
      'COPY charts ./charts',
      'RUN read which < /which; echo $which > /made; [ ! -e /registry/docker ]',
      'COPY registry ./registry',
      'LABEL sealos.io.type=application',
      'CMD ["kubectl apply -f manifests"]',
    ].join('\n'),
    'cluster/.dockerignore': 'registry\ncharts/notes\n',
    'cluster/charts/notes': 'not for the image',
    'cluster/charts/web/Chart.yaml': 'apiVersion: v2\nname: web\nversion: 1.0.0\n',
    'cluster/charts/web/templates/pod.yaml': `apiVersion: v1\nkind: Pod\nspec: {containers: [{image: "${host}/team/app:1"}]}\n`,
  });
  await shellDirectory(at('shell'));
  await pushShell('team/app:1', 'app\n');
  await pushShell('team/shell:1', 'first\n');
  await result(['lock', at('cluster')], { env });
  await result(['lock', at('api'), '--bare'], { env });
  await result(['sync', at('cluster'), `registry:${at('expected')}`], { env });
  // What was pinned is what is built upon, whatever the tag is now.
  await pushShell('team/shell:1', 'second\n');
});

afterAll(async () => {
  for (const server of servers.reverse()) await server.stop();
  await rm(work, { recursive: true, force: true });
});

describe.each(engines)('%s', (engine, list) => {
  const given = ['--engine', engine, ...argumentsFor(list)];

  test('builds a Dockerfile that has RUN', async () => {
    const thin = at(`${engine}/thin`);
    const name = `team/${engine}:1`;
    const built = await result(
      ['build', at('api'), '--bare', '-t', name, ...given, '--thin', thin],
      { env },
    );
    expect((await result(['verify', `oci:${thin}`], { env })).problems).toEqual([]);
    const there = `docker://${registry.host}/${name}`;
    const pushed = await result(['push', `oci:${thin}`, there], { cwd: work, env });
    expect(pushed.digest).toBe(built.digest);
    await unpackedBy(name, at(`${engine}/files`));
    expect(await succeed('cat', [at(`${engine}/files/made`)])).toBe('made of first\n');
  });

  test('builds a cluster image whose Kubefile has RUN, and brings no image inside of it', async () => {
    const name = `acme/cluster-${engine}:1`;
    const [thin, digestFile] = [at(`${engine}/cluster`), at(`${engine}/cluster.digest`)];
    const built = await result(
      ['build', at('cluster'), '-t', name, ...given, '--thin', thin, '--digest-file', digestFile],
      { env },
    );
    expect(built.images).toBe(1);
    expect(await succeed('cat', [digestFile])).toBe(`${built.digest}\n`);
    const shown = await result(['inspect', `oci:${thin}`, '--images'], { env });
    expect(shown.digest).toBe(built.digest);
    expect(shown.platforms).toMatchObject([
      {
        platform: 'linux/amd64',
        labels: { 'sealos.io.type': 'application' },
        command: ['kubectl apply -f manifests'],
      },
    ]);
    expect(shown.images).toMatchObject([{ repository: 'team/app', tag: '1' }]);
    expect((await result(['verify', name], { env })).problems).toEqual([]);
    const files = at(`${engine}/cluster-files`);
    await unpackedBy(name, files);
    expect(await succeed('diff', ['-r', join(files, 'registry'), at('expected')])).toBe('');
    expect(await succeed('cat', [join(files, 'made')])).toBe('first\n');
    expect(await succeed('ls', [join(files, 'charts')])).toBe('web\n');
  });

  test('builds upon an image of the workspace', async () => {
    const context = `${engine}/upon`;
    await write({
      [`${context}/Kubefile`]:
        'FROM acme/shell:dev\nRUN read which < /which; echo $which > /made\n',
      [`${context}/cluster-image.json`]: JSON.stringify({
        workspaceImages: { 'acme/shell': `oci:${at(`${engine}/shell`)}` },
      }),
    });
    await write({ 'shell/which': `of ${engine}\n` });
    await result(['build', at('shell'), '--bare', '-t', 'own', '--thin', at(`${engine}/shell`)], {
      env,
    });
    const name = `acme/upon-${engine}:1`;
    await result(['lock', at(context)], { env });
    await result(['build', at(context), '-t', name, ...given], { env });
    await unpackedBy(name, at(`${engine}/upon-files`));
    expect(await succeed('cat', [at(`${engine}/upon-files/made`)])).toBe(`of ${engine}\n`);
  });

  test('fails with what it printed, and leaves nothing behind', async () => {
    await write({
      [`${engine}/fails/Kubefile`]: `FROM ${registry.host}/team/shell:1\nRUN exit 7\n`,
    });
    const context = at(`${engine}/fails`);
    await result(['lock', context], { env });
    const { code, stdout, stderr } = await clusterImage(
      ['build', context, '-t', 'acme/fails:1', ...given],
      { env },
    );
    expect([code, stdout, stderr]).toEqual([
      1,
      '',
      expect.stringMatching(new RegExp(`exit 7(?:.|\n)*error: ${engine} build failed with \\d+`)),
    ]);
    expect(await succeed('ls', [at('temporary')])).not.toContain('cluster-image-');
  });
});

test('without an engine a Kubefile that has RUN is not built, and it is told what would', async () => {
  const { code, stderr } = await clusterImage(['build', at('cluster'), '-t', 'acme/none:1'], {
    env,
  });
  expect([code, stderr]).toEqual([
    1,
    expect.stringMatching(/Kubefile:4: RUN needs a container(?:.|\n)*--engine docker/),
  ]);
});
