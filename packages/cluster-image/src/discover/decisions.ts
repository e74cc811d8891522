import { OciError, wholeReference } from '@cluster-image/oci';
import { type Findings, merge, nothing, type Suspect, type Unresolved } from './discovery.ts';
import { isLike } from './patterns.ts';
import type { DiscoverSettings } from './settings.ts';

/** Texts that a pattern may stand for. */
type Matches = (...texts: readonly string[]) => boolean;

/**
 * What people have decided about findings: which suspects are images, what texts stand for that cannot
 * be resolved, and what is left out.
 *
 * @param listed what `.sealignore` lists: references in any spelling; and texts that are no
 *   references, and files of which nothing has to be resolved, as they are
 */
export function decisions(
  { accept = [], ignore = [], resolve = {} }: DiscoverSettings,
  listed: readonly string[],
): (found: Findings) => Findings {
  const isListed = oneOf(listed);
  const isUnwanted = matching(ignore);
  const isIgnored: Matches = (...texts) => isListed(...texts) || isUnwanted(...texts);
  const isAccepted = matching(accept);
  return (found) => {
    const { images, suspects, unresolved } = merge([
      { ...nothing, images: found.images },
      ...found.suspects.map((suspect) => decided(suspect, resolve, isAccepted)),
      ...found.unresolved.map((entry) => resolved(entry, resolve)),
    ]);
    const known = new Set(images.map(({ reference }) => reference));
    return {
      // What is listed as an archive is not filtered, as with sealos: it is there.
      images: images.filter(
        ({ reference, archive, origins }) =>
          archive?.includes('-archive:') ||
          !(isIgnored(reference) || origins.every(({ file }) => isUnwanted(file))),
      ),
      suspects: suspects.filter(
        ({ text, origins }) =>
          !isIgnored(text) && !known.has(text) && !origins.every(({ file }) => isIgnored(file)),
      ),
      unresolved: unresolved.filter(
        ({ text, origin }) => !isIgnored(text) && !isIgnored(origin.file),
      ),
    };
  };
}

/** What looks like an image, and somebody has said whether it is one. */
function decided(suspect: Suspect, resolve: Resolve, isAccepted: Matches): Findings {
  const { text, origins } = suspect;
  const meant = meantBy(text, resolve);
  if (meant) return { ...nothing, images: meant.map((reference) => ({ reference, origins })) };
  const reference = wholeReference(text);
  if (reference === undefined || !isAccepted(text, reference)) {
    return { ...nothing, suspects: [suspect] };
  }
  return { ...nothing, images: [{ reference, origins }] };
}

function resolved(entry: Unresolved, resolve: Resolve): Findings {
  const meant = meantBy(entry.text, resolve);
  if (!meant) return { ...nothing, unresolved: [entry] };
  const origins = [entry.origin];
  return { ...nothing, images: meant.map((reference) => ({ reference, origins })) };
}

type Resolve = Readonly<Record<string, string | string[]>>;

/** The images that somebody has said a text stands for. Throws INPUT_INVALID where one is none. */
function meantBy(text: string, resolve: Resolve): readonly string[] | undefined {
  if (!Object.hasOwn(resolve, text)) return undefined;
  return [resolve[text] ?? []].flat().map((image) => {
    const reference = wholeReference(image);
    if (reference !== undefined) return reference;
    const where = `cluster-image.json: resolve.${JSON.stringify(text)}`;
    throw new OciError(
      'INPUT_INVALID',
      `${where}: ${JSON.stringify(image)} is not an image reference`,
    );
  });
}

function oneOf(listed: readonly string[]): Matches {
  const known = new Set(listed.flatMap((text) => [text, normalized(text)]));
  return (...texts) => texts.some((text) => known.has(text));
}

/** References may be matched in the short forms that they are written in. */
function matching(patterns: readonly string[]): Matches {
  const all = [...new Set(patterns.flatMap((pattern) => [pattern, full(pattern)]))];
  return (...texts) => texts.some((text) => all.some((pattern) => isLike(text, pattern)));
}

/** `nginx:*` is `docker.io/library/nginx:*`; a pattern without stars is a reference. */
function full(pattern: string): string {
  const reference = wholeReference(pattern);
  if (reference !== undefined) return reference;
  const [first = '', ...others] = pattern.split('/');
  if (others.length === 0) return `docker.io/library/${pattern}`;
  return /[.:*]|^localhost$/.test(first) ? pattern : `docker.io/${pattern}`;
}

function normalized(text: string): string {
  // A list may say where on the machine an image is.
  const name = text.replace(/^(?:docker-daemon|containers-storage):(?!\d+\/)/, '');
  return wholeReference(name) ?? text;
}
