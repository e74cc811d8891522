import { nameOf, OciError, parseReference, wholeReference } from '@cluster-image/oci';
import { nearest } from '../command/nearest.ts';
import type { Discovery } from './discovery.ts';

/**
 * What was found of one image: by its reference in any spelling, by its name alone or the end of it
 * where one only has that, or by the text of what looks like an image or cannot be resolved. Throws
 * NOT_FOUND for what is not there, with what is near, and USAGE where several may be meant.
 */
export function asked(text: string, found: Discovery): Discovery {
  const known = textsOf(found);
  const meant = meantBy(text, known);
  const [one, ...others] = meant;
  if (one === undefined) throw notThere(text, known);
  if (others.length > 0) {
    throw new OciError('USAGE', `${text} may be any of ${meant.join(', ')}`, {
      hint: 'Name one of them in full.',
    });
  }
  return {
    images: found.images.filter(({ reference }) => reference === one),
    bases: found.bases.filter(({ reference }) => reference === one),
    suspects: found.suspects.filter((suspect) => suspect.text === one),
    unresolved: found.unresolved.filter((unresolved) => unresolved.text === one),
  };
}

function textsOf({ images, bases, suspects, unresolved }: Discovery): readonly string[] {
  const references = [...images, ...bases].map(({ reference }) => reference);
  const texts = [...suspects, ...unresolved].map(({ text }) => text);
  return [...new Set([...references, ...texts])].filter((text) => text !== '');
}

function meantBy(text: string, known: readonly string[]): readonly string[] {
  const wanted = wholeReference(text);
  if (known.includes(text)) return [text];
  if (wanted !== undefined && known.includes(wanted)) return [wanted];
  const isVersioned = /:[^/]*$|@/.test(text);
  return known.filter((one) => {
    const name = isVersioned ? wholeReference(one) : nameIn(one);
    return name !== undefined && (name === nameIn(text) || name.endsWith(`/${text}`));
  });
}

function notThere(text: string, known: readonly string[]): OciError {
  const name = nameIn(text);
  const sameName = known.filter((one) => name !== undefined && nameIn(one) === name);
  const near = sameName.length > 0 ? sameName : [nearest(text, known) ?? []].flat();
  const perhaps = near.length === 0 ? '' : `; ${near.join(' or ')} is meant, perhaps`;
  return new OciError('NOT_FOUND', `the context does not refer to ${text}${perhaps}`, {
    hint: '`cluster-image discover` lists what it refers to.',
  });
}

/** Without tag and digest; undefined for what is no reference. */
function nameIn(text: string): string | undefined {
  const reference = wholeReference(text);
  return reference && nameOf(parseReference(reference));
}
