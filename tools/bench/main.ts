// Measures this project against the tools that people use today, in one run, on the same bytes:
//
//     npm run bench -- [--rounds N] [--work DIR]
//
// Needs root and what tools/install-e2e-tools.sh installs. Absolute figures are those of the machine;
// the ratios are what counts.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { result, succeed } from '../../e2e/support/run.ts';
import { dockerRegistry, type RegistryServer } from '../../e2e/support/servers.ts';
import { type Pushed, pushImages } from './images.ts';

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '3' }, work: { type: 'string' } },
});
const rounds = Number(values.rounds);
const work = values.work ?? (await mkdtemp(join(tmpdir(), 'cluster-image-bench-')));
await mkdir(work, { recursive: true });

const kubefile = 'FROM scratch\nCOPY registry ./registry\n';
const seconds: Record<string, number[]> = {};
const upstream = await dockerRegistry(join(work, 'upstream'), work);
try {
  const pushed = await pushImages(upstream.host);
  console.log(
    `${pushed.references.length} images, ${(pushed.unique / 1e6).toFixed(0)} MB unique, ${rounds} rounds`,
  );
  for (let round = 1; round <= rounds; round++) {
    await theirs(pushed, join(work, `theirs-${round}`));
    await ours(pushed, join(work, `ours-${round}`), round === 1);
    for (const name of [`theirs-${round}`, `ours-${round}`]) {
      await rm(join(work, name), { recursive: true, force: true });
    }
  }
} finally {
  await upstream.stop();
  if (values.work === undefined) await rm(work, { recursive: true, force: true });
}
report();

/** skopeo one by one into docker-registry, buildah bud of the directory, buildah push; and cp -r of the same bytes, twice. */
async function theirs({ references }: Pushed, at: string): Promise<void> {
  const context = join(at, 'context');
  await mkdir(context, { recursive: true });
  await writeFile(join(context, 'Kubefile'), kubefile);
  const filled = await dockerRegistry(join(context, 'registry'), at);
  await time('skopeo copy, one by one', async () => {
    for (const reference of references) {
      const target = `docker://${filled.host}/${reference.split('/').slice(1).join('/')}`;
      const insecure = ['--src-tls-verify=false', '--dest-tls-verify=false'];
      await succeed('skopeo', ['copy', '-q', ...insecure, `docker://${reference}`, target]);
    }
  });
  await filled.stop();
  const storage = [
    ...['--root', join(at, 'root'), '--runroot', join(at, 'run')],
    '--storage-driver=vfs',
  ];
  await time('buildah bud', () =>
    succeed('buildah', [...storage, 'bud', '-f', 'Kubefile', '-t', 'cluster:1', context]),
  );
  const target = await dockerRegistry(join(at, 'target'), at);
  await time('buildah push', () =>
    succeed('buildah', [
      ...storage,
      'push',
      '--tls-verify=false',
      'cluster:1',
      `docker://${target.host}/cluster:1`,
    ]),
  );
  await target.stop();
  await time('cp -r, twice', async () => {
    await succeed('cp', ['-r', join(context, 'registry'), join(at, 'copy-1')]);
    await succeed('cp', ['-r', join(context, 'registry'), join(at, 'copy-2')]);
  });
}

async function ours({ references }: Pushed, at: string, isFirst: boolean): Promise<void> {
  const context = join(at, 'context');
  await mkdir(join(context, 'images/shim'), { recursive: true });
  await writeFile(join(context, 'Kubefile'), kubefile);
  await writeFile(join(context, 'images/shim/list'), `${references.join('\n')}\n`);
  const env = { CLUSTER_IMAGE_STORE: join(at, 'store') };
  const plain = ['--plain-http', upstream.host];
  await result(['lock', context, ...plain], { env });
  const cached = await time('cluster-image cache', () =>
    result(['cache', context, ...plain], { env }),
  );
  const name = 'registry.example/cluster:1';
  await time('cluster-image build', () =>
    result(['build', context, '-t', name, ...plain], { env }),
  );
  const target = await dockerRegistry(join(at, 'target'), at);
  const pushed = await time('cluster-image push', () => push(target, name, env));
  const again = await time('cluster-image push, again', () => push(target, name, env));
  await target.stop();
  if (!isFirst) return;
  console.log(
    `bytes: cache fetched ${cached.fetched}, push sent ${pushed.moved}, a second push ${again.moved}`,
  );
}

function push(target: RegistryServer, name: string, env: Readonly<Record<string, string>>) {
  const location = `docker://${target.host}/cluster:1`;
  return result(['push', name, location, '--plain-http', target.host], { env });
}

async function time<T>(name: string, job: () => Promise<T>): Promise<T> {
  const started = performance.now();
  const done = await job();
  seconds[name] = [...(seconds[name] ?? []), (performance.now() - started) / 1000];
  return done;
}

function report(): void {
  console.log('');
  for (const [name, all] of Object.entries(seconds)) {
    console.log(
      `${name.padEnd(26)} ${all.map((value) => value.toFixed(2).padStart(6)).join(' ')}  s`,
    );
  }
  const sum = (names: readonly string[], round: number): number =>
    names.reduce((total, name) => total + (seconds[name]?.[round] ?? 0), 0);
  const ratios = Array.from({ length: rounds }, (_, round) => {
    const before = sum(['skopeo copy, one by one', 'buildah bud', 'buildah push'], round);
    const now = sum(['cluster-image cache', 'cluster-image build', 'cluster-image push'], round);
    return { faster: before / now, limit: now / sum(['cp -r, twice'], round) };
  });
  const median = (all: readonly number[]): number =>
    [...all].sort((a, b) => a - b)[Math.floor(all.length / 2)] ?? 0;
  console.log('');
  console.log(
    `cache + build + push: ${median(ratios.map(({ faster }) => faster)).toFixed(1)} times as fast as skopeo + buildah, ${median(ratios.map(({ limit }) => limit)).toFixed(2)} times two cp -r`,
  );
}
