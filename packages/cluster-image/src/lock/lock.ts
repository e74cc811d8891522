import {
  type Context,
  configLimit,
  type Descriptor,
  type Digest,
  describe,
  formatPlatform,
  type Manifest,
  matchesPlatform,
  mediaTypes,
  nameOf,
  OciError,
  type Platform,
  parseReference,
  type RegistryReader,
  type Repository,
  readConfig,
  throwIfAborted,
} from '@cluster-image/oci';
import { soleRepository } from '@cluster-image/storage';
import { type ArchiveSources, openArchive, releaseArchive } from '../archives.ts';
import type { Discovery, Found } from '../discover/discovery.ts';
import { everyOne } from '../failures.ts';
import { isMeant } from '../images.ts';
import { parseLocation } from '../location.ts';
import { originText } from './check.ts';
import { type LockedImage, type Lockfile, only } from './lockfile.ts';

export interface LockOptions {
  readonly platforms: readonly Platform[];
  /** Which pins may move: those of these references, or all. Others stay as they are. */
  readonly update: 'all' | readonly string[];
}

/** Where images are that are to be pinned. */
export interface LockSources extends ArchiveSources {
  /** Repositories are named host/path. */
  readonly upstream: RegistryReader;
}

/**
 * Pins every reference of a context. A pin that exists stays, whatever upstream means by the tag
 * now, unless it is to be updated or lacks a platform; one that stays costs no request. Reads
 * manifests and, of images for one platform, configs.
 *
 * Throws the failure, or SOME_FAILED, naming every reference that could not be pinned and where it is.
 */
export async function lock(
  discovery: Discovery,
  existing: Lockfile | undefined,
  sources: LockSources,
  options: LockOptions,
  context: Context,
): Promise<Lockfile> {
  const all = [
    ...discovery.images.map((image) => ({ image, section: 'images' as const })),
    ...discovery.bases.map((image) => ({ image, section: 'bases' as const })),
  ];
  const pinned = await everyOne(
    all,
    ({ image: { reference, origins } }) => `${reference} (${originText(origins[0])})`,
    async ({ image, section }) => {
      const pin = existing?.[section][image.reference];
      try {
        return { image, section, pin: await pinImage(image, pin, sources, options, context) };
      } finally {
        if (image.archive !== undefined) await releaseArchive(image.archive, sources);
      }
    },
  );
  const pinsOf = (wanted: 'images' | 'bases'): Record<string, LockedImage> =>
    Object.fromEntries(
      pinned
        .filter(({ section }) => section === wanted)
        .map(({ image, pin }) => [image.reference, pin]),
    );
  return {
    lockfileVersion: 1,
    platforms: options.platforms.map(formatPlatform),
    images: pinsOf('images'),
    bases: pinsOf('bases'),
  };
}

async function pinImage(
  image: Found,
  existing: LockedImage | undefined,
  sources: LockSources,
  { platforms, update }: LockOptions,
  context: Context,
): Promise<LockedImage> {
  const { reference, archive, repository } = image;
  const names = platforms.map(formatPlatform);
  const isSame = existing?.archive === archive && existing?.repository === repository;
  const pin = isSame ? existing : undefined;
  const isWhole = names.every((name) => pin?.manifests[name]);
  const mayMove = update === 'all' || update.includes(reference);
  if (pin && isWhole && !mayMove) return only(pin, names);
  throwIfAborted(context.signal);
  return context.transfer(async () => {
    const source = await sourceOf(image, sources);
    // A missing platform is added to the image that is pinned, not to what the tag means by now.
    const digest = pin && !mayMove ? pin.digest : await meaningOf(image, source);
    if (pin && isWhole && digest === pin.digest) return only(pin, names);
    const root = await source.registry.manifest(source.repository, digest);
    if (!root) throw gone(digest, archive);
    const manifests: Record<string, { digest: Digest; size: number }> = {};
    for (const platform of platforms) {
      const { digest, size } = await choose(source, root, platform, reference);
      manifests[formatPlatform(platform)] = { digest, size };
    }
    return {
      ...(archive !== undefined && { archive }),
      ...(repository !== undefined && { repository }),
      ...describe(root),
      manifests,
    };
  });
}

/** What is pinned is not there any more. */
export function gone(digest: Digest, archive: string | undefined): OciError {
  return new OciError(
    'NOT_FOUND',
    `${archive ?? 'its registry'} has no ${digest}, which is pinned`,
    {
      hint: 'It was replaced or removed. `cluster-image lock CONTEXT --update REFERENCE` pins what is there now.',
    },
  );
}

async function sourceOf({ reference, archive }: Found, sources: LockSources): Promise<Repository> {
  if (archive === undefined) {
    return { registry: sources.upstream, repository: nameOf(parseReference(reference)) };
  }
  return { registry: await openArchive(archive, sources), repository: soleRepository };
}

/** The digest that a reference means now. */
async function meaningOf(
  { reference, archive }: Found,
  { registry, repository }: Repository,
): Promise<Digest> {
  const { digest, tag = 'latest' } = parseReference(reference);
  if (archive !== undefined) return soleDigest(registry, archive);
  const meant = digest ?? (await registry.resolve(repository, tag))?.digest;
  if (meant) return meant;
  throw new OciError('NOT_FOUND', 'there is no such image, or no access to it', {
    hint: 'Check the name and tag; for a private image log in to its registry first (docker login).',
  });
}

/** The image of an archive that its location names, or the only one. */
async function soleDigest(registry: RegistryReader, archive: string): Promise<Digest> {
  const location = parseLocation(archive);
  const wanted = 'name' in location ? location.name : undefined;
  const digests = new Set<Digest>();
  for await (const name of registry.tags(soleRepository)) {
    if (wanted !== undefined && !isMeant(name, wanted)) continue;
    const found = await registry.resolve(soleRepository, name);
    if (found) digests.add(found.digest);
  }
  const [digest, ...others] = digests;
  if (digest && others.length === 0) return digest;
  throw new OciError('INPUT_INVALID', `${archive} holds ${digests.size} images, not one`, {
    hint: 'Name the one that is meant behind the path, PATH:NAME, or save it into an archive of its own.',
  });
}

/** The manifest of an image or index for one platform; what is for no platform is itself for all. */
async function choose(
  source: Repository,
  root: Manifest,
  platform: Platform,
  reference: string,
): Promise<Descriptor> {
  if (isForAll(root)) return describe(root);
  if (root.kind === 'index') {
    const found = root.manifests.find((child) => matchesPlatform(platform, child.platform));
    if (found) return found;
    const has = root.manifests.flatMap((child) =>
      child.platform ? [formatPlatform(child.platform)] : [],
    );
    throw noPlatform(platform, has);
  }
  const { config } = root;
  const content = await source.registry.blob(source.repository, config.digest, config.size);
  if (!content || config.size > configLimit) {
    throw new OciError('NOT_FOUND', `its config ${config.digest} is missing`);
  }
  const actual = await readConfig(content, config, reference);
  if (matchesPlatform(platform, actual)) return describe(root);
  throw noPlatform(platform, [formatPlatform(actual)]);
}

/** Whether something runs nowhere by itself: a chart, a bundle of manifests, an index of such. */
function isForAll(root: Manifest): boolean {
  if (root.kind === 'index') {
    const { manifests } = root;
    return manifests.length > 0 && manifests.every(({ platform }) => platform === undefined);
  }
  return root.mediaType === mediaTypes.ociManifest && !configTypes.includes(root.config.mediaType);
}

/** Those of images; docker's is in manifests of OCI as well. */
const configTypes: readonly string[] = [
  mediaTypes.ociConfig,
  'application/vnd.docker.container.image.v1+json',
];

function noPlatform(platform: Platform, has: readonly string[]): OciError {
  const known = [...new Set(has)].filter((name) => !name.startsWith('unknown')).join(', ');
  return new OciError(
    'NOT_FOUND',
    `not there for ${formatPlatform(platform)}, only for ${known || 'nothing'}`,
    { hint: 'Choose another image or other platforms (--platform).' },
  );
}
