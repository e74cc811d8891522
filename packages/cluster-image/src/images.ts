import {
  copy,
  type Descriptor,
  type Digest,
  formatReference,
  isDigest,
  isTag,
  type Manifest,
  matchesPlatform,
  nameOf,
  OciError,
  parsePlatform,
  type Reference,
  type RegistryReader,
  type Repository,
} from '@cluster-image/oci';
import {
  type ArchivedName,
  archive,
  type BlobSource,
  directory,
  type Earlier,
  file,
  imageArchive,
  type LayoutReader,
  layersOf,
  ociLayout,
  ociLayoutReader,
  readThinImage,
  type Since,
  saveFile,
  soleRepository,
  virtualRegistry,
} from '@cluster-image/storage';
import { archiveFor } from './engines/archive-for.ts';
import { formatLocation, type Location, referenceIn, type Target } from './location.ts';
import { reporting } from './progress.ts';
import type { Workspace } from './workspace.ts';

/** An image at some location. */
export interface LocatedImage extends Repository {
  /** Tag or digest there. */
  readonly reference: string;
  /** What it is called there: a whole reference, or only a tag. */
  readonly name?: string;
  /** What it is saved since, in an archive or layout that lacks what that one has. */
  readonly since?: Since | undefined;
  /** Where a registry may have much of it already. */
  readonly mountFrom?: Reference;
}

/** Finds the image that a location names. Throws NOT_FOUND, and USAGE where it names none or several. */
export async function openImage(location: Location, workspace: Workspace): Promise<LocatedImage> {
  const { store, network } = workspace;
  switch (location.kind) {
    case 'docker': {
      const { host, repository, tag, digest } = location.reference;
      const registry = network.registry(host);
      const name = formatReference(location.reference);
      const root = await registry.fetch(repository, digest ?? tag ?? 'latest');
      if (root)
        return { registry: holding(registry, root), repository, reference: root.digest, name };
      throw new OciError('NOT_FOUND', `there is no image ${name}, or no access to it`, {
        hint: 'Check the name and tag; for a private image log in to its registry first (docker login).',
      });
    }
    case 'store': {
      const { reference } = location;
      const name = formatReference(reference);
      const built = await store.image(reference);
      if (built && built.root.digest === (reference.digest ?? built.root.digest)) {
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
      const tree = directory(workspace.path(location.path));
      // Only thin images have plans; other layouts may lack what is not asked for.
      const thin = (await tree.entry('plans')) && (await readThinImage(tree, location.path));
      if (thin) return soleImage(virtualRegistry(thin, store.blobs), location);
      return layoutImage(stored(ociLayoutReader(tree, location.path), store.blobs), location);
    }
    case 'oci-archive':
    case 'docker-archive': {
      const content = await file(workspace.path(location.path));
      if (!content) throw new OciError('NOT_FOUND', `there is no file ${location.path}`);
      return layoutImage(await archive(content, location.path), location);
    }
    case 'docker-daemon':
    case 'containers-storage': {
      const image = await soleImage(await workspace.engines.read(location, 'faithful'), location);
      const isNamed = 'reference' in location && location.reference.digest === undefined;
      return isNamed ? { ...image, name: formatReference(location.reference) } : image;
    }
    case 'registry':
      throw new OciError('USAGE', `${formatLocation(location)} is a registry, not an image`, {
        hint: 'Use `cluster-image sync` for all of its images.',
      });
  }
}

/** The same registry, which need not be asked for a manifest that is known. */
function holding(registry: RegistryReader, known: Manifest): RegistryReader {
  return {
    ...registry,
    manifest: async (repository, digest) =>
      digest === known.digest ? known : registry.manifest(repository, digest),
  };
}

/** The same layout, with what it lacks and a store has: a thin image none of whose layers is computed has no plans. */
function stored(layout: LayoutReader, blobs: BlobSource): LayoutReader {
  return {
    ...layout,
    async blob(repository, digest, size) {
      const found = await layout.blob(repository, digest, size);
      return found ?? (size === undefined ? undefined : blobs(digest, size));
    },
  };
}

async function layoutImage(
  layout: LayoutReader,
  location: Location & { readonly name?: string },
): Promise<LocatedImage> {
  const image = await soleImage(layout, location);
  const since = isDigest(image.reference) ? await layout.since(image.reference) : undefined;
  return { ...image, ...(since && { since }) };
}

/** The image of that name, or the only one. */
async function soleImage(
  registry: RegistryReader,
  location: Location & { readonly name?: string },
): Promise<LocatedImage> {
  const { name } = location;
  const names = await Array.fromAsync(registry.tags(soleRepository));
  const meant = names.filter((known) => name === undefined || isMeant(known, name));
  const found = await digestsOf(registry, meant);
  const byItself = name !== undefined && (names.includes(name) || isDigest(name));
  const digests = byItself ? await digestsOf(registry, [name]) : found;
  const [only, ...others] = new Set(digests.values());
  const whole = formatLocation(location);
  const hint = names.length > 0 ? `Name one of them: ${names.join(', ')}.` : undefined;
  if (only === undefined) {
    const why = name === undefined ? 'holds no image' : 'is not there';
    throw new OciError('NOT_FOUND', `${whole} ${why}`, { hint });
  }
  if (others.length > 0) {
    throw new OciError('USAGE', `${whole} could be any of ${others.length + 1} images`, { hint });
  }
  const called = meant.filter((known) => found.get(known) === only);
  return {
    registry,
    repository: soleRepository,
    reference: only,
    name: called.find((known) => !isTag(known)) ?? called[0],
  };
}

async function digestsOf(
  registry: RegistryReader,
  names: readonly string[],
): Promise<ReadonlyMap<string, Digest>> {
  const digests = new Map<string, Digest>();
  for (const name of names) {
    const found = await registry.resolve(soleRepository, name);
    if (found) digests.set(name, found.digest);
  }
  return digests;
}

/** Whether a name in a layout is what people mean: layouts have whole references, people say the tag or leave the host out. */
export function isMeant(known: string, name: string): boolean {
  const [reference, wanted] = [referenceIn(known), referenceIn(name)];
  return (
    known === name ||
    (reference !== undefined &&
      (wanted ? formatReference(wanted) === formatReference(reference) : reference.tag === name))
  );
}

/**
 * Brings an image to a location: what is there already is not sent. Returns its manifest.
 *
 * @param since an image whose layers are left out of an archive or layout
 */
export async function deliver(
  source: LocatedImage,
  target: Target,
  workspace: Workspace,
  since?: Earlier,
): Promise<Manifest> {
  const { store, network, context } = workspace;
  switch (target.kind) {
    case 'docker': {
      const { host, repository, tag } = target.reference;
      const registry = network.registry(host);
      const { mountFrom } = source;
      const near = mountFrom?.host === host ? { mountFrom: mountFrom.repository } : {};
      return copy(source, source.reference, { registry, repository }, { tag, ...near }, context);
    }
    case 'store': {
      const repository = nameOf(target.reference);
      const { tag } = target.reference;
      const there = { registry: store.registry, repository };
      const copied = await copy(source, source.reference, there, { tag, recheck: true }, context);
      if (tag !== undefined) await store.removeImage(target.reference);
      return copied;
    }
    case 'oci': {
      const registry = ociLayout(workspace.path(target.path), since && { since });
      const { tag } = archivedName(target.name, source.name);
      const there = { registry, repository: soleRepository };
      for (const manifest of since?.manifests ?? []) {
        await registry.putManifest(soleRepository, manifest);
      }
      const leftOut = layersOf(since?.manifests ?? []);
      const layers = ({ digest }: Descriptor): boolean => !leftOut.has(digest);
      return copy(source, source.reference, there, { tag, layers, recheck: true }, context);
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
        since,
      );
      await saveFile(workspace.path(target.path), content);
      return root;
    }
    case 'docker-daemon':
    case 'containers-storage': {
      const root = await manifestOf(source);
      await workspace.engines.write(target, await archiveFor(target, source, root, context));
      return root;
    }
  }
}

/** The repository that images at a target belong to; undefined for what is written anew. */
export function repositoryAt(
  target: Target,
  { store, network, path }: Workspace,
): Repository | undefined {
  switch (target.kind) {
    case 'docker': {
      const { host, repository } = target.reference;
      return { registry: network.registry(host), repository };
    }
    case 'store':
      return { registry: store.registry, repository: nameOf(target.reference) };
    case 'oci':
      return { registry: ociLayout(path(target.path)), repository: soleRepository };
    default:
      return undefined;
  }
}

/** What an image is to be called in a layout or archive, from what was asked for and what it is called so far. */
function archivedName(wanted: string | undefined, known: string | undefined): ArchivedName {
  const names = [wanted, known].filter((name) => name !== undefined);
  const tag = names.map((name) => (isTag(name) ? name : referenceIn(name)?.tag)).find(Boolean);
  const whole = names.map(referenceIn).find((reference) => reference !== undefined);
  // What is known by digest alone has no name for others to take it by.
  if (!whole || tag === undefined) return { tag: tag ?? 'latest' };
  return { tag, reference: `${nameOf(whole)}:${tag}` };
}

export async function manifestOf({
  registry,
  repository,
  reference,
}: LocatedImage): Promise<Manifest> {
  const digest = isDigest(reference)
    ? reference
    : (await registry.resolve(repository, reference))?.digest;
  const manifest = digest && (await registry.manifest(repository, digest));
  if (manifest) return manifest;
  throw new OciError('NOT_FOUND', `there is no image ${reference}`);
}

export async function onPlatform(
  image: LocatedImage,
  text: string | undefined,
): Promise<LocatedImage> {
  if (text === undefined) return image;
  const manifest = await manifestOf(image);
  if (manifest.kind === 'image') return image;
  const platform = parsePlatform(text);
  const child = manifest.manifests.find((entry) => matchesPlatform(platform, entry.platform));
  if (child) return { ...image, reference: child.digest };
  throw new OciError('NOT_FOUND', `the image is not there for ${text}`);
}
