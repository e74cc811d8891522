import type { RemoteRegistry } from '@cluster-image/distribution';
import {
  type Digest,
  isDigest,
  listedReferrers,
  OciError,
  type Referring,
  type Registry,
  type RegistryReader,
  select,
  under,
} from '@cluster-image/oci';
import {
  type BlobSource,
  type DistributionLayout,
  directory,
  distributionLayout,
  layoutPaths,
} from '@cluster-image/storage';
import { placedRegistry, placementsOf } from './assemble/placement.ts';
import { readConfiguration } from './configuration.ts';
import { type ContextDirectory, lockedContext, openContext } from './context-directory.ts';
import { completed, layersIn, layersInStore } from './deltas.ts';
import { givenLocation } from './given-location.ts';
import { type LocatedImage, openImage } from './images.ts';
import { requireNoCredentials } from './location.ts';
import { lockCommand } from './lock/check.ts';
import type { Lockfile } from './lock/lockfile.ts';
import { openCluster } from './open-cluster.ts';
import { platformsOf, type Workspace } from './workspace.ts';

/** Many images: a registry, and what it is called. */
export interface LocatedRegistry<R extends RegistryReader = RegistryReader> {
  readonly name: string;
  readonly registry: R;
  /** Knows what is about its manifests, where anything can be. */
  readonly referring?: Referring;
  /** Whether it is for one platform, because that was chosen of several. */
  readonly isChosen?: boolean;
}

/** A registry to write to. */
export interface TargetRegistry extends LocatedRegistry<Registry> {
  /** Whether it knows by itself what is about a manifest; else its clients keep lists of that. */
  knows(repository: string, subject: Digest): Promise<boolean>;
}

export interface ContextChoice {
  readonly platform: readonly string[];
  /** Of a context: all that its references mean, for whatever platform. */
  readonly all?: boolean;
  /** Of a context: every image by the name that has its host, and by no other. */
  readonly keepHosts?: boolean;
  /** Also what is about the images, which is nothing that a context pins. */
  readonly referrers?: boolean;
}

/** An image that may have a registry inside, and what it is called. */
interface NamedImage {
  readonly name: string;
  readonly image: LocatedImage;
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
  const opened = await open(text, choice, workspace, prepare);
  return 'registry' in opened ? opened : inside(opened, [], choice, workspace);
}

/**
 * The registries at several locations. An image that was saved since another one of them takes what
 * it lacks from that, which then is the older one and not opened for itself.
 */
export async function openRegistries(
  texts: readonly string[],
  choice: ContextChoice,
  workspace: Workspace,
): Promise<readonly LocatedRegistry[]> {
  const all: (LocatedRegistry | NamedImage)[] = [];
  for (const text of texts) all.push(await open(text, choice, workspace));
  const images = all.flatMap((opened) => ('image' in opened ? [opened.image] : []));
  const older = new Set(images.map(({ since }) => since?.digest));
  const registries: LocatedRegistry[] = [];
  for (const opened of all) {
    if ('registry' in opened) registries.push(opened);
    else if (!isOlder(opened.image)) {
      registries.push(await inside(opened, images.map(layersIn), choice, workspace));
    }
  }
  return registries;

  function isOlder({ reference }: LocatedImage): boolean {
    return isDigest(reference) && older.has(reference);
  }
}

async function open(
  text: string,
  choice: ContextChoice,
  workspace: Workspace,
  prepare: Prepare = async () => {},
): Promise<LocatedRegistry | NamedImage> {
  const isContext = (await directory(workspace.path(text)).entry(''))?.type === 'directory';
  if (isContext) return openContextRegistry(text, choice, workspace, prepare);
  if (choice.keepHosts) {
    throw new OciError('USAGE', `what ${text} names its images is for it to say`, {
      hint: 'keepHosts is for the images of a context.',
    });
  }
  const remote = remoteRegistry(text, workspace);
  if (remote) return remote;
  if (text.startsWith('registry:')) {
    const layout = await openDirectory(text, workspace);
    return { name: text, registry: layout, referring: layout };
  }
  const image = await openImage(await givenLocation(text, workspace), workspace);
  return { name: text, image };
}

async function inside(
  { name, image }: NamedImage,
  others: readonly BlobSource[],
  { platform }: ContextChoice,
  workspace: Workspace,
): Promise<LocatedRegistry> {
  const whole = await completed(image, [...others, layersInStore(workspace.store)], name);
  const registry = await openCluster(whole, platform, name, workspace);
  return { name, registry, referring: referringIn(registry), isChosen: true };
}

/** Goes by what clients have listed, for a registry that knows nothing else. */
function referringIn(registry: RegistryReader): Referring {
  return {
    async *referrers(repository, subject) {
      yield* await listedReferrers(registry, repository, subject);
    },
  };
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
  { platform, all, keepHosts, referrers }: ContextChoice,
  workspace: Workspace,
  prepare: Prepare,
): Promise<LocatedRegistry> {
  const { store } = workspace;
  if (referrers) {
    throw new OciError('USAGE', `${text} pins images, and nothing that is about them`, {
      hint: 'Bring that from the registries that they are in: sync docker://HOST TARGET --only … --referrers.',
    });
  }
  const context = await openContext(workspace.path(text));
  // Its own, which need not be that of where the command runs.
  const configuration = await readConfiguration(context.path, workspace.environment.cwd);
  const platforms = platformsOf(platform, configuration);
  const [chosen, ...others] = platforms;
  if (!chosen || (others.length > 0 && !all)) {
    throw new OciError(
      'USAGE',
      `${text} is for several platforms, a registry directory is for one`,
      {
        hint: `Choose one with --platform${all === undefined ? '' : ', or bring all with --all'}.`,
      },
    );
  }
  const buildArguments = configuration.buildArguments ?? {};
  const command = lockCommand({ context: text, platform });
  const { lockfile } = await lockedContext(
    context,
    { platforms, buildArguments, command },
    { ...workspace, configuration },
  );
  await prepare(lockfile, context);
  const names = { keepHosts: keepHosts ? ('only' as const) : configuration.keepHosts, whole: all };
  const placements = await placementsOf(lockfile, chosen, store, names);
  return { name: text, registry: placedRegistry(placements, store), isChosen: true };
}

/** `docker://HOST[/PREFIX]`, or undefined for what is none. */
function remoteRegistry(text: string, { network }: Workspace): TargetRegistry | undefined {
  requireNoCredentials(text);
  const match = /^docker:\/\/([^/@]+)(?:\/([^:@]+?))?\/?$/.exec(text);
  if (!match) return undefined;
  const [, host = '', prefix] = match;
  const whole = network.registry(host);
  const registry = prefix === undefined ? whole : below(whole, prefix);
  return { name: text, registry, referring: registry, knows: registry.knowsReferrers };
}

/** A registry to write to. Throws USAGE for what can only be read. */
export function openTarget(text: string, workspace: Workspace): TargetRegistry {
  const remote = remoteRegistry(text, workspace);
  if (remote) return remote;
  if (text.startsWith('registry:')) {
    const layout = distributionLayout(workspace.path(text.slice('registry:'.length)));
    // Whoever serves the directory may know less of it than we do.
    return { name: text, registry: layout, referring: layout, knows: async () => false };
  }
  throw new OciError('USAGE', `${text} is not a registry to write to`, {
    hint: 'Write registry:DIR for a directory, or docker://HOST[/PREFIX].',
  });
}

type Below = Registry & Referring & Pick<RemoteRegistry, 'knowsReferrers'>;

function below(registry: Below, prefix: string): Below {
  const inner = (name: string): string => `${prefix}/${name}`;
  return {
    ...select(registry, under(prefix)),
    putBlob: (name, digest, content, from) =>
      registry.putBlob(inner(name), digest, content, from === undefined ? undefined : inner(from)),
    putManifest: (name, manifest, tag) => registry.putManifest(inner(name), manifest, tag),
    referrers: (name, subject) => registry.referrers(inner(name), subject),
    knowsReferrers: (name, subject) => registry.knowsReferrers(inner(name), subject),
  };
}
