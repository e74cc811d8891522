import { OciError, type Registry, type RegistryReader, select, under } from '@cluster-image/oci';
import {
  type DistributionLayout,
  directory,
  distributionLayout,
  layoutPaths,
} from '@cluster-image/storage';
import { placedRegistry, placementsOf } from './assemble/placement.ts';
import { readConfiguration } from './configuration.ts';
import { type ContextDirectory, lockedContext, openContext } from './context-directory.ts';
import { openImage } from './images.ts';
import { parseLocation, requireNoCredentials } from './location.ts';
import { lockCommand } from './lock/check.ts';
import type { Lockfile } from './lock/lockfile.ts';
import { openCluster } from './open-cluster.ts';
import { platformsOf, type Workspace } from './workspace.ts';

/** Many images: a registry, and what it is called. */
export interface LocatedRegistry<R extends RegistryReader = RegistryReader> {
  readonly name: string;
  readonly registry: R;
}

export interface ContextChoice {
  readonly platform: readonly string[];
}

/**
 * The images at a location as a registry: those of a context as they would be in its cluster image,
 * those inside a cluster image, those of a registry directory or of a remote registry.
 *
 * @param prepare is told what a context pins before it is opened
 */
export async function openRegistry(
  text: string,
  choice: ContextChoice,
  workspace: Workspace,
  prepare: Prepare = async () => {},
): Promise<LocatedRegistry> {
  const remote = remoteRegistry(text, workspace);
  if (remote) return remote;
  if (text.startsWith('registry:')) {
    return { name: text, registry: await openDirectory(text, workspace) };
  }
  const path = workspace.path(text);
  const isDirectory = (await directory(path).entry(''))?.type === 'directory';
  if (isDirectory) return openContextRegistry(text, choice, workspace, prepare);
  const image = await openImage(parseLocation(text), workspace);
  return { name: text, registry: await openCluster(image, choice.platform, text, workspace) };
}

/** What has to be done with the images of a context. */
export type Prepare = (lockfile: Lockfile, context: ContextDirectory) => Promise<unknown>;

/** `registry:DIR`, where there is one. */
export async function openDirectory(
  text: string,
  workspace: Workspace,
): Promise<DistributionLayout> {
  const path = workspace.path(text.slice('registry:'.length));
  if (await directory(path).entry(layoutPaths.repositories)) return distributionLayout(path);
  throw new OciError('NOT_FOUND', `${text} is no registry: it has no ${layoutPaths.repositories}`);
}

async function openContextRegistry(
  text: string,
  { platform }: ContextChoice,
  workspace: Workspace,
  prepare: Prepare,
): Promise<LocatedRegistry> {
  const { store } = workspace;
  const context = await openContext(workspace.path(text));
  // Its own, which need not be that of where the command runs.
  const configuration = await readConfiguration(context.path);
  const platforms = platformsOf(platform, configuration);
  const [chosen, ...others] = platforms;
  if (!chosen || others.length > 0) {
    throw new OciError(
      'USAGE',
      `${text} is for several platforms, a registry directory is for one`,
      {
        hint: 'Choose one with --platform.',
      },
    );
  }
  const buildArguments = configuration.buildArguments ?? {};
  const command = lockCommand({ context: text, platform });
  const lockfile = await lockedContext(context, { platforms, buildArguments, command }, workspace);
  await prepare(lockfile, context);
  const placements = await placementsOf(lockfile, chosen, store);
  return { name: text, registry: placedRegistry(placements, store) };
}

/** `docker://HOST[/PREFIX]`, or undefined for what is none. */
function remoteRegistry(
  text: string,
  { network }: Workspace,
): LocatedRegistry<Registry> | undefined {
  requireNoCredentials(text);
  const match = /^docker:\/\/([^/@]+)(?:\/([^:@]+?))?\/?$/.exec(text);
  if (!match) return undefined;
  const [, host = '', prefix] = match;
  const registry = network.registry(host);
  return { name: text, registry: prefix === undefined ? registry : below(registry, prefix) };
}

/** A registry to write to. Throws USAGE for what can only be read. */
export function openTarget(text: string, workspace: Workspace): LocatedRegistry<Registry> {
  const remote = remoteRegistry(text, workspace);
  if (remote) return remote;
  if (text.startsWith('registry:')) {
    const path = workspace.path(text.slice('registry:'.length));
    return { name: text, registry: distributionLayout(path) };
  }
  throw new OciError('USAGE', `${text} is not a registry to write to`, {
    hint: 'Write registry:DIR for a directory, or docker://HOST[/PREFIX].',
  });
}

function below(registry: Registry, prefix: string): Registry {
  const inner = (name: string): string => `${prefix}/${name}`;
  return {
    ...select(registry, under(prefix)),
    putBlob: (name, digest, content, from) =>
      registry.putBlob(inner(name), digest, content, from === undefined ? undefined : inner(from)),
    putManifest: (name, manifest, tag) => registry.putManifest(inner(name), manifest, tag),
  };
}
