import { z } from 'zod';
import type { Digest } from './digest.ts';
import { codeOf, OciError } from './error.ts';
import { jsonOf } from './json.ts';
import {
  type Descriptor,
  describeReferrer,
  isIndex,
  type Manifest,
  mediaTypes,
  parseManifest,
} from './manifest.ts';
import type { Registry, RegistryReader } from './registry.ts';

/**
 * The tag under which clients list what is about a manifest, where the registry itself does not.
 * https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#referrers-tag-schema
 */
export function referrersTag(subject: Digest): string {
  const [algorithm, hex = ''] = subject.split(':');
  return `${algorithm}-${hex.slice(0, 64)}`;
}

/**
 * Whether what a tag names can be such a list, by its descriptor. An image that is only known by its
 * digest may have such a tag as well.
 */
export function canList(
  tag: string,
  { digest, mediaType }: Pick<Descriptor, 'digest' | 'mediaType'>,
): boolean {
  const isTag = /^sha(256|512)-[0-9a-f]{64}$/.test(tag) && referrersTag(digest) !== tag;
  return isTag && isIndex(mediaType);
}

/** What the list under a tag lists; undefined for what is no such list. */
export function referrersIn(found: Manifest, tag: string): readonly Descriptor[] | undefined {
  return found.kind === 'index' && canList(tag, found) ? found.manifests : undefined;
}

/** What clients have listed as being about a manifest; nothing where there is no list. */
export async function listedReferrers(
  registry: RegistryReader,
  repository: string,
  subject: Digest,
): Promise<readonly Descriptor[]> {
  const tag = referrersTag(subject);
  const found = await manifestAt(registry, repository, tag);
  return (found && referrersIn(found, tag)) ?? [];
}

/** A list of what is about a manifest. */
export function referrersList(manifests: readonly Descriptor[]): Manifest {
  return indexOf({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests });
}

/**
 * Adds what a list has to the one that a registry has under that tag, so that neither loses anything.
 * What is listed has to be there already. Tells whether anything had to be written. Others who do the
 * same at the same time may undo it; a registry that knows by itself what is about a manifest needs
 * no list.
 *
 * Throws CONFLICT where the tag is that of something else, which then stays.
 */
export async function mergeReferrers(
  registry: Registry,
  repository: string,
  tag: string,
  list: Manifest,
): Promise<boolean> {
  const found = await manifestAt(registry, repository, tag);
  const there = found ? referrersIn(found, tag) : [];
  const wanted = referrersIn(list, tag);
  if (!there || !wanted) {
    throw new OciError('CONFLICT', `${repository}:${tag} is no list of what is about an image`, {
      hint: 'The registry keeps such lists under tags like this one. Remove the tag, or give the image another.',
    });
  }
  const union = byDigest([...there, ...wanted]);
  if (found && union.length === byDigest(there).length) return false;
  const isAll = union.length === byDigest(wanted).length;
  const merged = found && !isAll ? withManifests(found, union) : list;
  await registry.putManifest(repository, merged, tag);
  return true;
}

/**
 * The same registry, which keeps such a list of whatever is put into it about another manifest: who reads
 * its bytes otherwise, as docker-registry reads a directory, knows of no other way. Where the tag of the
 * list is that of an image there is none.
 */
export function keepingLists<R extends Registry>(registry: R): R {
  /** One after another for a list, so that none undoes another. */
  const lists = new Map<string, Promise<unknown>>();

  async function list(repository: string, manifest: Manifest, subject: Digest): Promise<void> {
    const tag = referrersTag(subject);
    const key = `${repository}:${tag}`;
    const before = lists.get(key) ?? Promise.resolve();
    const job = before
      .catch(() => {})
      .then(() =>
        mergeReferrers(registry, repository, tag, referrersList([describeReferrer(manifest)])),
      );
    lists.set(key, job);
    try {
      await job;
    } catch (error) {
      if (codeOf(error) !== 'CONFLICT') throw error;
    } finally {
      if (lists.get(key) === job) lists.delete(key);
    }
  }

  return {
    ...registry,
    async putManifest(repository, manifest, tag) {
      await registry.putManifest(repository, manifest, tag);
      const { subject } = manifest;
      if (subject) await list(repository, manifest, subject.digest);
    },
  };
}

/** Each once, as it is listed first. */
function byDigest(descriptors: readonly Descriptor[]): readonly Descriptor[] {
  const unique = new Map<Digest, Descriptor>();
  for (const descriptor of descriptors) {
    if (!unique.has(descriptor.digest)) unique.set(descriptor.digest, descriptor);
  }
  return [...unique.values()];
}

/** The same index with other manifests; whatever else it says stays. */
function withManifests({ bytes }: Manifest, manifests: readonly Descriptor[]): Manifest {
  return indexOf({ ...z.looseObject({}).parse(jsonOf(bytes)), manifests });
}

function indexOf(body: object): Manifest {
  return parseManifest(new TextEncoder().encode(JSON.stringify(body)), 'a list of referrers');
}

async function manifestAt(
  registry: RegistryReader,
  repository: string,
  tag: string,
): Promise<Manifest | undefined> {
  const found = await registry.resolve(repository, tag);
  return found && registry.manifest(repository, found.digest);
}
