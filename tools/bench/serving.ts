import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type Content,
  digestOf,
  mediaTypes,
  parseManifest,
  type RegistryReader,
} from '@cluster-image/oci';
import { archive, file, imageArchive, soleRepository } from '@cluster-image/storage';
import { command, result, succeed } from '../../e2e/support/run.ts';
import { dockerRegistry, type RegistryServer, serveCommand } from '../../e2e/support/servers.ts';
import { delayed } from './delayed.ts';
import { type Pushed, pushImages } from './images.ts';
import { layersOf } from './raw-copy.ts';
import { type Finding, stopwatch } from './stopwatch.ts';

const gigabyte = 1e9;
const kubefile = 'FROM scratch\nCOPY registry ./registry\n';

/** How soon a cluster image is served, from where it lies, and how fast. */
export async function serving(rounds: number, work: string): Promise<readonly Finding[]> {
  const watch = stopwatch();
  const upstream = await dockerRegistry(join(work, 'upstream'), work);
  const far = await delayed(upstream.host, 10);
  const directory = join(work, 'registry');
  try {
    const pushed = await pushImages(upstream.host);
    const env = { CLUSTER_IMAGE_STORE: join(work, 'store') };
    const saved = await savedImage(pushed, upstream, work, env, directory);
    for (let round = 1; round <= rounds; round++) {
      await firstManifest('first manifest of a saved 10 GB image', saved, []);
      const location = `docker://${far.host}/cluster:1`;
      await firstManifest('the same from a registry 20 ms away', location, [
        ...['--plain-http', far.host],
      ]);
      await throughput();
    }
  } finally {
    await far.close();
    await upstream.stop();
  }
  for (const line of watch.lines()) console.log(line);
  const ratio = (clients: number): string =>
    (
      watch.median(`${clients} pulling from docker-registry`) /
      watch.median(`${clients} pulling from cluster-image serve`)
    ).toFixed(2);
  return [
    {
      what: 'serve saved.tar of 10 GB, to the first manifest',
      expected: '≤ 0.5 s',
      measured: `${watch.median('first manifest of a saved 10 GB image').toFixed(2)} s`,
    },
    {
      what: 'the same from a registry 20 ms away',
      expected: '≤ 0.56 s',
      measured: `${watch.median('the same from a registry 20 ms away').toFixed(2)} s`,
    },
    {
      what: 'pull throughput against docker-registry, 1 and 8 clients',
      expected: '≥ 1 ×',
      measured: `${ratio(1)} × and ${ratio(8)} ×`,
    },
  ];

  /** From the start of the command until it has answered with a manifest. */
  async function firstManifest(
    what: string,
    location: string,
    options: readonly string[],
  ): Promise<void> {
    const endpoint = join(work, `endpoint-${Math.random()}`);
    await watch.time(what, async () => {
      const args = [command, 'serve', location, '--endpoint-file', endpoint, ...options];
      const env = { ...process.env, CLUSTER_IMAGE_STORE: join(work, 'none') };
      const child = spawn(process.execPath, args, { env, stdio: 'ignore', timeout: 60_000 });
      const url = async (): Promise<string> => {
        for (;;) {
          const text = await readFile(endpoint, 'utf8').catch(() => '');
          if (text !== '') return text.trim();
          await new Promise((resolve) => setTimeout(resolve, 2));
        }
      };
      const layers = await layersOf(new URL(await url()).host, 'team/image-3', '1.0');
      if (layers.length !== 4) throw new Error('not the manifest');
      child.kill();
      await once(child, 'exit');
    });
  }

  async function throughput(): Promise<void> {
    const theirs = await dockerRegistry(directory, work, { readonly: true });
    const ours = await serveCommand([`registry:${directory}`], work);
    for (const clients of [1, 8]) {
      await watch.time(`${clients} pulling from docker-registry`, () =>
        pullAll(theirs.host, clients),
      );
      await watch.time(`${clients} pulling from cluster-image serve`, () =>
        pullAll(ours.host, clients),
      );
    }
    await theirs.stop();
    await ours.stop();
  }
}

/** Pulls every blob of every image with curl, by so many clients at a time. */
export async function pullAll(host: string, clients: number): Promise<void> {
  const urls: string[] = [];
  for (let at = 0; at < 16; at++) {
    const repository = `team/image-${at}`;
    const layers = await layersOf(host, repository, '1.0');
    for (const { digest } of layers) urls.push(`http://${host}/v2/${repository}/blobs/${digest}`);
  }
  // Each URL with a place of its own for what comes, which curl wants to be told.
  const input = urls.map((url) => `-o /dev/null ${url}`).join('\n');
  const share = String(Math.ceil((urls.length * 3) / clients));
  await succeed('xargs', ['-P', String(clients), '-n', share, 'curl', '-sf'], { input });
}

/**
 * A cluster image in the registry, its images in a registry directory, and an archive of it that has
 * a layer of 10 GB more, which nobody asks for and which is a hole on the disk.
 */
async function savedImage(
  { references }: Pushed,
  upstream: RegistryServer,
  work: string,
  env: Readonly<Record<string, string>>,
  directory: string,
): Promise<string> {
  const context = join(work, 'context');
  const plain = ['--plain-http', upstream.host];
  await mkdir(join(context, 'images/shim'), { recursive: true });
  await writeFile(join(context, 'Kubefile'), kubefile);
  await writeFile(join(context, 'images/shim/list'), `${references.join('\n')}\n`);
  await result(['lock', context, ...plain], { env });
  const outputs = [`docker://${upstream.host}/cluster:1`, `oci-archive:${join(work, 'small.tar')}`];
  await result(['build', context, ...plain, ...outputs.flatMap((output) => ['-o', output])], {
    env,
  });
  await result(['sync', context, `registry:${directory}`, ...plain], { env });
  const small = await file(join(work, 'small.tar'));
  if (!small) throw new Error('nothing was saved');
  const reader = await archive(small, 'small.tar');
  return `oci-archive:${await withHole(reader, join(work, 'saved.tar'))}`;
}

/** Writes the image with one layer more, of zeros, which take no room on the disk. */
async function withHole(reader: RegistryReader, path: string): Promise<string> {
  const found = await reader.resolve(soleRepository, '1');
  const manifest = found && (await reader.manifest(soleRepository, found.digest));
  if (manifest?.kind !== 'image') throw new Error('no image');
  const layer = {
    mediaType: mediaTypes.ociLayer,
    digest: digestOf(Buffer.from('a hole')),
    size: 10 * gigabyte,
  };
  const document = JSON.parse(Buffer.from(manifest.bytes).toString());
  const wide = { ...document, layers: [layer, ...document.layers] };
  const root = parseManifest(Buffer.from(JSON.stringify(wide)), 'the wide image');
  const holed: RegistryReader = {
    ...reader,
    blob: async (repository, digest, size) =>
      digest === layer.digest ? zeros(layer.size) : reader.blob(repository, digest, size),
  };
  const content = await imageArchive(holed, soleRepository, root, { tag: '1' }, 'oci');
  const saved = await open(path, 'w');
  const nothing = Buffer.alloc(pieceSize);
  for (let at = 0; at < content.size; at += pieceSize) {
    const end = Math.min(content.size, at + pieceSize);
    const piece = Buffer.concat(await Array.fromAsync(content.open({ start: at, end })));
    if (!piece.equals(nothing)) await saved.write(piece, 0, piece.length, at);
  }
  await saved.close();
  return path;
}

/** In bytes. */
const pieceSize = 8 * 1024 * 1024;

function zeros(size: number): Content {
  return {
    size,
    async *open(range = { start: 0, end: size }) {
      for (let at = range.start; at < range.end; at += pieceSize) {
        yield Buffer.alloc(Math.min(pieceSize, range.end - at));
      }
    },
  };
}
