import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { result, run, succeed } from '../../e2e/support/run.ts';
import { dockerRegistry, type RegistryServer } from '../../e2e/support/servers.ts';
import { changeImage, type Pushed, pushImages, shape } from './images.ts';
import { rawCopy } from './raw-copy.ts';
import { type Finding, megabytes, type Stopwatch, stopwatch, times } from './stopwatch.ts';

const kubefile = 'FROM scratch\nCOPY registry ./registry\n';

/**
 * The whole way from an upstream to a target, on the same bytes: with skopeo and buildah, with this
 * project, and the limit, `cp -r` of what is moved, twice. Then once more after one image changed.
 */
export async function pipeline(rounds: number, work: string): Promise<readonly Finding[]> {
  const watch = stopwatch(() => succeed('sync', []));
  const upstream = await dockerRegistry(join(work, 'upstream'), work);
  const moved: Moved[] = [];
  let size = 0;
  try {
    const pushed = await pushImages(upstream.host);
    size = pushed.unique;
    console.log(`${pushed.references.length} images, ${megabytes(size)} unique, ${rounds} rounds`);
    for (let round = 1; round <= rounds; round++) {
      const at = join(work, `round-${round}`);
      await theirs(pushed, join(at, 'theirs'), watch);
      moved.push(await ours(pushed, upstream, join(at, 'ours'), watch, round));
      await rm(at, { recursive: true, force: true });
    }
  } finally {
    await upstream.stop();
  }
  for (const line of watch.lines()) console.log(line);
  return findings(watch, moved.at(-1) ?? { sent: 0, fresh: 0 });
}

interface Moved {
  /** Sent after one image changed, everything else warm; in bytes. */
  readonly sent: number;
  /** Fetched and sent after one image changed, on a machine with an empty store; in bytes. */
  readonly fresh: number;
}

const theirsInAll = 'skopeo copy, one by one|buildah bud|buildah push'.split('|');
const oursInAll = 'cluster-image cache|cluster-image build|cluster-image push'.split('|');

function findings(watch: Stopwatch, { sent, fresh }: Moved): readonly Finding[] {
  const sum = (names: readonly string[]): number =>
    names.reduce((total, name) => total + watch.median(name), 0);
  const [before, now, limit] = [sum(theirsInAll), sum(oursInAll), watch.median('cp -r, twice')];
  const synced = watch.median('cp -r, twice, onto the disk');
  const [changed] = shape.own;
  return [
    {
      what: 'cold cache + build + push, against skopeo + buildah',
      expected: '≥ 4 times as fast, ≤ 1.2 × the limit',
      measured: `${times(before / now)}, ${(now / limit).toFixed(2)} × two cp -r, ${(now / synced).toFixed(2)} × two onto the disk`,
    },
    {
      what: 'the same, against bytes that are only pulled and pushed, unchecked, by one process',
      expected: 'what the registries allow',
      measured: `${(now / watch.median('raw pull and push')).toFixed(2)} × that`,
    },
    {
      what: 'build --no-store from upstream to target',
      expected: '≥ 6 times as fast',
      measured: times(before / watch.median('cluster-image build --no-store')),
    },
    {
      what: 'one image of 16 changed, everything warm: build + push, against the same of theirs',
      expected: '≥ 40 times as fast',
      measured: times(
        watch.median('one changed: skopeo + buildah') / watch.median('one changed: cluster-image'),
      ),
    },
    {
      what: 'bytes sent for that',
      expected: `≤ ${megabytes(1.05 * changed + 65_536)}`,
      measured: megabytes(sent),
    },
    {
      what: 'the same on an empty store, bytes fetched + sent',
      expected: `≤ ${megabytes(2.1 * changed + 1_048_576)}`,
      measured: megabytes(fresh),
    },
    {
      what: 'cold cache, against cp -r of the same bytes',
      expected: '≤ 1.5 ×',
      measured: `${(watch.median('cluster-image cache') / (limit / 2)).toFixed(2)} ×, ${(watch.median('cluster-image cache') / (synced / 2)).toFixed(2)} × one onto the disk`,
    },
    {
      what: 'build with everything known, over node -e 0',
      expected: '≤ 0.3 s',
      measured: `${(watch.median('cluster-image build, again') - watch.median('node -e 0')).toFixed(2)} s`,
    },
  ];
}

/** skopeo one by one into docker-registry, buildah bud of the directory, buildah push; and cp -r of the same bytes, twice. */
async function theirs(pushed: Pushed, at: string, watch: Stopwatch): Promise<void> {
  const context = join(at, 'context');
  await mkdir(context, { recursive: true });
  await writeFile(join(context, 'Kubefile'), kubefile);
  const copyAll = async (references: readonly string[]): Promise<void> => {
    const filled = await dockerRegistry(join(context, 'registry'), at);
    for (const reference of references) {
      const target = `docker://${filled.host}/${reference.split('/').slice(1).join('/')}`;
      const insecure = ['--src-tls-verify=false', '--dest-tls-verify=false'];
      await succeed('skopeo', ['copy', '-q', ...insecure, `docker://${reference}`, target]);
    }
    await filled.stop();
  };
  const storage = [
    '--root',
    join(at, 'root'),
    '--runroot',
    join(at, 'run'),
    '--storage-driver=vfs',
  ];
  const bud = (): Promise<string> =>
    succeed('buildah', [...storage, 'bud', '-f', 'Kubefile', '-t', 'cluster:1', context]);
  const target = await dockerRegistry(join(at, 'target'), at);
  const push = (): Promise<string> =>
    succeed('buildah', [
      ...storage,
      ...['push', '--tls-verify=false', 'cluster:1', `docker://${target.host}/cluster:1`],
    ]);
  await watch.time('skopeo copy, one by one', () => copyAll(pushed.references));
  await watch.time('buildah bud', bud);
  await watch.time('buildah push', push);
  await watch.time('cp -r, twice', async () => {
    await succeed('cp', ['-r', join(context, 'registry'), join(at, 'copy-1')]);
    await succeed('cp', ['-r', join(context, 'registry'), join(at, 'copy-2')]);
  });
  await watch.time('cp -r, twice, onto the disk', async () => {
    for (const name of ['copy-3', 'copy-4']) {
      await succeed('cp', ['-r', join(context, 'registry'), join(at, name)]);
      await succeed('sync', ['-f', join(at, name)]);
    }
  });
  await changeImage(pushed, `theirs ${at}`);
  await watch.time('one changed: skopeo + buildah', async () => {
    // All are copied again, as nothing says which one changed; skopeo skips the blobs that are there.
    await copyAll(pushed.references);
    await bud();
    await push();
  });
  await target.stop();
}

async function ours(
  pushed: Pushed,
  upstream: RegistryServer,
  at: string,
  watch: Stopwatch,
  round: number,
): Promise<Moved> {
  const { references } = pushed;
  const context = join(at, 'context');
  await mkdir(join(context, 'images/shim'), { recursive: true });
  await writeFile(join(context, 'Kubefile'), kubefile);
  await writeFile(join(context, 'images/shim/list'), `${references.join('\n')}\n`);
  const target = await dockerRegistry(join(at, 'target'), at);
  const plain = ['--plain-http', upstream.host, '--plain-http', target.host];
  const env = { CLUSTER_IMAGE_STORE: join(at, 'store') };
  const name = 'registry.example/cluster:1';
  const location = `docker://${target.host}/cluster:1`;
  const build = (): Promise<unknown> => result(['build', context, '-t', name, ...plain], { env });
  const push = () => result(['push', name, location, ...plain], { env });
  const lock = (...more: readonly string[]) =>
    result(['lock', context, ...more, ...plain], { env });
  await lock();
  await watch.time('cluster-image cache', () => result(['cache', context, ...plain], { env }));
  await watch.time('cluster-image build', build);
  await watch.time('cluster-image push', push);
  await watch.time('node -e 0', () => run(process.execPath, ['-e', '0']));
  await watch.time('cluster-image build, again', build);
  await watch.time('cluster-image push, again', push);

  const streamed = ['build', context, '--no-store', ...plain];
  await watch.time('cluster-image build --no-store', () =>
    result([...streamed, '-o', `docker://${target.host}/streamed:1`], { env }),
  );
  await watch.time('raw pull and push', () => rawCopy(references, target.host));

  await changeImage(pushed, `ours ${round}`);
  await lock('--update');
  const sentBefore = await received(target);
  await watch.time('one changed: cluster-image', () =>
    result(['build', context, '-t', name, '-o', location, ...plain], { env }),
  );
  const changed = (await received(target)) - sentBefore;

  await changeImage(pushed, `fresh ${round}`);
  await lock('--update');
  const before = await received(target);
  const fresh = await watch.time('one changed: cluster-image, empty store', () =>
    result(['build', context, '-o', location, ...plain], {
      env: { CLUSTER_IMAGE_STORE: join(at, 'empty') },
    }),
  );
  const sent = (await received(target)) - before;
  await target.stop();
  return { sent: changed, fresh: fresh.fetched + sent };
}

/** How much lies in a registry, in bytes. */
async function received({ directory }: RegistryServer): Promise<number> {
  return Number((await succeed('du', ['-sb', directory])).split('\t')[0]);
}
