import { formatReference, OciError, parseReference } from '@cluster-image/oci';
import { Minimatch } from 'minimatch';
import { type Findings, type Found, merge, nothing, type Unresolved } from './discovery.ts';
import type { DiscoverSettings } from './settings.ts';

/** Texts that a pattern may stand for. */
type Matches = (...texts: readonly string[]) => boolean;

/**
 * What people have decided about findings: which suspects are images, what texts that cannot be
 * resolved stand for, and what is left out.
 *
 * @param listed what `.sealignore` lists: references in any spelling; and texts that are no
 *   references, and files of which nothing has to be resolved, as they are
 */
export function decisions(
  { accept = [], ignore = [], resolve = {} }: DiscoverSettings,
  listed: readonly string[],
): (found: Findings) => Findings {
  const isListed = oneOf(listed);
  const isIgnoredByPattern = matching(ignore);
  const isIgnored: Matches = (...texts) => isListed(...texts) || isIgnoredByPattern(...texts);
  const isAccepted = matching(accept);
  return (found) => {
    const decided = found.unresolved.map((entry) => resolved(entry, resolve));
    const accepted = found.suspects.filter(({ text }) => isAccepted(text)).map(acceptedAs);
    const { images, suspects, unresolved } = merge([
      { ...found, suspects: [], unresolved: [] },
      { ...nothing, suspects: found.suspects.filter(({ text }) => !isAccepted(text)) },
      ...decided,
      ...accepted,
    ]);
    const known = new Set(images.map(({ reference }) => reference));
    return {
      // What is listed as an archive is not filtered, as with sealos: it is there.
      images: images.filter(
        ({ reference, archive }) => archive?.includes('-archive:') || !isIgnored(reference),
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

/** A text that somebody has said the images of. */
function resolved(
  entry: Unresolved,
  resolve: Readonly<Record<string, string | string[]>>,
): Findings {
  const { text, origin } = entry;
  if (!Object.hasOwn(resolve, text)) return { ...nothing, unresolved: [entry] };
  const images = [resolve[text] ?? []].flat();
  return {
    ...nothing,
    images: images.map((image) => ({
      reference: configured(image, `resolve ${JSON.stringify(text)}`),
      origins: [origin],
    })),
  };
}

function acceptedAs({ text, origins }: Findings['suspects'][number]): Findings {
  const image: Found = { reference: configured(text, 'accept'), origins };
  return { ...nothing, images: [image] };
}

/** Throws INPUT_INVALID for what is no reference. */
function configured(text: string, option: string): string {
  try {
    return formatReference(parseReference(text));
  } catch (error) {
    if (!(error instanceof OciError)) throw error;
    throw new OciError('INPUT_INVALID', `cluster-image.json: ${option}: ${error.message}`, {
      cause: error,
    });
  }
}

function oneOf(listed: readonly string[]): Matches {
  const known = new Set(listed.flatMap((text) => [text, normalized(text)]));
  return (...texts) => texts.some((text) => known.has(text));
}

function matching(patterns: readonly string[]): Matches {
  const options = { dot: true, noext: true, nonegate: true, nocomment: true, nobrace: true };
  const compiled = patterns.map((pattern) => new Minimatch(normalized(pattern), options));
  return (...texts) => texts.some((text) => compiled.some((pattern) => pattern.match(text)));
}

function normalized(text: string): string {
  // A list may say where on the machine an image is.
  const name = text.replace(/^(?:docker-daemon|containers-storage):(?!\d+\/)/, '');
  try {
    return formatReference(parseReference(name));
  } catch {
    return text;
  }
}
