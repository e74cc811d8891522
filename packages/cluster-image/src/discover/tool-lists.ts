import type { Findings } from './discovery.ts';
import { findInDocuments } from './documents.ts';
import { findInList } from './lists.ts';
import type { SearchRules } from './search-rules.ts';

/** Files beside the build file in which other tools have lists of images. */
export const toolLists = [
  'zarf.yaml',
  'hauler-manifest.yaml',
  'hauler-manifest.yml',
  'hauler.yaml',
  'hauler.yml',
] as const;

/**
 * What is read below `images/`: all of `images/shim/`, and directly in it documents, and ImagesLocks by
 * the names they have in charts.
 */
export const belowImages = /^images\/(?:shim\/.|[^/]+\.(?:ya?ml|json)$|\.?images[-.]lock$)/i;

/**
 * A file of `images/`: a list with one reference a line, or documents such as zarf packages, hauler
 * manifests and ImagesLocks, of which `known-objects.ts` knows where they have images.
 */
export function findBelowImages(rules: SearchRules): (text: string, file: string) => Findings {
  return (text, file) =>
    file.startsWith('images/shim/') && !isDocument(text)
      ? findInList(text, file)
      : findInDocuments(text, file, { rules });
}

/** No reference has a space in it. */
function isDocument(text: string): boolean {
  return /^\s*(?:\{\s*)?"?kind"?:\s+\S/m.test(text);
}
