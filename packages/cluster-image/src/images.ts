import {
  copy,
  formatReference,
  isTag,
  type Manifest,
  nameOf,
  OciError,
  parseReference,
  type Reference,
  type RegistryReader,
  type Repository,
} from '@cluster-image/oci';
import {
  type ArchivedName,
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
import { formatLocation, type Location } from './location.ts';
import { reporting } from './progress.ts';
import type { Workspace } from './workspace.ts';

/** An image at some location. */
export interface LocatedImage extends Repository {
  /** Tag or digest there. */
  readonly reference: string;
  /** What it is called there: a whole reference, or only a tag. */
  readonly name?: string;
}

/** Finds the image that a location names. Throws NOT_FOUND, and USAGE where it names none or several. */
export async function openImage(location: Location, workspace: Workspace): Promise<LocatedImage> {
  const { store, network } = workspace;
  switch (location.kind) {
    case 'docker': {
      const { host, repository, tag, digest } = location.reference;
      const registry = network.registry(host);
      const name = formatReference(location.reference);
      return { registry, repository, reference: digest ?? tag ?? 'latest', name };
    }
    case 'store': {
      const { reference } = location;
      const name = formatReference(reference);
      const built = await store.image(reference);
      if (built) {
        const registry = virtualRegistry(built, store.blobs);
        return { registry, repository: soleRepository, reference: built.root.digest, name };
      }
      const repository = nameOf(reference);
      const wanted = reference.digest ?? reference.tag ?? 'latest';
      const found = await store.registry.resolve(repository, wanted);
      if (found) return { registry: store.registry, repository, reference: found.digest, name };
      throw new OciError('NOT_FOUND', `the store has no image ${name}`, {
        hint: `To read it from its registry, write docker://${name}.`,
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
    if (found) return { registry, repository: soleRepository, reference: found, name: wanted };
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
    const known = names.find((each) => !isTag(each)) ?? names[0];
    return { registry, repository: soleRepository, reference: only, name: known };
  }
  throw new OciError(
    only === undefined ? 'NOT_FOUND' : 'USAGE',
    `${formatLocation(location)} holds ${digests.size} images`,
    { hint: names.length > 0 ? `Name one of them: ${names.join(', ')}.` : undefined },
  );
}

/** Layouts name images by whole references, people by the tag. */
function sameTag(known: string, name: string): boolean {
  return referenceIn(known)?.tag === name;
}

/** Brings an image to a location: what is there already is not sent. Returns its manifest. */
export async function deliver(
  source: LocatedImage,
  target: Location,
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
      const { tag } = archivedName(target.name, source.name);
      const there = { registry, repository: soleRepository };
      return copy(source, source.reference, there, { tag, recheck: true }, context);
    }
    case 'oci-archive':
    case 'docker-archive': {
      const root = await manifestOf(source);
      const content = await imageArchive(
        reporting(source.registry, context),
        source.repository,
        root,
        archivedName(target.name, source.name),
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

/** What an image is to be called in a layout or archive, from what was asked for and what it is called so far. */
function archivedName(wanted: string | undefined, known: string | undefined): ArchivedName {
  const [given, before] = [wanted, known].map((name) => name && referenceIn(name));
  const tag = (given ? given.tag : wanted) ?? (before ? before.tag : known) ?? 'latest';
  const whole = given || before;
  return { tag, ...(whole && { reference: `${nameOf(whole)}:${tag}` }) };
}

/** The reference that a name in a layout is; undefined for what is only a tag, or no reference. */
function referenceIn(name: string): Reference | undefined {
  try {
    return isTag(name) ? undefined : parseReference(name);
  } catch {
    return undefined;
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
