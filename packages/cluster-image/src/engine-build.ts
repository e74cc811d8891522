import { join } from 'node:path';
import {
  formatPlatform,
  formatReference,
  OciError,
  type Platform,
  type Reference,
  throwIfAborted,
} from '@cluster-image/oci';
import type { VirtualImage } from '@cluster-image/storage';
import { deliver, openImage } from './images.ts';
import { withoutLayers } from './virtual-at.ts';
import type { Workspace } from './workspace.ts';

/** The container engines that build images which take more than copying files. */
export const engineNames = ['docker', 'podman', 'buildah'] as const;

export type EngineName = (typeof engineNames)[number];

export interface EngineBuild {
  /** The directory that is built. */
  readonly path: string;
  /** The build file in it. */
  readonly file: string;
  readonly reference: Reference;
  /** Where there is none, the engine builds for the machine it runs on. */
  readonly platform: Platform | undefined;
  readonly buildArguments: Readonly<Record<string, string>>;
}

/**
 * Has a container engine build an image, and takes it into the store, where the layers of the result
 * are. What the engine prints goes to where errors go. Throws TOOL where the engine is missing or fails.
 */
export async function engineBuild(
  engine: EngineName,
  build: EngineBuild,
  workspace: Workspace,
): Promise<VirtualImage> {
  const { reference } = build;
  await runEngine(engine, argumentsOf(build), workspace);
  const kind = engine === 'docker' ? 'docker-daemon' : 'containers-storage';
  const source = await openImage({ kind, reference }, workspace);
  await deliver(source, { kind: 'store', reference }, workspace);
  return withoutLayers(await openImage({ kind: 'store', reference }, workspace), reference);
}

function argumentsOf({
  path,
  file,
  reference,
  platform,
  buildArguments,
}: EngineBuild): readonly string[] {
  return [
    'build',
    ...['--file', join(path, file), '--tag', formatReference(reference)],
    ...(platform ? ['--platform', formatPlatform(platform)] : []),
    ...Object.entries(buildArguments).flatMap(([name, value]) => [
      '--build-arg',
      `${name}=${value}`,
    ]),
    path,
  ];
}

async function runEngine(
  engine: EngineName,
  args: readonly string[],
  { environment, context: { signal } }: Workspace,
): Promise<void> {
  const { execa } = await import('execa');
  const result = await execa(engine, args, {
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
    throw new OciError('TOOL', `${engine} is not on the PATH`, {
      hint: 'Install it, or name another engine; a build file that only copies needs none.',
    });
  }
  throw new OciError(
    'TOOL',
    `${engine} build failed${result.exitCode === undefined ? '' : ` with ${result.exitCode}`}`,
    {
      hint: 'What it printed above tells why.',
    },
  );
}
