import type { Tree } from '@cluster-image/oci';
import PQueue from 'p-queue';
import { type Findings, merge, nothing, type Origin } from './discovery.ts';
import { findInDocuments } from './documents.ts';
import type { KustomizationRoot, KustomizePlan } from './kustomize-plan.ts';
import { kustomizeSources } from './kustomize-sources.ts';
import type { SearchRules } from './search-rules.ts';

/**
 * Builds the kustomization in a directory of the context to the manifests it stands for. Throws TOOL
 * where nothing is there that could do so.
 */
export type BuildKustomization = (directory: string) => Promise<BuiltKustomization>;

export type BuiltKustomization =
  | { readonly type: 'built'; readonly manifests: string }
  | {
      readonly type: 'failed';
      /** What is wrong, on one line. */
      readonly reason: string;
    };

/** How many kustomizations are built at a time. */
const buildsAtOnce = 4;

export interface FindInKustomizations {
  readonly build: BuildKustomization;
  readonly rules: SearchRules;
  /** Whether origins tell the line of what was built. */
  readonly explain?: boolean | undefined;
}

/**
 * The images in what kustomizations are built to. One that cannot or must not be built is unresolved;
 * the others still count.
 */
export async function findInKustomizations(
  tree: Tree,
  { roots }: KustomizePlan,
  options: FindInKustomizations,
): Promise<Findings> {
  const queue = new PQueue({ concurrency: buildsAtOnce });
  const found = roots.map((root) => queue.add(() => findInRoot(tree, root, options)));
  return merge(await Promise.all(found));
}

async function findInRoot(
  tree: Tree,
  root: KustomizationRoot,
  { build, rules, explain }: FindInKustomizations,
): Promise<Findings> {
  const { directory, file, refused } = root;
  if (refused.length > 0) return { ...nothing, unresolved: refused };
  const via = `kustomize build ${directory || '.'}`;
  const built = await build(directory);
  if (built.type === 'failed') {
    const origin = { file, via };
    return { ...nothing, unresolved: [{ text: '', reason: built.reason, origin }] };
  }
  const found = findInDocuments(built.manifests, file, { rules });
  const sourceOf = await kustomizeSources(tree, root, found, rules);
  const originOf = (text: string, { line }: Origin): Origin => ({
    file,
    ...sourceOf(text),
    via,
    ...(explain && line !== undefined && { rendered: line }),
  });
  const originsOf = (text: string, origins: readonly Origin[]): readonly Origin[] =>
    origins.map((origin) => originOf(text, origin));
  return {
    images: found.images.map((image) => ({
      ...image,
      origins: originsOf(image.reference, image.origins),
    })),
    suspects: found.suspects.map((suspect) => ({
      ...suspect,
      origins: originsOf(suspect.text, suspect.origins),
    })),
    unresolved: found.unresolved.map((entry) => ({
      ...entry,
      origin: originOf(entry.text, entry.origin),
    })),
  };
}
