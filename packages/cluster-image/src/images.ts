import {
  copy,
  formatReference,
  type Manifest,
  nameOf,
  OciError,
  type RegistryReader,
  type Repository,
} from '@cluster-image/oci';
import {
  archive,
  directory,
  file,
  imageArchive,
  ociLayout,
  ociLayoutReader,
  readThinImage,
  saveFile,
  soleRepository,
  virtualRegistry,
} from '@cluster-image/storage';
import { formatLocation, type Location, tagOf } from './location.ts';
import type { Workspace } from './workspace.ts';

/** An image at some location. */
export interface LocatedImage extends Repository {
  /** Tag or digest there. */
  readonly reference: string;
}

/** Finds the image that a location names. Throws NOT_FOUND, and USAGE where it names none or several. */
export async function openImage(location: Location, workspace: Workspace): Promise<LocatedImage> {
  const { store, network } = workspace;
  switch (location.kind) {
    case 'docker': {
      const { host, repository, tag, digest } = location.reference;
      return { registry: network.registry(host), repository, reference: digest ?? tag ?? 'latest' };
    }
    case 'store': {
      const { reference } = location;
      const built = await store.image(reference);
      if (built) {
        const registry = virtualRegistry(built, store.blobs);
        return { registry, repository: soleRepository, reference: built.root.digest };
      }
      const repository = nameOf(reference);
      const wanted = reference.digest ?? reference.tag ?? 'latest';
      const found = await store.registry.resolve(repository, wanted);
      if (found) return { registry: store.registry, repository, reference: found.digest };
      throw new OciError('NOT_FOUND', `the store has no image ${formatReference(reference)}`, {
        hint: `To read it from its registry, write docker://${formatReference(reference)}.`,
      });
    }
    case 'oci': {
      const path = workspace.path(location.path);
      const thin = await readThinImage(directory(path), location.path);
      const registry =
        thin && thin.plans.size > 0
          ? virtualRegistry(thin, store.blobs)
          : ociLayoutReader(directory(path), location.path);
      return soleImage(registry, location);
    }
    case 'oci-archive':
    case 'docker-archive': {
      const content = await file(workspace.path(location.path));
      if (!content) throw new OciError('NOT_FOUND', `there is no file ${location.path}`);
      return soleImage(await archive(content, location.path), location);
    }
    case 'registry':
      throw new OciError('USAGE', `${formatLocation(location)} is a registry, not an image`, {
        hint: 'Use `cluster-image sync` for all of its images.',
      });
  }
}

/** The image of that name, or the only one. */
async function soleImage(
  registry: RegistryReader,
  location: Location & { readonly name?: string },
): Promise<LocatedImage> {
  const { name } = location;
  const names = await Array.fromAsync(registry.tags(soleRepository));
  if (name !== undefined) {
    const wanted = names.find((known) => known === name || sameTag(known, name));
    const found = wanted ?? ((await registry.resolve(soleRepository, name)) && name);
    if (found) return { registry, repository: soleRepository, reference: found };
    throw new OciError('NOT_FOUND', `${formatLocation(location)}: there is no image of that name`, {
      hint: names.length > 0 ? `There is: ${names.join(', ')}.` : 'It holds no image.',
    });
  }
  const digests = new Set<string>();
  for (const known of names) {
    const found = await registry.resolve(soleRepository, known);
    if (found) digests.add(found.digest);
  }
  const [only, ...others] = digests;
  if (only !== undefined && others.length === 0) {
    return { registry, repository: soleRepository, reference: only };
  }
  throw new OciError(
    only === undefined ? 'NOT_FOUND' : 'USAGE',
    `${formatLocation(location)} holds ${digests.size} images`,
    { hint: names.length > 0 ? `Name one of them: ${names.join(', ')}.` : undefined },
  );
}

/** Archives name images by whole references, people by the tag. */
function sameTag(known: string, name: string): boolean {
  try {
    return tagOf(known) === name;
  } catch {
    return false;
  }
}

/**
 * Brings an image to a location: what is there already is not sent. Returns its manifest.
 *
 * @param name what the image is called where the location does not say
 */
export async function deliver(
  source: LocatedImage,
  target: Location,
  name: string,
  workspace: Workspace,
): Promise<Manifest> {
  const { store, network, context } = workspace;
  switch (target.kind) {
    case 'docker': {
      const { host, repository, tag, digest } = target.reference;
      if (digest) throw new OciError('USAGE', `${formatLocation(target)}: a target has no digest`);
      const registry = network.registry(host);
      return copy(source, source.reference, { registry, repository }, { tag }, context);
    }
    case 'store': {
      const repository = nameOf(target.reference);
      const { tag = 'latest' } = target.reference;
      const there = { registry: store.registry, repository };
      const copied = await copy(source, source.reference, there, { tag, recheck: true }, context);
      await store.removeImage(target.reference);
      return copied;
    }
    case 'oci': {
      const registry = ociLayout(workspace.path(target.path));
      const tag = target.name ?? tagOf(name);
      const there = { registry, repository: soleRepository };
      return copy(source, source.reference, there, { tag, recheck: true }, context);
    }
    case 'oci-archive':
    case 'docker-archive': {
      const root = await manifestOf(source);
      const given = target.name ?? name;
      const content = await imageArchive(
        source.registry,
        source.repository,
        root,
        { name: target.kind === 'oci-archive' ? tagOf(given) : given, repoTag: given },
        target.kind === 'oci-archive' ? 'oci' : 'docker',
      );
      await saveFile(workspace.path(target.path), content);
      return root;
    }
    case 'registry':
      throw new OciError(
        'USAGE',
        `${formatLocation(target)} takes the images inside a cluster image`,
        {
          hint: 'Use `cluster-image sync` for that.',
        },
      );
  }
}

export async function manifestOf({
  registry,
  repository,
  reference,
}: LocatedImage): Promise<Manifest> {
  const found = await registry.resolve(repository, reference);
  const manifest = found && (await registry.manifest(repository, found.digest));
  if (manifest) return manifest;
  throw new OciError('NOT_FOUND', `there is no image ${reference}`);
}
