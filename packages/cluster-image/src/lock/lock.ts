import { posix } from 'node:path';
import {
  type Context,
  configLimit,
  type Descriptor,
  describe,
  fileOf,
  formatPlatform,
  type Manifest,
  matchesPlatform,
  nameOf,
  OciError,
  type Platform,
  parseReference,
  type RegistryReader,
  type Repository,
  readConfig,
  type Tree,
} from '@cluster-image/oci';
import { archive, soleRepository } from '@cluster-image/storage';
import type { Discovery, Found } from '../discover/discovery.ts';
import { everyOne } from '../failures.ts';
import type { LockedImage, Lockfile } from './lockfile.ts';

export interface LockOptions {
  readonly platforms: readonly Platform[];
  /** Which pins may move: those of these references, or all. Others stay as they are. */
  readonly update: 'all' | readonly string[];
}

/**
 * Pins every reference of a context. A pin that exists stays, whatever upstream means by the tag
 * now, unless it is to be updated or lacks a platform. Reads manifests only.
 *
 * Throws SOME_FAILED, naming every reference that could not be pinned.
 */
export async function lock(
  discovery: Discovery,
  existing: Lockfile | undefined,
  sources: LockSources,
  options: LockOptions,
  context: Context,
): Promise<Lockfile> {
  const platforms = options.platforms.map(formatPlatform);
  const pinAll = async (
    found: readonly Found[],
    pins: Readonly<Record<string, LockedImage>>,
  ): Promise<Record<string, LockedImage>> => {
    const pinned = await everyOne(
      found,
      ({ reference }) => reference,
      async (image) => {
        const pin = pins[image.reference];
        const mayMove = options.update === 'all' || options.update.includes(image.reference);
        const isWhole = pin && platforms.every((platform) => pin.manifests[platform]);
        const isSame = pin?.archive === image.archive && pin?.repository === image.repository;
        if (pin && isWhole && isSame && !mayMove) return [image.reference, only(pin, platforms)];
        // A missing platform is added to the image that is pinned, not to what the tag means by now.
        const kept = pin && isSame && !mayMove ? pin.digest : undefined;
        return [
          image.reference,
          await context.transfer(() => pinImage(image, kept, sources, options)),
        ];
      },
    );
    return Object.fromEntries(pinned);
  };
  return {
    lockfileVersion: 1,
    platforms,
    images: await pinAll(discovery.images, existing?.images ?? {}),
    bases: await pinAll(discovery.bases, existing?.bases ?? {}),
  };
}

/** Where images are that are to be pinned. */
export interface LockSources {
  /** Repositories are named host/path. */
  readonly upstream: RegistryReader;
  /** The context, which archives lie in. */
  readonly tree: Tree;
}

function only(pin: LockedImage, platforms: readonly string[]): LockedImage {
  const kept = Object.entries(pin.manifests).filter(([platform]) => platforms.includes(platform));
  return { ...pin, manifests: Object.fromEntries(kept) };
}

async function pinImage(
  image: Found,
  kept: string | undefined,
  sources: LockSources,
  { platforms }: LockOptions,
): Promise<LockedImage> {
  const { reference } = image;
  const source = image.archive
    ? { registry: await openArchive(sources.tree, image.archive), repository: soleRepository }
    : { registry: sources.upstream, repository: nameOf(parseReference(reference)) };
  const root = await rootOf(source, image, kept);
  const manifests: Record<string, { digest: Descriptor['digest']; size: number }> = {};
  for (const platform of platforms) {
    const { digest, size } = await choose(source, root, platform, reference);
    manifests[formatPlatform(platform)] = { digest, size };
  }
  const { archive, repository } = image;
  return {
    ...(archive !== undefined && { archive }),
    ...(repository !== undefined && { repository }),
    ...describe(root),
    manifests,
  };
}

/** Opens `docker-archive:PATH` or `oci-archive:PATH` of a context. */
export async function openArchive(tree: Tree, location: string): Promise<RegistryReader> {
  const path = posix.normalize(location.slice(location.indexOf(':') + 1));
  const content = await fileOf(tree, path);
  if (content) return archive(content, path);
  throw new OciError('NOT_FOUND', `there is no archive ${path} in the context`);
}

async function rootOf(
  source: Repository,
  { reference, archive }: Found,
  kept: string | undefined,
): Promise<Manifest> {
  const { registry, repository } = source;
  const { digest: pinned, tag = 'latest' } = parseReference(reference);
  const wanted =
    kept ?? pinned ?? (archive === undefined ? tag : await soleName(registry, archive));
  const found = await registry.resolve(repository, wanted);
  const root = found && (await registry.manifest(repository, found.digest));
  if (root) return root;
  throw new OciError('NOT_FOUND', `${reference}: there is no such image, or no access to it`, {
    hint: 'Check the name and tag; for a private image log in to its registry first (docker login).',
  });
}

async function soleName(registry: RegistryReader, archive: string): Promise<string> {
  const names = await Array.fromAsync(registry.tags(soleRepository));
  const digests = new Set<string | undefined>();
  for (const name of names) digests.add((await registry.resolve(soleRepository, name))?.digest);
  const [name] = names;
  if (name !== undefined && digests.size === 1) return name;
  throw new OciError('INPUT_INVALID', `${archive} holds ${digests.size} images, not one`);
}

/** The manifest of an image or index for one platform. */
async function choose(
  source: Repository,
  root: Manifest,
  platform: Platform,
  reference: string,
): Promise<Descriptor> {
  if (root.kind === 'index') {
    const found = root.manifests.find((child) => matchesPlatform(platform, child.platform));
    if (found) return found;
    const has = root.manifests.flatMap((child) =>
      child.platform ? [formatPlatform(child.platform)] : [],
    );
    throw noPlatform(reference, platform, has);
  }
  const { config } = root;
  const content = await source.registry.blob(source.repository, config.digest, config.size);
  if (!content || config.size > configLimit) {
    throw new OciError('NOT_FOUND', `${reference}: its config ${config.digest} is missing`);
  }
  const actual = await readConfig(content, config, reference);
  if (matchesPlatform(platform, actual)) return describe(root);
  throw noPlatform(reference, platform, [formatPlatform(actual)]);
}

function noPlatform(reference: string, platform: Platform, has: readonly string[]): OciError {
  const known = [...new Set(has)].filter((name) => !name.startsWith('unknown')).join(', ');
  return new OciError(
    'NOT_FOUND',
    `${reference} is not there for ${formatPlatform(platform)}, only for ${known || 'nothing'}`,
    { hint: 'Choose another image or other platforms (--platform).' },
  );
}
