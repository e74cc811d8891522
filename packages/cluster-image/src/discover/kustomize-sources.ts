import { nameOf, OciError, parseReference, type Tree } from '@cluster-image/oci';
import { followed } from '../follow.ts';
import { type Findings, nothing, type Origin } from './discovery.ts';
import { findInDocuments } from './documents.ts';
import { findIn } from './find-files.ts';
import type { ImageOverride } from './kustomization.ts';
import type { KustomizationRoot } from './kustomize-plan.ts';
import type { SearchRules } from './search-rules.ts';

/**
 * Where in its files a kustomization has what was found in the manifests it is built to: an image is
 * from an entry of `images` that makes it, or it stands in a file. Undefined where several places, or
 * none, can be meant; kustomize itself tells files at most, and only to those who ask for it in theirs.
 */
export async function kustomizeSources(
  tree: Tree,
  { kustomizations, files }: KustomizationRoot,
  found: Findings,
  rules: SearchRules,
): Promise<(text: string) => Origin | undefined> {
  const sought = new Set(textsOf(found).map(({ text }) => text));
  const places = new Map<string, Map<string, Origin>>();
  const add = (text: string, { file, line }: Origin): void => {
    if (!sought.has(text) || line === undefined) return;
    const known = places.get(text) ?? new Map<string, Origin>();
    places.set(text, known.set(`${file}:${line}`, { file, line }));
  };
  for (const { file, overrides } of kustomizations) {
    for (const override of overrides) {
      for (const { reference } of found.images) {
        if (isMadeBy(reference, override)) add(reference, { file, line: override.line });
      }
    }
  }
  const sources = [...kustomizations.map(({ file }) => file), ...files];
  for (const file of sought.size > 0 ? sources : []) {
    for (const { text, origin } of textsOf(await findInFile(tree, file, rules))) add(text, origin);
  }
  return (text) => {
    const [only, ...others] = places.get(text)?.values() ?? [];
    return others.length === 0 ? only : undefined;
  };
}

/** Every text that was found, as what it was, and each place of it. */
function textsOf({ images, suspects, unresolved }: Findings): readonly TextAt[] {
  return [
    ...images.flatMap(({ reference: text, origins }) =>
      origins.map((origin) => ({ text, origin })),
    ),
    ...suspects.flatMap(({ text, origins }) => origins.map((origin) => ({ text, origin }))),
    ...unresolved.filter(({ text }) => text !== ''),
  ];
}

interface TextAt {
  readonly text: string;
  readonly origin: Origin;
}

async function findInFile(tree: Tree, path: string, rules: SearchRules): Promise<Findings> {
  const entry = /\.(?:ya?ml|json)$|(?:^|\/)Kustomization$/.test(path)
    ? await followed(tree, path)
    : undefined;
  // A link would count what it leads to twice.
  return entry?.path === path
    ? findIn(tree, entry, (text) => findInDocuments(text, path, { rules }))
    : nothing;
}

function isMadeBy(reference: string, { name, tag, digest }: ImageOverride): boolean {
  const made = parseReference(reference);
  try {
    if (nameOf(made) !== nameOf(parseReference(name))) return false;
  } catch (error) {
    if (error instanceof OciError) return false;
    throw error;
  }
  // Where both are given, the digest is what counts.
  return digest === undefined ? tag === undefined || made.tag === tag : made.digest === digest;
}
