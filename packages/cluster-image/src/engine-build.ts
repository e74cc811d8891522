import { join } from 'node:path';
import {
  type Digest,
  formatPlatform,
  formatReference,
  isDigest,
  matchesPlatform,
  OciError,
  type Platform,
  parseConfig,
  type Reference,
  readText,
  throwIfAborted,
} from '@cluster-image/oci';
import { asDirectory, file, type VirtualImage } from '@cluster-image/storage';
import { printed } from './engines/program.ts';
import { deliver, onPlatform, openImage } from './images.ts';
import type { Location } from './location.ts';
import { withoutLayers } from './virtual-at.ts';
import type { Workspace } from './workspace.ts';

/** The container engines that build images which take more than copying files. */
export const engineNames = ['docker', 'buildx', 'podman', 'buildah', 'sealos'] as const;

export type EngineName = (typeof engineNames)[number];

/** How an engine is called, and where the images are that it has built. */
interface Engine {
  readonly program: string;
  readonly build: readonly string[];
  readonly keeps: 'docker-daemon' | 'containers-storage';
  /** Whether it can write the id of what it has built into a file. */
  readonly tellsId: boolean;
}

const engines: Readonly<Record<EngineName, Engine>> = {
  docker: { program: 'docker', build: ['build'], keeps: 'docker-daemon', tellsId: true },
  buildx: {
    program: 'docker',
    // What it would attest would be an index around the image, another one each time.
    build: ['buildx', 'build', '--load', '--provenance=false'],
    keeps: 'docker-daemon',
    tellsId: true,
  },
  podman: { program: 'podman', build: ['build'], keeps: 'containers-storage', tellsId: true },
  buildah: { program: 'buildah', build: ['build'], keeps: 'containers-storage', tellsId: true },
  sealos: {
    program: 'sealos',
    // The images of charts and manifests are not its business here.
    build: ['build', '--save-image=false'],
    keeps: 'containers-storage',
    tellsId: false,
  },
};

/** How long docker may take to say what its plugins are, in milliseconds. */
const patience = 60_000;

/** Longer than any digest, in bytes. */
const idLimit = 1024;

export interface EngineBuild {
  /** The directory that is built. */
  readonly path: string;
  /** The path of the build file. */
  readonly file: string;
  /** What the engine and the store call the image. */
  readonly reference: Reference;
  readonly platform: Platform;
  readonly buildArguments: Readonly<Record<string, string>>;
  /** Further arguments, passed on as they are. */
  readonly engineArguments: readonly string[];
}

/** Where an engine keeps the images it has built, and takes those it is to build upon from. */
export function keeperOf(engine: EngineName): Engine['keeps'] {
  return engines[engine].keeps;
}

/**
 * Has a container engine build an image, and takes it into the store, where the layers of the result
 * are. What the engine prints goes to where errors go. Throws TOOL where the engine is missing, fails,
 * or has built for another platform.
 */
export async function engineBuild(
  engine: EngineName,
  build: EngineBuild,
  workspace: Workspace,
): Promise<VirtualImage> {
  const { reference, platform } = build;
  if (engine === 'buildx') await requireBuildx(workspace);
  const built = await openImage(await locationBuilt(engine, build, workspace), workspace);
  // What an engine may have attested is around it, and another one each time.
  const source = await onPlatform(built, formatPlatform(platform));
  const image = await withoutLayers(source, reference);
  requirePlatform(image, platform, engine);
  await deliver(source, { kind: 'store', reference }, workspace);
  return image;
}

/** Builds, and tells where the result is: by its id, for another build may take its name meanwhile. */
async function locationBuilt(
  engine: EngineName,
  build: EngineBuild,
  workspace: Workspace,
): Promise<Location> {
  const { keeps: kind, tellsId } = engines[engine];
  const args = argumentsOf(build);
  if (!tellsId) {
    await runEngine(engines[engine], args, workspace);
    return { kind, reference: build.reference };
  }
  return asDirectory([], async (directory) => {
    const idFile = join(directory, 'id');
    await runEngine(engines[engine], ['--iidfile', idFile, ...args], workspace);
    return { kind, id: await idIn(idFile, engine) };
  });
}

/** Which image an engine says that it has built. */
async function idIn(path: string, engine: EngineName): Promise<Digest> {
  const content = await file(path);
  const text = content && (await readText(content, idLimit)).trim();
  // Buildah's family writes some without the name of the algorithm.
  const id = /^[0-9a-f]{64}$/.test(text ?? '') ? `sha256:${text}` : text;
  if (id !== undefined && isDigest(id)) return id;
  throw new OciError('TOOL', `${engine} does not say which image it has built`);
}

function argumentsOf(build: EngineBuild): readonly string[] {
  const { path, file, reference, platform, buildArguments, engineArguments } = build;
  const values = Object.entries(buildArguments).map(([name, value]) => `${name}=${value}`);
  return [
    ...['--file', file, '--tag', formatReference(reference)],
    ...['--platform', formatPlatform(platform)],
    ...values.flatMap((value) => ['--build-arg', value]),
    ...engineArguments,
    path,
  ];
}

async function runEngine(
  { program, build }: Engine,
  args: readonly string[],
  { environment, context: { signal } }: Workspace,
): Promise<void> {
  const { execa } = await import('execa');
  const result = await execa(program, [...build, ...args], {
    cwd: environment.cwd,
    env: { ...environment.variables, BUILDX_NO_DEFAULT_ATTESTATIONS: '1' },
    extendEnv: false,
    // What it prints is for people; this command's own output may be a JSON document.
    stdio: ['ignore', 2, 2],
    reject: false,
    cancelSignal: signal,
  });
  throwIfAborted(signal);
  if (!result.failed) return;
  if (result.code === 'ENOENT') {
    throw new OciError('TOOL', `${program} is not on the PATH`, {
      hint: 'Install it, or name another engine; a build file that only copies needs none.',
    });
  }
  const how = result.exitCode === undefined ? '' : ` with ${result.exitCode}`;
  throw new OciError('TOOL', `${program} build failed${how}`, {
    hint: 'What it printed above tells why. Flags that it needs are passed on to it by --engine-arg.',
  });
}

async function requireBuildx({ environment, context: { signal } }: Workspace): Promise<void> {
  const { cwd, variables } = environment;
  try {
    await printed('docker', ['buildx', 'version'], { cwd, variables, silence: patience, signal });
  } catch (cause) {
    throwIfAborted(signal);
    throw new OciError('TOOL', 'docker has no plugin buildx here', {
      cause,
      hint: 'Install it (https://docs.docker.com/build/install-buildx/), or name another engine.',
    });
  }
}

/** An engine that cannot build for a platform may build for its own. */
function requirePlatform(
  { root, configs }: VirtualImage,
  platform: Platform,
  engine: EngineName,
): void {
  const { os, architecture } = platform;
  if (root.kind !== 'image') throw new OciError('TOOL', `${engine} built several images`);
  const body = configs.get(root.config.digest);
  if (!body) return;
  const config = parseConfig(body, root.config.digest, `what ${engine} built`);
  // Engines that build upon nothing know of no variant.
  const isVariant = !config.variant || matchesPlatform(platform, config);
  if (config.os === os && config.architecture === architecture && isVariant) return;
  throw new OciError(
    'TOOL',
    `${engine} built for ${formatPlatform(config)}, not for ${formatPlatform(platform)}`,
    { hint: 'Build on a machine of that platform, or set up emulation for the engine.' },
  );
}
