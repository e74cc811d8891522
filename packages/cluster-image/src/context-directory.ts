import { type Context, OciError, type Platform, type Tree } from '@cluster-image/oci';
import { directory } from '@cluster-image/storage';
import { discover } from './discover/discover.ts';
import type { Discovery } from './discover/discovery.ts';
import type { Environment } from './environment.ts';
import { helmTemplate } from './helm.ts';
import { driftOf, requirePinned, requireResolved } from './lock/check.ts';
import { type Lockfile, readLockfile } from './lock/lockfile.ts';
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
  environment: Environment,
  context: Context,
): Promise<Discovery> {
  const render = helmTemplate(path, environment, context.signal);
  return discover(tree, { render, buildArguments, ...(file !== undefined && { file }) });
}

/**
 * The lockfile of a context, cut down to what the context refers to. Throws LOCK_DRIFT where it does
 * not pin all of that, INPUT_INVALID where the context refers to what cannot be told.
 */
export async function lockedContext(
  context: ContextDirectory,
  options: DiscoverIn & { readonly platforms: readonly Platform[]; readonly given: string },
  workspace: Workspace,
): Promise<Lockfile> {
  const { environment, context: running } = workspace;
  const discovery = await discoverIn(context, options, environment, running);
  requireResolved(discovery);
  const lockfile = await readLockfile(context.tree);
  const drift = driftOf(discovery, lockfile, options.platforms);
  requirePinned(drift, options.given);
  if (!lockfile) return { lockfileVersion: 1, platforms: [], images: {}, bases: {} };
  const unused = new Set(drift.unused);
  const used = <T>(pins: Readonly<Record<string, T>>): Record<string, T> =>
    Object.fromEntries(Object.entries(pins).filter(([reference]) => !unused.has(reference)));
  return { ...lockfile, images: used(lockfile.images), bases: used(lockfile.bases) };
}
