import { OciError, type Registry, type RegistryReader, select, under } from '@cluster-image/oci';
import {
  directory,
  distributionLayout,
  distributionReader,
  imageTree,
  subTree,
} from '@cluster-image/storage';
import { registryDirectory } from './assemble/assemble.ts';
import { placedRegistry, placementsOf } from './assemble/placement.ts';
import { lockedContext, openContext } from './context-directory.ts';
import { manifestOf, openImage } from './images.ts';
import { parseLocation } from './location.ts';
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
 */
export async function openRegistry(
  text: string,
  choice: ContextChoice,
  workspace: Workspace,
): Promise<LocatedRegistry> {
  const remote = remoteRegistry(text, workspace);
  if (remote) return remote;
  if (text.startsWith('registry:')) {
    const path = workspace.path(text.slice('registry:'.length));
    if (!(await directory(path).entry('docker'))) {
      throw new OciError(
        'NOT_FOUND',
        `${path} is no registry directory: it has no docker/registry`,
      );
    }
    return { name: text, registry: distributionLayout(path) };
  }
  const path = workspace.path(text);
  const isDirectory = (await directory(path).entry(''))?.type === 'directory';
  return isDirectory ? openContextRegistry(text, choice, workspace) : openInner(text, workspace);
}

async function openContextRegistry(
  text: string,
  { platform }: ContextChoice,
  workspace: Workspace,
): Promise<LocatedRegistry> {
  const { configuration, store } = workspace;
  const context = await openContext(workspace.path(text));
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
  const lockfile = await lockedContext(
    context,
    { platforms, buildArguments, given: text },
    workspace,
  );
  const placements = await placementsOf(lockfile, chosen, store);
  return { name: text, registry: placedRegistry(placements, store) };
}

/** The registry inside a cluster image, read where it lies. */
async function openInner(text: string, workspace: Workspace): Promise<LocatedRegistry> {
  const image = await openImage(parseLocation(text), workspace);
  const manifest = await manifestOf(image);
  if (manifest.kind === 'index') {
    throw new OciError('USAGE', `${text} is for several platforms`, {
      hint: 'Take one of them out with `cluster-image copy --platform`.',
    });
  }
  const { registry, repository } = image;
  const files = await imageTree(
    manifest,
    ({ digest, size }) => registry.blob(repository, digest, size),
    text,
  );
  if (await files.entry(`${registryDirectory}/docker`)) {
    return { name: text, registry: distributionReader(subTree(files, registryDirectory), text) };
  }
  throw new OciError('INPUT_INVALID', `${text} is no cluster image: it has no registry/`);
}

/** `docker://HOST[/PREFIX]`, or undefined for what is none. */
function remoteRegistry(
  text: string,
  { network }: Workspace,
): LocatedRegistry<Registry> | undefined {
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
