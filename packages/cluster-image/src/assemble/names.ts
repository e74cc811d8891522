import {
  compareBytes,
  type Digest,
  formatPlatform,
  OciError,
  type Platform,
  parseReference,
} from '@cluster-image/oci';
import type { LockedImage, Lockfile } from '../lock/lockfile.ts';

/** What an image is called in the `registry/` of a cluster image. */
export interface PlacedName {
  /** As locked. */
  readonly reference: string;
  readonly repository: string;
  readonly tag: string;
  /** What the tag names. */
  readonly digest: Digest;
}

export interface NameOptions {
  /**
   * Gives every image the name with its host as well; two that would share one without have only
   * that. With `only`, no name is without.
   */
  readonly keepHosts?: boolean | 'only' | undefined;
  /** Has every tag name what is pinned, an index with all of its children included. */
  readonly whole?: boolean | undefined;
}

/**
 * The names of pinned images in the registry of a cluster image for one platform, without the host:
 * the cluster's runtime asks for the bare path.
 *
 * A tag names the platform's own manifest. A reference by digest names what it pins; its tag is the
 * one it is written with, else `sha256-<hex>`, for a repository without a tag stops sealos.
 *
 * Throws LOCK_DRIFT where an image is not pinned for the platform, CONFLICT where two references claim
 * one name with different images.
 */
export function placedNames(
  { images }: Pick<Lockfile, 'images'>,
  platform: Platform,
  { keepHosts = false, whole: isWhole = false }: NameOptions = {},
): readonly PlacedName[] {
  const pinned = Object.entries(images)
    .sort(([a], [b]) => compareBytes(a, b))
    .map(([reference, image]) => nameOf(reference, image, platform, isWhole));
  const whole = keepHosts ? settled(pinned.map(withHost), true).owners : [];
  if (keepHosts === 'only') return sorted(whole);
  const { owners, contested } = settled(pinned, !keepHosts);
  const short = owners.filter((name) => !contested.has(nameText(name)));
  return sorted([...short, ...whole]);
}

function sorted(names: readonly PlacedName[]): readonly PlacedName[] {
  return [...names].sort(
    (a, b) => compareBytes(a.repository, b.repository) || compareBytes(a.tag, b.tag),
  );
}

function nameOf(
  reference: string,
  image: LockedImage,
  platform: Platform,
  isWhole: boolean,
): PlacedName {
  const { digest: pinned, tag, repository } = parseReference(reference);
  const chosen = image.manifests[formatPlatform(platform)]?.digest;
  if (!chosen) {
    throw new OciError('LOCK_DRIFT', `${reference} is not pinned for ${formatPlatform(platform)}`, {
      hint: 'Run `cluster-image lock` with that platform.',
    });
  }
  const digest = pinned || isWhole ? image.digest : chosen;
  return {
    reference,
    repository: image.repository ?? repository,
    tag: tag ?? digestTag(digest),
    digest,
  };
}

/**
 * `docker.io/library/nginx`, the host in characters that a path may have: `[::1]:5000` is `ipv6---1_5000`.
 */
function withHost(name: PlacedName): PlacedName {
  const { host, repository } = parseReference(name.reference);
  const [, address, port] = /^\[(.*)\](?::(\d+))?$/.exec(host) ?? [];
  const written =
    address === undefined
      ? host.replace(':', '_')
      : `ipv6-${address.replaceAll(':', '-').replace(/-$/, '-0')}${port ? `_${port}` : ''}`;
  return { ...name, repository: `${written.toLowerCase()}/${repository}` };
}

/** The tag of an image that is only known by digest. */
function digestTag(digest: Digest): string {
  return digest.replace(':', '-').slice(0, longestTag);
}

/** In characters; a sha512 digest has more. */
const longestTag = 128;

interface Settled {
  readonly owners: readonly PlacedName[];
  /** Names that different images claim, where that is no error. */
  readonly contested: ReadonlySet<string>;
}

/** Settles who has a name; one that is pinned by digest as well gives way and goes by the digest. */
function settled(names: readonly PlacedName[], isStrict: boolean): Settled {
  const owners = new Map<string, PlacedName>();
  const contested = new Set<string>();
  const isPinned = ({ reference }: PlacedName): boolean =>
    parseReference(reference).digest !== undefined;
  const inOrder = [...names].sort((a, b) => Number(isPinned(a)) - Number(isPinned(b)));
  for (const name of inOrder) {
    const owner = owners.get(nameText(name));
    if (!owner || owner.digest === name.digest) {
      owners.set(nameText(name), owner ?? name);
    } else if (isPinned(name)) {
      const byDigest = { ...name, tag: digestTag(name.digest) };
      owners.set(nameText(byDigest), byDigest);
    } else {
      if (isStrict) throw conflict(owner, name);
      contested.add(nameText(name));
    }
  }
  return { owners: [...owners.values()], contested };
}

function nameText({ repository, tag }: PlacedName): string {
  return `${repository}:${tag}`;
}

function conflict(owner: PlacedName, other: PlacedName): OciError {
  return new OciError(
    'CONFLICT',
    `${owner.reference} and ${other.reference} are different images, and both would be ${nameText(owner)} in registry/`,
    {
      hint: 'A cluster asks for images without their host. Use one of them, or another tag for one; or set keepHosts in cluster-image.json, and have the cluster ask with the host.',
    },
  );
}
