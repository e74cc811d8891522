import { posix } from 'node:path';
import { compareBytes, OciError, type Tree, type TreeEntry } from '@cluster-image/oci';
import { reached } from '../follow.ts';
import type { Unresolved } from './discovery.ts';
import { type Kustomization, kustomizationNames } from './kustomization.ts';
import { type Visit, type VisitedDirectory, visitKustomization } from './kustomize-visit.ts';
import type { KustomizeSettings } from './settings.ts';

/** What is to be built, and what thereby is no manifest by itself. */
export interface KustomizePlan {
  readonly roots: readonly KustomizationRoot[];
  /** The files of kustomizations, and those that they refer to. */
  readonly covered: ReadonlySet<string>;
}

/** A kustomization to build, with all that it is made of. */
export interface KustomizationRoot {
  /** Relative to the context; empty for the context itself. */
  readonly directory: string;
  readonly file: string;
  readonly kustomizations: readonly Kustomization[];
  /** What they refer to, as far as that is a file of the context. */
  readonly files: readonly string[];
  /** Why it must not be built. */
  readonly refused: readonly Unresolved[];
}

/**
 * Finds the kustomizations below `manifests/` that no other refers to, and those that settings name.
 * Reads them and what they refer to, and fetches nothing. Throws INPUT_INVALID where settings name what
 * is no kustomization.
 *
 * @param manifests what the context has below `manifests/`
 */
export async function planKustomizations(
  context: Tree,
  manifests: readonly TreeEntry[],
  settings: KustomizeSettings = {},
): Promise<KustomizePlan> {
  const tree = lookedAt(context, manifests);
  const named = await Promise.all((settings.overlays ?? []).map((path) => overlayAt(tree, path)));
  const found = candidates(manifests);
  const visited = await visitAll(tree, [...found, ...named], settings.remote === true);
  for (const path of named) if (!isKustomization(visited.get(path))) throw noOverlay(path);
  const own = found.filter((path) => isKustomization(visited.get(path)));
  return {
    roots: rootsOf(new Set(named), own, visited).map((paths) =>
      rootOf(paths.flatMap((path) => visited.get(path) ?? [])),
    ),
    covered: new Set(
      [...visited.values()].flatMap(({ kustomizations, files }) => [
        ...kustomizations.map(({ file }) => file),
        ...files,
      ]),
    ),
  };
}

/** A tree of which all that is below `manifests/` is known already. */
function lookedAt(tree: Tree, manifests: readonly TreeEntry[]): Tree {
  const known = new Map(manifests.map((entry) => [entry.path, entry]));
  const isKnown = (path: string): boolean => path.startsWith('manifests/');
  return {
    ...tree,
    entry: async (path) => (isKnown(path) ? known.get(path) : tree.entry(path)),
  };
}

/** The directories that have a file of the right name. */
function candidates(entries: readonly TreeEntry[]): readonly string[] {
  const files = entries.filter(
    ({ type, path }) => type !== 'directory' && kustomizationNames.includes(posix.basename(path)),
  );
  return [...new Set(files.map(({ path }) => posix.dirname(path)))].sort(compareBytes);
}

/** Where an overlay is in the end, as kustomize sees it. */
async function overlayAt(tree: Tree, path: string): Promise<string> {
  const entry = await reached(tree, path);
  if (entry !== undefined && entry !== 'outside') return entry.path;
  throw noOverlay(path);
}

function noOverlay(path: string): OciError {
  return new OciError(
    'INPUT_INVALID',
    `cluster-image.json: kustomize.overlays: there is no kustomization in ${JSON.stringify(path)}`,
    { hint: 'Name directories of the context that have a kustomization.yaml.' },
  );
}

/** Those that must not be read are kustomizations, too. */
function isKustomization(visited: VisitedDirectory | undefined): boolean {
  return visited !== undefined && visited.kustomizations.length + visited.refused.length > 0;
}

/** Visits directories and all that they refer to, by their paths. */
async function visitAll(
  tree: Tree,
  directories: readonly string[],
  isRemoteAllowed: boolean,
): Promise<ReadonlyMap<string, VisitedDirectory>> {
  const visited = new Map<string, VisitedDirectory>();
  const seen = new Set<string>();
  const ahead = directories.map((directory): Visit => ({ directory, kind: 'resource' }));
  for (let visit = ahead.pop(); visit; visit = ahead.pop()) {
    const { directory, kind } = visit;
    const key = JSON.stringify([kind, directory]);
    if (seen.has(key)) continue;
    seen.add(key);
    const found = await visitKustomization(tree, visit, isRemoteAllowed);
    const before = visited.get(directory);
    // As plugins it has more that counts than as resources.
    if (!before || kind === 'plugin') visited.set(directory, found);
    ahead.push(...found.below);
  }
  return visited;
}

/**
 * For each kustomization to build, the directories of all that it is made of, its own first. Of those
 * in a circle that nothing else refers to, the first one is built: kustomize says what is wrong.
 */
function rootsOf(
  named: ReadonlySet<string>,
  found: readonly string[],
  visited: ReadonlyMap<string, VisitedDirectory>,
): readonly (readonly string[])[] {
  const referred = new Set([...visited.values()].flatMap(pathsBelow));
  const first = new Set([...named, ...found.filter((path) => !referred.has(path))]);
  const roots = [...first].map((path) => reach(path, visited));
  const known = new Set(roots.flat());
  for (const path of found) {
    if (known.has(path)) continue;
    const circle = reach(path, visited);
    for (const member of circle) known.add(member);
    roots.push(circle);
  }
  return roots;
}

function reach(from: string, visited: ReadonlyMap<string, VisitedDirectory>): readonly string[] {
  const seen = new Set([from]);
  // What is added to a set while it is walked is walked as well.
  for (const path of seen) for (const inner of pathsBelow(visited.get(path))) seen.add(inner);
  return [...seen];
}

function pathsBelow(visited: VisitedDirectory | undefined): readonly string[] {
  return (visited?.below ?? []).map(({ directory }) => directory);
}

function rootOf(all: readonly VisitedDirectory[]): KustomizationRoot {
  const [first] = all;
  const refused = all.flatMap((visited) => visited.refused);
  return {
    directory: first?.directory ?? '',
    file: first?.kustomizations[0]?.file ?? refused[0]?.origin.file ?? '',
    kustomizations: all.flatMap(({ kustomizations }) => kustomizations),
    files: [...new Set(all.flatMap(({ files }) => files))],
    refused,
  };
}
