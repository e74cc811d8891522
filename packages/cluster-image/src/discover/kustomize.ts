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

/**
 * The images in what kustomizations are built to. One that cannot or must not be built is unresolved;
 * the others still count.
 */
export async function findInKustomizations(
  tree: Tree,
  { roots }: KustomizePlan,
  build: BuildKustomization,
  rules: SearchRules,
): Promise<Findings> {
  const queue = new PQueue({ concurrency: buildsAtOnce });
  const found = roots.map((root) => queue.add(() => findInRoot(tree, root, build, rules)));
  return merge(await Promise.all(found));
}

async function findInRoot(
  tree: Tree,
  root: KustomizationRoot,
  build: BuildKustomization,
  rules: SearchRules,
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
  const origins = (text: string): readonly Origin[] => [{ file, ...sourceOf(text), via }];
  return {
    images: found.images.map((image) => ({ ...image, origins: origins(image.reference) })),
    suspects: found.suspects.map((suspect) => ({ ...suspect, origins: origins(suspect.text) })),
    unresolved: found.unresolved.map((entry) => ({
      ...entry,
      origin: { file, ...sourceOf(entry.text), via },
    })),
  };
}
