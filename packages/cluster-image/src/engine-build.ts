import {
  formatPlatform,
  formatReference,
  OciError,
  type Platform,
  parseConfig,
  type Reference,
  throwIfAborted,
} from '@cluster-image/oci';
import type { VirtualImage } from '@cluster-image/storage';
import { printed } from './engines/program.ts';
import { deliver, openImage } from './images.ts';
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
}

const engines: Readonly<Record<EngineName, Engine>> = {
  docker: { program: 'docker', build: ['build'], keeps: 'docker-daemon' },
  buildx: {
    program: 'docker',
    // What it would attest would be an index around the image, another one each time.
    build: ['buildx', 'build', '--load', '--provenance=false'],
    keeps: 'docker-daemon',
  },
  podman: { program: 'podman', build: ['build'], keeps: 'containers-storage' },
  buildah: { program: 'buildah', build: ['build'], keeps: 'containers-storage' },
  sealos: {
    program: 'sealos',
    // The images of charts and manifests are not its business here.
    build: ['build', '--save-image=false'],
    keeps: 'containers-storage',
  },
};

/** How long docker may take to say what its plugins are, in milliseconds. */
const patience = 60_000;

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
  await runEngine(engines[engine], argumentsOf(build), workspace);
  const source = await openImage({ kind: keeperOf(engine), reference }, workspace);
  const image = await withoutLayers(source, reference);
  requirePlatform(image, platform, engine);
  await deliver(source, { kind: 'store', reference }, workspace);
  return image;
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
    env: { ...environment.variables },
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
  { os, architecture }: Platform,
  engine: EngineName,
): void {
  const body = root.kind === 'image' ? configs.get(root.config.digest) : undefined;
  if (root.kind !== 'image' || !body) return;
  const config = parseConfig(body, root.config.digest, `what ${engine} built`);
  if (config.os === os && config.architecture === architecture) return;
  throw new OciError(
    'TOOL',
    `${engine} built for ${config.os}/${config.architecture}, not for ${os}/${architecture}`,
    { hint: 'Build on a machine of that platform, or set up emulation for the engine.' },
  );
}
