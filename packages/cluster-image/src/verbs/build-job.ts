import { OciError, type Platform, type Reference } from '@cluster-image/oci';
import type { BlobSource, VirtualImage } from '@cluster-image/storage';
import { type ContextDirectory, type LockedContext, lockedContext } from '../context-directory.ts';
import { engineNames } from '../engine-build.ts';
import type { Kubefile } from '../kubefile/kubefile.ts';
import type { Target } from '../location.ts';
import { lockCommand } from '../lock/check.ts';
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

/** A job, and what it is known to be made of. */
export interface LockedJob extends Job, LockedContext {
  readonly platforms: readonly Platform[];
  readonly buildArguments: Readonly<Record<string, string>>;
}

export async function lockedJob(job: Job, workspace: Workspace): Promise<LockedJob> {
  const { given, opened } = job;
  const { configuration } = workspace;
  const platforms = platformsOf(given.platform, configuration);
  const buildArguments = buildArgumentsOf(given.buildArg, configuration);
  const { file, bare, noStore: leavesNothing } = given;
  const command = lockCommand(given);
  const asked = { file, bare, platforms, buildArguments, command, leavesNothing };
  const locked = await lockedContext(opened, asked, workspace);
  return { ...job, ...locked, platforms, buildArguments };
}

/** Throws USAGE for options that do not go together. */
export function requireUsable({ given }: Job, { configuration }: Workspace): void {
  const { engine, engineArg, noStore, platform, bare, exclude } = given;
  const usage = (why: string, hint: string) => new OciError('USAGE', why, { hint });
  if (engine === 'native') {
    if (engineArg.length === 0) return;
    throw usage('--engine-arg is for an engine', `Name one: --engine ${engineNames.join(' | ')}.`);
  }
  if (noStore) {
    throw usage('what an engine builds is kept in the store', 'Leave out --no-store.');
  }
  if (bare && exclude.length > 0) {
    throw usage(
      'with --bare an engine gets the directory as it is',
      'Name what is not for it in .dockerignore, and leave out --exclude.',
    );
  }
  if (platformsOf(platform, configuration).length > 1) {
    throw usage(
      'an engine builds for one platform at a time',
      'Give one --platform, and join the images with `cluster-image index`.',
    );
  }
}
