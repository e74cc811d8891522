import {
  type Context,
  copy,
  type Descriptor,
  type Digest,
  describeReferrer,
  holds,
  listedReferrers,
  type Manifest,
  mergeReferrers,
  OciError,
  type Referring,
  type Registry,
  type RegistryReader,
  type Repository,
  referrersList,
  referrersTag,
  throwIfAborted,
} from '@cluster-image/oci';
import { settled } from '../failures.ts';
import type { ImageName } from './names.ts';
import type { SyncedAbout } from './report.ts';

/** More than anybody says about one image. */
const mostAbout = 1_000;

/** What cosign tags, beside the digest of what it is about. */
const cosignKinds = ['sig', 'att', 'sbom'] as const;

/** Whether a tag is one that cosign gives, or that of a list of referrers. */
export function isAboutTag(tag: string): boolean {
  return /^sha(256|512)-[0-9a-f]{64}(\.(sig|att|sbom))?$/.test(tag);
}

export interface AboutSource {
  readonly registry: RegistryReader;
  readonly referring: Referring;
  hasTag(name: ImageName): Promise<boolean>;
  /** Whether a tag of cosign is to be left. */
  excepts(name: ImageName): boolean;
}

export interface AboutTarget {
  readonly registry: Registry;
  /** Whether it knows by itself what is about a manifest; else lists of it are kept there. */
  knows(repository: string, subject: Digest): Promise<boolean>;
}

/**
 * Brings what is about some manifests of a repository, and what is about that: what the source knows
 * to refer to them, and what cosign has tagged with their digests. Tells what there is.
 *
 * Throws UPSTREAM where that has no end, CONFLICT where the target has something else in the place of a list.
 */
export async function bringAbout(
  repository: string,
  subjects: readonly Digest[],
  source: AboutSource,
  target: AboutTarget,
  context: Context,
): Promise<readonly SyncedAbout[]> {
  const from = { registry: source.registry, repository };
  const to = { registry: target.registry, repository };
  const seen = new Set<Digest>(subjects);
  const found: SyncedAbout[] = [];
  let listed = 0;
  for (let level: readonly Digest[] = [...seen]; level.length > 0; ) {
    const brought = (await settled(level.map(bringOnto))).flat();
    found.push(...brought);
    level = [...new Set(brought.map(({ digest }) => digest))].filter((digest) => !seen.has(digest));
    for (const digest of level) seen.add(digest);
  }
  return found;

  async function bringOnto(subject: Digest): Promise<readonly SyncedAbout[]> {
    throwIfAborted(context.signal);
    return [...(await bringReferrers(subject)), ...(await bringTagged(subject))];
  }

  function count(more: number): void {
    listed += more;
    if (listed <= mostAbout) return;
    const why = `more than ${mostAbout} manifests would be about one image`;
    throw new OciError('UPSTREAM', `${repository}: ${why}`, {
      hint: 'Leave out --referrers, or look at what the source lists.',
    });
  }

  async function bringReferrers(subject: Digest): Promise<readonly SyncedAbout[]> {
    const { referring } = source;
    const descriptors = await Array.fromAsync(referring.referrers(repository, subject));
    count(descriptors.length);
    const brought: SyncedAbout[] = [];
    const manifests = new Map<Digest, Manifest>();
    for (const { digest, artifactType } of descriptors) {
      const isThere = await holds(to, digest);
      const manifest = isThere ? undefined : await referrerOf(from, digest, subject, context);
      if (!isThere && !manifest) continue;
      if (manifest) {
        manifests.set(digest, manifest);
        await copy(having(manifest, from), digest, to, {}, context);
      }
      const type = artifactType === undefined ? {} : { artifactType };
      brought.push({ subject, digest, ...type, state: isThere ? 'present' : 'copied' });
    }
    const digests = brought.map(({ digest }) => digest);
    if (digests.length > 0) await keepList(subject, digests, manifests);
    return brought;
  }

  /** Has the target list what is about a manifest, where it does not know by itself. */
  async function keepList(
    subject: Digest,
    digests: readonly Digest[],
    known: ReadonlyMap<Digest, Manifest>,
  ): Promise<void> {
    if (await target.knows(repository, subject)) return;
    const listed = await listedReferrers(target.registry, repository, subject);
    const there = new Set(listed.map(({ digest }) => digest));
    const missing: Descriptor[] = [];
    for (const digest of digests.filter((digest) => !there.has(digest))) {
      const manifest = known.get(digest) ?? (await referrerOf(to, digest, subject, context));
      if (manifest) missing.push(describeReferrer(manifest));
    }
    if (missing.length === 0) return;
    const tag = referrersTag(subject);
    await mergeReferrers(target.registry, repository, tag, referrersList(missing));
  }

  async function bringTagged(subject: Digest): Promise<readonly SyncedAbout[]> {
    const named = cosignKinds.map((kind) => `${subject.replace(':', '-')}.${kind}`);
    const brought: SyncedAbout[] = [];
    for (const tag of named) {
      const name = { repository, tag };
      if (!(await source.hasTag(name)) || source.excepts(name)) continue;
      count(1);
      const digest = (await source.registry.resolve(repository, tag))?.digest;
      if (!digest) continue;
      const isThere = await holds(to, digest, tag);
      if (!isThere) await copy(from, digest, to, { tag }, context);
      brought.push({ subject, digest, tag, state: isThere ? 'present' : 'copied' });
    }
    return brought;
  }
}

/** The manifest with a digest, if it is about another one as it was said to be. */
async function referrerOf(
  { registry, repository }: Repository,
  digest: Digest,
  subject: Digest,
  context: Context,
): Promise<Manifest | undefined> {
  const found = await context.transfer(() => registry.manifest(repository, digest));
  if (found?.subject?.digest === subject) return found;
  const why = found ? 'is not about it' : 'is not there';
  const message = `${repository}: ${digest} is listed as being about ${subject}, but ${why}`;
  context.report({ type: 'warning', message });
  return undefined;
}

/** The same repository, with a manifest that was read from it already. */
export function having(manifest: Manifest, { registry, repository }: Repository): Repository {
  return {
    repository,
    registry: {
      ...registry,
      manifest: async (name, digest) =>
        digest === manifest.digest ? manifest : registry.manifest(name, digest),
    },
  };
}
