import { join } from 'node:path';
import { type Content, OciError, type Platform, type Tree } from '@cluster-image/oci';
import { asFiles, directory } from '@cluster-image/storage';
import { contextCharts } from './context-charts.ts';
import { discover } from './discover/discover.ts';
import { type Discovery, merge, nothing } from './discover/discovery.ts';
import { tellCredentials } from './discover/given-lists.ts';
import { helmMark, helmTemplate } from './helm.ts';
import { findBases } from './kubefile/bases.ts';
import { kustomizeBuild } from './kustomize.ts';
import { requirePinnedCharts } from './lock/charts.ts';
import { driftOf, requirePinned, requireResolved, tellSuspects } from './lock/check.ts';
import { cutDown, type Lockfile, lockfileName, pinsOf, readLockfile } from './lock/lockfile.ts';
import { rememberedRenderings } from './remembered-renderings.ts';
import { platformsOf, type Workspace } from './workspace.ts';
import { builtPins, withBuilt } from './workspace-images.ts';

/** A directory with a build file and what it builds upon. */
export interface ContextDirectory {
  readonly path: string;
  readonly tree: Tree;
  /** The same tree without what is left out, which is then not even looked at. */
  open(skip: (path: string) => boolean): Tree;
  /** What the tree has and the directory has not: packed charts of repositories, by path. */
  readonly charts: ReadonlyMap<string, Content>;
}

/** Throws NOT_FOUND where there is no such directory. */
export async function openContext(path: string): Promise<ContextDirectory> {
  const tree = directory(path);
  const root = await tree.entry('');
  if (root?.type === 'directory') {
    return { path, tree, open: (skip) => directory(path, skip), charts: new Map() };
  }
  throw new OciError('NOT_FOUND', `${path} is not a directory`, {
    hint: 'A context is the directory with the Kubefile.',
  });
}

export interface DiscoverIn {
  readonly file?: string | undefined;
  /** Looks at nothing but the build file. */
  readonly bare?: boolean | undefined;
  readonly buildArguments: Readonly<Record<string, string>>;
  /** Those to build for; else what the configuration says. */
  readonly platforms?: readonly Platform[] | undefined;
  /** Whether origins tell lines of what was rendered, and values. */
  readonly explain?: boolean | undefined;
  /** Puts nothing into the store. */
  readonly leavesNothing?: boolean;
}

export async function discoverIn(
  { path, tree, charts: packed }: ContextDirectory,
  { file, bare, buildArguments, platforms, explain, leavesNothing }: DiscoverIn,
  workspace: Workspace,
): Promise<Discovery> {
  if (bare) {
    const images = await findBases(tree, buildArguments, file);
    const { images: bases } = merge([{ ...nothing, images }]);
    return withBuilt({ ...nothing, bases }, workspace.configuration);
  }
  const { environment, context, configuration: settings } = workspace;
  const { signal } = context;
  const helm = helmTemplate(path, environment, signal);
  const render = leavesNothing
    ? helm
    : rememberedRenderings(helm, {
        tree,
        renderings: workspace.store.renderings,
        mark: () => helmMark(path, environment, signal),
      });
  const kustomize = kustomizeBuild(path, environment, signal, settings.kustomize);
  const options = {
    render,
    kustomize,
    settings,
    buildArguments,
    platforms: platforms ?? platformsOf([], settings),
    explain,
    ...(file !== undefined && { file }),
  };
  await tellCredentials(tree, settings, context);
  const found = await asFiles(packed, (charts) => discover(tree, { ...options, charts }));
  return withBuilt(found, settings);
}

export interface LockedIn extends DiscoverIn {
  readonly platforms: readonly Platform[];
  /** What pins the images of the context. */
  readonly command: string;
}

export interface LockedContext {
  readonly lockfile: Lockfile;
  /** The context with the charts in it that it has from repositories. */
  readonly directory: ContextDirectory;
  readonly discovery: Discovery;
}

/**
 * A context and its lockfile, cut down to what the context refers to and to these platforms, and with
 * what the workspace has built of it by now. Throws LOCK_DRIFT where it does not pin all of the rest,
 * INPUT_INVALID where the context refers to what cannot be told. The store holds on to all that the lockfile pins from then on.
 */
export async function lockedContext(
  opened: ContextDirectory,
  options: LockedIn,
  workspace: Workspace,
): Promise<LockedContext> {
  const { platforms, command, leavesNothing } = options;
  const lockfile = await readLockfile(opened.tree);
  const { wanted, place } = await contextCharts(opened, workspace, leavesNothing);
  const charts = requirePinnedCharts(wanted, lockfile?.charts, command);
  if (lockfile && !leavesNothing) {
    const path = join(opened.path, lockfileName);
    await workspace.store.remember({ path, pins: pinsOf(lockfile) });
  }
  const directory = await place(charts);
  const discovery = await discoverIn(directory, options, workspace);
  requireResolved(discovery);
  tellSuspects(discovery, workspace.configuration, workspace.context);
  requirePinned(driftOf(discovery, lockfile, platforms), command);
  const pinned = { ...cutDown(lockfile, discovery, platforms), charts };
  const { built = [] } = discovery;
  if (built.length === 0) return { lockfile: pinned, directory, discovery };
  if (leavesNothing) {
    throw new OciError('USAGE', 'images of the workspace are brought through the store', {
      hint: 'Leave out --no-store.',
    });
  }
  const pins = await builtPins(built, platforms, directory.tree, workspace);
  const images = { ...pinned.images, ...pins.images };
  const bases = { ...pinned.bases, ...pins.bases };
  return { lockfile: { ...pinned, images, bases }, directory, discovery };
}
