import { parse, Range, type SemVer, satisfies } from 'semver';

/** Versions of charts come with and without a `v` in front. */
const loose = { loose: true } as const;

/** Whether a text is a version or a range of versions. */
export function isRange(text: string): boolean {
  return rangeOf(text) !== undefined;
}

/** Whether a text is one version, written out. */
export function isVersion(text: string): boolean {
  return parse(text, loose) !== null;
}

/** Whether two texts are the same version, with or without a `v` in front. */
export function isSameVersion(one: string, other: string): boolean {
  const [a, b] = [parse(one, loose), parse(other, loose)];
  return one === other || (a !== null && b !== null && order(a, b) === 0);
}

/** Whether a version is the one, or in the range, that is wanted; the stable ones by default. */
export function fits(version: string, wanted = '*'): boolean {
  if (isVersion(wanted)) return isSameVersion(version, wanted);
  const range = rangeOf(wanted);
  return range !== undefined && satisfies(version, range, range);
}

/**
 * The newest version that fits; undefined where none does. Those that are no semantic versions do not
 * count, and those before a release only where the range names such a one, as with helm.
 */
export function newest(versions: readonly string[], wanted?: string): string | undefined {
  const fitting = versions
    .filter((version) => fits(version, wanted))
    .flatMap((text) => {
      const version = parse(text, loose);
      return version ? [{ text, version }] : [];
    });
  return fitting.reduce<{ text: string; version: SemVer } | undefined>(
    (best, one) => (best && order(best.version, one.version) >= 0 ? best : one),
    undefined,
  )?.text;
}

/** By what is built as well, which versions are not ordered by otherwise. */
function order(one: SemVer, other: SemVer): number {
  return one.compare(other) || one.compareBuild(other);
}

/** As helm has them: `,` is another way to write that both have to hold. */
function rangeOf(text: string): Range | undefined {
  // A hyphen with something right behind a number begins what is before a release.
  const includePrerelease = /[\dxX*]-[\w.]/.test(text);
  try {
    return new Range(text.replaceAll(',', ' '), { ...loose, includePrerelease });
  } catch {
    return undefined;
  }
}
