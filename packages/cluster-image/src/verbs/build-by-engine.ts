import { join } from 'node:path';
import { OciError, type Platform, parsePlatform, type Reference } from '@cluster-image/oci';
import type { BlobSource, VirtualImage } from '@cluster-image/storage';
import type { ContextDirectory } from '../context-directory.ts';
import type { Discovery } from '../discover/discovery.ts';
import { type EngineBase, type EngineBaseJob, engineBase } from '../engine-base.ts';
import { type EngineName, engineBuild, engineNames } from '../engine-build.ts';
import { type Kubefile, textOfKubefile } from '../kubefile/kubefile.ts';
import type { Target } from '../location.ts';
import { platformsOf, type Workspace } from '../workspace.ts';
import type { BuildOptions } from './build.ts';
import { buildArgumentsOf } from './context-options.ts';

/** What is to be built. */
export interface Job {
  readonly given: BuildOptions;
  readonly targets: readonly Target[];
  readonly reference: Reference;
  readonly opened: ContextDirectory;
  readonly kubefile: Kubefile;
}

/** What was built. */
export interface Made {
  readonly image: VirtualImage;
  /** What its layers are made of. */
  readonly sources: BlobSource;
  /** How many images are in its registry. */
  readonly images: number;
  /** What had to be fetched, in bytes. */
  readonly fetched: number;
}

/** What is known of a cluster image before it is assembled. */
interface Ahead
  extends Pick<EngineBaseJob, 'lockfile' | 'source' | 'builtHere' | 'buildArguments'> {
  readonly platforms: readonly Platform[];
}

/** What the engine that was asked for makes of the build file, to be built upon. */
export async function madeByEngine(
  { given, reference, opened, kubefile }: Omit<Job, 'targets'>,
  { platforms, ...ahead }: Ahead,
  workspace: Workspace,
): Promise<EngineBase | undefined> {
  const { engine, engineArg } = given;
  const [platform] = platforms;
  if (engine === 'native' || !platform) return undefined;
  const { tree } = opened;
  const job = { ...ahead, tree, kubefile, reference, platform, engineArguments: engineArg };
  return engineBase(engine, job, workspace);
}

/** The images that a context refers to and the workspace builds. */
export function builtIn({ built = [] }: Discovery): ReadonlySet<string> {
  return new Set(built.map(({ reference }) => reference));
}

/** Throws USAGE for options that do not go together. */
export function requireUsable({ given }: Job, { configuration }: Workspace): void {
  const { engine, engineArg, noStore, platform } = given;
  const usage = (why: string, hint: string) => new OciError('USAGE', why, { hint });
  if (engine === 'native') {
    if (engineArg.length === 0) return;
    throw usage('--engine-arg is for an engine', `Name one: --engine ${engineNames.join(' | ')}.`);
  }
  if (noStore) {
    throw usage('what an engine builds is kept in the store', 'Leave out --no-store.');
  }
  if (platformsOf(platform, configuration).length > 1) {
    throw usage(
      'an engine builds for one platform at a time',
      'Give one --platform, and join the images with `cluster-image index`.',
    );
  }
}

/** What an engine makes of a build file, and nothing else. */
export async function builtBy(
  engine: EngineName,
  { given, reference, opened, kubefile }: Job,
  workspace: Workspace,
): Promise<Made> {
  const { configuration, store } = workspace;
  const [platform] = [given.platform, configuration.platforms ?? []].flat().map(parsePlatform);
  const { path } = opened;
  await textOfKubefile(opened.tree, kubefile);
  const build = {
    path,
    file: join(path, kubefile.path),
    reference,
    platform,
    buildArguments: buildArgumentsOf(given.buildArg, configuration),
    engineArguments: given.engineArg,
  };
  const image = await engineBuild(engine, build, workspace);
  return { image, sources: store.blobs, images: 0, fetched: 0 };
}
