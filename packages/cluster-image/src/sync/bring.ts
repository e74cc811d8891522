import {
  type Context,
  canList,
  copy,
  type Descriptor,
  type Digest,
  describeReferrer,
  formatPlatform,
  holds,
  isIndex,
  type Manifest,
  matchesPlatform,
  mergeReferrers,
  OciError,
  type Platform,
  type Registry,
  type Repository,
  referrersIn,
  referrersList,
  referrersTag,
} from '@cluster-image/oci';
import type { SyncOptions, SyncSource, SyncTarget } from '../sync.ts';
import { type AboutSource, type AboutTarget, bringAbout, having } from './about.ts';
import { mounting } from './mounting.ts';
import type { ImageName } from './names.ts';
import type { SyncedImage } from './report.ts';

/** What became of an image that did not fail. */
export type Brought = Pick<SyncedImage, 'digest' | 'about' | 'reason'> & {
  readonly state: 'copied' | 'present' | 'skipped';
};

/** Deeper nesting of indexes than any real image has. */
const deepest = 4;

/** An image on its way. */
interface Way {
  readonly from: Repository;
  readonly to: Repository<Registry>;
  readonly tag: string;
  readonly context: Context;
}

/** What brings one image from a source to a target, and what is about it where the source is to tell. */
export function bringing(
  { registry, referring, hasTag }: SyncSource & Pick<AboutSource, 'hasTag'>,
  given: SyncTarget,
  { filter, platform }: SyncOptions,
): (name: ImageName, context: Context) => Promise<Brought> {
  const target = { registry: mounting(given.registry), knows: knowing(given) };
  const about = referring && { registry, referring, hasTag, excepts: filter.excepts };

  return async ({ repository, tag }, context) => {
    const from = { registry, repository };
    const way = { from, to: { registry: target.registry, repository }, tag, context };
    const found = await registry.resolve(repository, tag);
    if (!found) throw new OciError('NOT_FOUND', `the source has no tag ${tag}`);
    const listed = await bringList(way, found);
    if (listed) return listed;
    const chosen = platform ? await chosenOf(from, found, platform) : found;
    if (chosen) return about ? bringWith(about, target, chosen, way) : bringImage(chosen, way);
    const reason = platform && `it is not there for ${formatPlatform(platform)}`;
    return { state: 'skipped', ...(reason && { reason }) };
  };
}

async function bringImage({ digest }: Descriptor, way: Way): Promise<Brought> {
  const { from, to, tag, context } = way;
  if (await holds(to, digest, tag)) return { state: 'present', digest };
  await copy(from, digest, to, { tag }, context).catch(hinting);
  return { state: 'copied', digest };
}

/** An image gets its tag once all that is about it is there. */
async function bringWith(
  source: AboutSource,
  target: AboutTarget,
  image: Descriptor,
  { from, to, tag, context }: Way,
): Promise<Brought> {
  const { digest } = image;
  const isThere = await holds(to, digest, tag);
  const root = isThere ? undefined : await copy(from, digest, to, {}, context).catch(hinting);
  const subjects = await digestsIn(from, image, root);
  const about = await bringAbout(from.repository, subjects, source, target, context);
  if (root) await to.registry.putManifest(to.repository, root, tag);
  return { state: isThere ? 'present' : 'copied', digest, about };
}

/**
 * Adds what a list of referrers lists to the one of the target, which may have more. Undefined where
 * the tag is not that of a list.
 */
async function bringList(way: Way, found: Descriptor): Promise<Brought | undefined> {
  const { from, to, tag, context } = way;
  if (!canList(tag, found)) return undefined;
  if (await holds(to, found.digest, tag)) return { state: 'present', digest: found.digest };
  const list = await from.registry.manifest(from.repository, found.digest);
  const members = list && (await membersOf(list, way));
  if (!members) return undefined;
  let isCopied = false;
  for (const member of members) {
    if (await holds(to, member.digest)) continue;
    await copy(having(member, from), member.digest, to, {}, context);
    isCopied = true;
  }
  const isWhole = list.kind === 'index' && list.manifests.length === members.length;
  const merged = isWhole ? list : referrersList(members.map(describeReferrer));
  const isWritten = await mergeReferrers(to.registry, to.repository, tag, merged);
  const digest = (await to.registry.resolve(to.repository, tag))?.digest;
  return { state: isCopied || isWritten ? 'copied' : 'present', ...(digest && { digest }) };
}

/**
 * What a list has that is there; undefined for an index that lists anything else than what is about
 * the manifest that its tag stands for.
 */
async function membersOf(
  list: Manifest,
  { from: { registry, repository }, tag, context }: Way,
): Promise<readonly Manifest[] | undefined> {
  const members: Manifest[] = [];
  for (const { digest } of referrersIn(list, tag) ?? []) {
    const found = await context.transfer(() => registry.manifest(repository, digest));
    if (!found) continue;
    if (!found.subject || referrersTag(found.subject.digest) !== tag) return undefined;
    members.push(found);
  }
  return members;
}

/** What a tag is to name where only one platform is wanted; undefined where it is not there for that. */
async function chosenOf(
  { registry, repository }: Repository,
  found: Descriptor,
  platform: Platform,
): Promise<Descriptor | undefined> {
  if (!isIndex(found.mediaType)) return found;
  const index = await registry.manifest(repository, found.digest);
  if (index?.kind !== 'index') return found;
  // What is for no platform is for all.
  if (index.manifests.every((child) => child.platform === undefined)) return found;
  return index.manifests.find((child) => matchesPlatform(platform, child.platform));
}

/** The digests of all manifests that an image consists of, each of which something may be about. */
async function digestsIn(
  { registry, repository }: Repository,
  { digest, mediaType }: Descriptor,
  known?: Manifest,
  depth = 0,
): Promise<readonly Digest[]> {
  if (!isIndex(mediaType) || depth > deepest) return [digest];
  const index = known ?? (await registry.manifest(repository, digest));
  const all: Digest[] = [digest];
  for (const child of index?.kind === 'index' ? index.manifests : []) {
    all.push(...(await digestsIn({ registry, repository }, child, undefined, depth + 1)));
  }
  return [...new Set(all)];
}

/** Whether a registry knows what is about manifests is the same for all of them, and asked once. */
function knowing(target: SyncTarget): SyncTarget['knows'] {
  let answer: Promise<boolean> | undefined;
  return (repository, subject) => {
    answer ??= target.knows(repository, subject).catch((error: unknown) => {
      answer = undefined;
      throw error;
    });
    return answer;
  };
}

/** An index may be there for some of its platforms only, as caches and slimmed images have it. */
function hinting(error: unknown): never {
  if (!(error instanceof OciError) || error.code !== 'NOT_FOUND' || error.hint !== undefined) {
    throw error;
  }
  throw new OciError(error.code, error.message, {
    cause: error,
    hint: 'Where the source has an index without all of its images, choose those of one platform with --platform.',
  });
}
