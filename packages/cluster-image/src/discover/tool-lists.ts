import { type Findings, nothing, type Suspect, together } from './discovery.ts';
import { findInDocuments } from './documents.ts';
import { findInList } from './lists.ts';
import { searchRules } from './search-rules.ts';
import type { SearchRule } from './settings.ts';
import { readDocuments, scalarsIn, textAt, type Value } from './values.ts';

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

const zarfKinds = ['ZarfPackageConfig', 'ZarfInitConfig'];

/** Where they name what is fetched from elsewhere and brings images: keys from the top, by kind. */
const fetched: ReadonlyMap<string, readonly string[]> = new Map([
  ['Charts', ['spec.charts.repoURL']],
  ...zarfKinds.map((kind): [string, readonly string[]] => [
    kind,
    [
      'components.charts.url',
      'components.import.url',
      'components.manifests.files',
      'components.manifests.kustomizations',
    ],
  ]),
]);

/** Where the lists have images. */
const listRules: readonly SearchRule[] = [
  // It has digests of platforms beside, none of which is what a tag means.
  { kind: 'ImagesLock', path: 'images.image', value: 'image' },
  { group: 'content.hauler.cattle.io', kind: 'Images', path: 'spec.images.name', value: 'image' },
  ...zarfKinds.flatMap((kind): readonly SearchRule[] => [
    { kind, path: 'components.images', value: 'image' },
    { kind, path: 'metadata', value: 'none' },
  ]),
  ...[...fetched].flatMap(([kind, paths]) =>
    paths.map((path): SearchRule => ({ kind, path, value: 'none' })),
  ),
];

/**
 * A file of `images/` or of `toolLists`: a list with one reference a line, where it is in `images/shim/`;
 * else documents such as zarf packages, hauler manifests and ImagesLocks. What they fetch from elsewhere
 * is suspected of having images.
 *
 * @param own rules of the configuration, which go first
 */
export function findInToolList(
  own: readonly SearchRule[] = [],
): (text: string, file: string) => Findings {
  const rules = searchRules([...own, ...listRules]);
  return (text, file) =>
    file.startsWith('images/shim/') && !isDocument(text)
      ? findInList(text, file)
      : together([findInDocuments(text, file, { rules }), findFetched(text, file)]);
}

/** No reference has a space in it. */
function isDocument(text: string): boolean {
  return /^\s*(?:\{\s*)?"?kind"?:\s+\S/m.test(text);
}

function findFetched(text: string, file: string): Findings {
  const documents = text.includes('://') ? readDocuments(text, (line) => ({ file, line })) : [];
  return { ...nothing, suspects: documents.flatMap(fetchedBy) };
}

/** What is named by a path is in the context, and searched where it is. */
function fetchedBy(document: Value): readonly Suspect[] {
  const kind = document.kind === 'map' ? textAt(document, 'kind') : undefined;
  const places = fetched.get(kind ?? '') ?? [];
  return scalarsIn(document).flatMap(({ scalar: { text, key, origin } }) => {
    const isFetched = text.includes('://') && places.includes(key.replace(/\[\d+\]/g, ''));
    const reason = 'from elsewhere, and not searched for images';
    return isFetched ? [{ text, reason, origins: [origin] }] : [];
  });
}
