import { posix } from 'node:path';
import { createProjectGraphAsync, readNxJson, type Tree, workspaceRoot } from '@nx/devkit';
import { type Context, lockStep, lockVerb, OciError } from 'cluster-image';
import { addToConfiguration } from './add-chart.ts';
import { builtHere, type Entry, entryOf, type NamedImage, namedImages } from './named-images.ts';

/** What Nx is told of a workspace that is not in step. */
interface OutOfSync {
  readonly outOfSyncMessage: string;
  readonly outOfSyncDetails: string[];
  /** Runs after the changes are written; what it throws fails `nx sync`. */
  readonly callback?: () => void;
}

const executor = '@cluster-image/nx:lock-images';

/**
 * Keeps every context in step with what it refers to: images that a project builds under that very name
 * come from that project, and the lockfile pins the others. What is pinned stays pinned; registries are
 * asked only for what is not.
 *
 * A context that cannot be looked into does not keep the others from being mended, but has `nx sync` fail.
 *
 * Throws where there is such a context and nothing to mend.
 */
export default async function sync(tree: Tree): Promise<OutOfSync | undefined> {
  const { nodes } = await createProjectGraphAsync();
  const images = await namedImages(nodes, readNxJson(tree) ?? {});
  const contexts = Object.entries(nodes).flatMap(([name, { data }]) =>
    Object.values(data.targets ?? {})
      .filter((target) => target.executor === executor)
      .map(({ options }) => ({ name, options })),
  );
  const drifts: string[] = [];
  const failures: string[] = [];
  for (const { name, options } of contexts) {
    try {
      const others = images.filter(({ project }) => project !== name);
      const found = await syncContext(tree, options ?? {}, others);
      drifts.push(...found.map((why) => `${name}: ${why}`));
    } catch (error) {
      failures.push(`${name}: ${told(error)}`);
    }
  }
  if (drifts.length === 0) return failing(failures);
  return {
    outOfSyncMessage:
      'Contexts refer to images that are neither pinned nor known to be built here.',
    outOfSyncDetails: [...drifts, ...failures],
    // Nx takes what is to be mended or an error, and shows the details only to `nx sync:check`.
    callback: () => failing(failures),
  };
}

/** Throws what there is to tell. */
function failing(failures: readonly string[]): undefined {
  if (failures.length > 0) {
    throw new Error(['contexts that could not be synced:', ...failures].join('\n'));
  }
}

/** What went wrong, and the next step. */
function told(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const hint = error instanceof OciError ? error.hint : undefined;
  return hint === undefined ? error.message : `${error.message}\n${hint}`;
}

/** Mends one context, and tells what was wrong with it. */
async function syncContext(
  tree: Tree,
  options: unknown,
  images: readonly NamedImage[],
): Promise<readonly string[]> {
  const environment = { cwd: workspaceRoot, variables: process.env };
  const given = lockVerb.options.parse(options);
  const entries = new Map<string, Entry>();
  const { drift, text } = await lockStep(given, environment, silent, (references) => {
    for (const image of builtHere(references, images)) {
      entries.set(image.name, entryOf(image, given.context));
    }
    return Object.fromEntries([...entries].map(([name, entry]) => [name, locationIn(entry)]));
  });
  if (entries.size > 0) {
    addToConfiguration(tree, given.context, 'workspaceImages', Object.fromEntries(entries));
  }
  if (text !== undefined) tree.write(posix.join(given.context, 'cluster-image.lock.json'), text);
  const news = [...entries].map(([name, entry]) => `${name} is built at ${locationIn(entry)}`);
  return drift === undefined ? news : [...news, drift];
}

function locationIn(entry: Entry): string {
  return typeof entry === 'string' ? entry : entry.from;
}

/** Nx shows nothing while it syncs, and may do so in its daemon. */
const silent: Context = {
  report() {},
  signal: new AbortController().signal,
  transfer: (job) => job(),
};
