import { formatPlatform, OciError, type Platform } from '@cluster-image/oci';
import type { Discovery, Found, Origin } from '../discover/discovery.ts';
import type { LockedImage, Lockfile } from './lockfile.ts';

export interface Drift {
  /** References the lockfile does not pin, or not for every platform. */
  readonly missing: readonly Found[];
  /** References it pins that nothing refers to any more. */
  readonly unused: readonly string[];
}

/** Compares a context with its lockfile, without asking any registry. */
export function driftOf(
  discovery: Discovery,
  lockfile: Lockfile | undefined,
  platforms: readonly Platform[],
): Drift {
  const wanted = platforms.map(formatPlatform);
  const isPinned = (image: Found, pin: LockedImage | undefined): boolean =>
    pin !== undefined &&
    pin.archive === image.archive &&
    wanted.every((platform) => pin.manifests[platform] !== undefined);
  const missing = [
    ...discovery.images.filter((image) => !isPinned(image, lockfile?.images[image.reference])),
    ...discovery.bases.filter((image) => !isPinned(image, lockfile?.bases[image.reference])),
  ];
  const used = (found: readonly Found[]): ReadonlySet<string> =>
    new Set(found.map(({ reference }) => reference));
  const [images, bases] = [used(discovery.images), used(discovery.bases)];
  return {
    missing,
    unused: [
      ...Object.keys(lockfile?.images ?? {}).filter((reference) => !images.has(reference)),
      ...Object.keys(lockfile?.bases ?? {}).filter((reference) => !bases.has(reference)),
    ],
  };
}

/** Throws LOCK_DRIFT where something is not pinned, naming it, where it is referred to, and the way to pin it. */
export function requirePinned({ missing }: Drift, contextPath: string): void {
  if (missing.length === 0) return;
  const lines = missing.map(
    ({ reference, origins }) => `  ${reference}  (${originText(origins[0])})`,
  );
  throw new OciError(
    'LOCK_DRIFT',
    `cluster-image.lock.json does not pin ${missing.length} of the context's images:\n${lines.join('\n')}`,
    { hint: `Run \`cluster-image lock ${contextPath}\` and commit the lockfile.` },
  );
}

/** Throws INPUT_INVALID where the context means images that cannot be told. */
export function requireResolved({ unresolved }: Discovery): void {
  if (unresolved.length === 0) return;
  const lines = unresolved.map(
    ({ text, reason, origin }) => `  ${originText(origin)}: ${text ? `${text}: ` : ''}${reason}`,
  );
  throw new OciError(
    'INPUT_INVALID',
    `${unresolved.length} image references cannot be resolved:\n${lines.join('\n')}`,
    {
      hint: 'Mend them; or list the text in .sealignore and the image it stands for in images/shim/.',
    },
  );
}

export function originText(origin: Origin | undefined): string {
  if (!origin) return 'unknown';
  const place = origin.line === undefined ? origin.file : `${origin.file}:${origin.line}`;
  return origin.via && origin.via !== 'FROM' ? `${place}, ${origin.via}` : place;
}
