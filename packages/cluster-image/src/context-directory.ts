import { join } from 'node:path';
import { OciError, type Platform, type Tree } from '@cluster-image/oci';
import { directory } from '@cluster-image/storage';
import { discover } from './discover/discover.ts';
import type { Discovery } from './discover/discovery.ts';
import { helmTemplate } from './helm.ts';
import { kustomizeBuild } from './kustomize.ts';
import { driftOf, requirePinned, requireResolved, tellSuspects } from './lock/check.ts';
import { cutDown, type Lockfile, lockfileName, pinsOf, readLockfile } from './lock/lockfile.ts';
import type { Workspace } from './workspace.ts';

/** A directory with a build file and what it builds upon. */
export interface ContextDirectory {
  readonly path: string;
  readonly tree: Tree;
}

/** Throws NOT_FOUND where there is no such directory. */
export async function openContext(path: string): Promise<ContextDirectory> {
  const tree = directory(path);
  const root = await tree.entry('');
  if (root?.type === 'directory') return { path, tree };
  throw new OciError('NOT_FOUND', `${path} is not a directory`, {
    hint: 'A context is the directory with the Kubefile.',
  });
}

export interface DiscoverIn {
  readonly file?: string | undefined;
  readonly buildArguments: Readonly<Record<string, string>>;
}

export async function discoverIn(
  { path, tree }: ContextDirectory,
  { file, buildArguments }: DiscoverIn,
  workspace: Workspace,
): Promise<Discovery> {
  const { environment, context, configuration: settings } = workspace;
  const render = helmTemplate(path, environment, context.signal);
  const kustomize = kustomizeBuild(path, environment, context.signal, settings.kustomize);
  return discover(tree, {
    render,
    kustomize,
    settings,
    buildArguments,
    ...(file !== undefined && { file }),
  });
}

export interface LockedIn extends DiscoverIn {
  readonly platforms: readonly Platform[];
  /** What pins the images of the context. */
  readonly command: string;
  /** Does not ask the store to hold on to what is pinned. */
  readonly leavesNothing?: boolean;
}

/**
 * The lockfile of a context, cut down to what the context refers to and to these platforms. Throws
 * LOCK_DRIFT where it does not pin all of that, INPUT_INVALID where the context refers to what cannot
 * be told. The store holds on to all that the lockfile pins from then on.
 */
export async function lockedContext(
  context: ContextDirectory,
  options: LockedIn,
  workspace: Workspace,
): Promise<Lockfile> {
  const { platforms, command } = options;
  const discovery = await discoverIn(context, options, workspace);
  requireResolved(discovery);
  tellSuspects(discovery, workspace.configuration, workspace.context);
  const lockfile = await readLockfile(context.tree);
  if (lockfile && !options.leavesNothing) {
    const path = join(context.path, lockfileName);
    await workspace.store.remember({ path, pins: pinsOf(lockfile) });
  }
  requirePinned(driftOf(discovery, lockfile, platforms), command);
  return cutDown(lockfile, discovery, platforms);
}
