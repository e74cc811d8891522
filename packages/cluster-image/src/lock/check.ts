import { type Context, formatPlatform, OciError, type Platform } from '@cluster-image/oci';
import { formatCount } from '../counts.ts';
import type { Discovery, Found, Origin } from '../discover/discovery.ts';
import type { DiscoverSettings } from '../discover/settings.ts';
import { type LockedImage, type Lockfile, lockfileName } from './lockfile.ts';

export interface Drift {
  readonly missing: readonly Missing[];
  /** References the lockfile pins that nothing refers to any more. */
  readonly unused: readonly string[];
}

/** A reference that the lockfile does not pin, or not as it is needed. */
export interface Missing {
  readonly image: Found;
  /** What is wrong with its pin; empty where there is none. */
  readonly why: string;
}

/** Compares a context with its lockfile, without asking any registry. */
export function driftOf(
  discovery: Discovery,
  lockfile: Lockfile | undefined,
  platforms: readonly Platform[],
): Drift {
  const wanted = platforms.map(formatPlatform);
  const check = (
    found: readonly Found[],
    pins: Readonly<Record<string, LockedImage>> = {},
  ): Drift => {
    const used = new Set(found.map(({ reference }) => reference));
    return {
      missing: found.flatMap((image) => {
        const why = faultOf(image, pins[image.reference], wanted);
        return why === undefined ? [] : [{ image, why }];
      }),
      unused: Object.keys(pins).filter((reference) => !used.has(reference)),
    };
  };
  const images = check(discovery.images, lockfile?.images);
  const bases = check(discovery.bases, lockfile?.bases);
  return {
    missing: [...images.missing, ...bases.missing],
    unused: [...images.unused, ...bases.unused],
  };
}

/** What is wrong with a pin; undefined where it fits. */
function faultOf(
  image: Found,
  pin: LockedImage | undefined,
  wanted: readonly string[],
): string | undefined {
  if (!pin) return '';
  if (pin.archive !== image.archive) {
    return pin.archive ? `pinned out of ${pin.archive}` : 'pinned out of a registry';
  }
  if (pin.repository !== image.repository) return 'pinned under another name';
  const lacking = wanted.filter((platform) => pin.manifests[platform] === undefined);
  return lacking.length === 0 ? undefined : `not pinned for ${lacking.join(', ')}`;
}

/**
 * Throws LOCK_DRIFT where something is not pinned, naming it, where it is referred to, and the way to
 * pin it.
 *
 * @param command what pins it
 */
export function requirePinned({ missing }: Drift, command: string): void {
  if (missing.length === 0) return;
  const lines = missing.map(
    ({ image: { reference, origins }, why }) =>
      `  ${reference}  (${originText(origins[0])}${why && `; ${why}`})`,
  );
  throw new OciError(
    'LOCK_DRIFT',
    `${lockfileName} does not pin ${missing.length} of the context's images:\n${lines.join('\n')}`,
    { hint: `Run \`${command}\` and commit the lockfile.` },
  );
}

/** Throws LOCK_DRIFT where the lockfile pins what nothing refers to any more. */
export function requireUsed({ unused }: Drift, command: string): void {
  if (unused.length === 0) return;
  const lines = unused.map((reference) => `  ${reference}`);
  throw new OciError(
    'LOCK_DRIFT',
    `${lockfileName} pins what nothing refers to any more:\n${lines.join('\n')}`,
    { hint: `Run \`${command}\` and commit the lockfile.` },
  );
}

/** The command that writes the lockfile of a context, as it was asked for, for a shell. */
export function lockCommand(given: {
  readonly context: string;
  readonly file?: string | undefined;
  readonly platform: readonly string[];
  readonly buildArg?: readonly string[];
  readonly bare?: boolean;
}): string {
  const { context, file, platform, buildArg = [], bare = false } = given;
  const flags = [
    ...(bare ? ['--bare'] : []),
    ...(file === undefined ? [] : ['--file', file]),
    ...platform.flatMap((each) => ['--platform', each]),
    ...buildArg.flatMap((each) => ['--build-arg', each]),
  ];
  return ['cluster-image', 'lock', context, ...flags].map(quoted).join(' ');
}

function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** Throws INPUT_INVALID where the context means images that cannot be told. */
export function requireResolved({ unresolved }: Discovery): void {
  if (unresolved.length === 0) return;
  const lines = unresolved.map(
    ({ text, reason, origin }) => `  ${originText(origin)}: ${text ? `${text}: ` : ''}${reason}`,
  );
  throw new OciError(
    'INPUT_INVALID',
    `${formatCount(unresolved.length, 'image reference')} cannot be resolved:\n${lines.join('\n')}`,
    {
      hint: 'Mend them; or say in cluster-image.json what they stand for (resolve), or that they are nothing to pack (ignore).',
    },
  );
}

/**
 * Tells of what looks like an image and is not packed, so that nobody has to find out on the cluster.
 *
 * Throws INPUT_INVALID, with all of it, where that has to be decided.
 */
export function tellSuspects(
  { suspects }: Discovery,
  { strict = false }: Pick<DiscoverSettings, 'strict'>,
  context: Context,
): void {
  if (suspects.length === 0) return;
  const lines = suspects.map(
    ({ text, reason, origins }) => `  ${text}  (${originText(origins[0])}, ${reason})`,
  );
  const message = `${formatCount(suspects.length, 'text looks', 'texts look')} like an image and nobody has said whether to pack it`;
  const hint = 'Name them under accept or ignore in cluster-image.json.';
  if (strict) throw new OciError('INPUT_INVALID', `${message}:\n${lines.join('\n')}`, { hint });
  const [first = '', ...others] = suspects.map(({ text }) => text);
  const rest = others.length === 0 ? '' : ` and ${others.length} more`;
  context.report({
    type: 'warning',
    message: `${message}: ${first || 'a container without image'}${rest}`,
    hint: `${hint} \`cluster-image discover\` lists them`,
  });
}

export function originText(origin: Origin | undefined): string {
  if (!origin) return 'unknown';
  const place = origin.line === undefined ? origin.file : `${origin.file}:${origin.line}`;
  const via = origin.via === 'FROM' ? undefined : origin.via;
  const owner = origin.application && `for ${origin.application}`;
  return [place, via, owner].filter(Boolean).join(', ');
}
