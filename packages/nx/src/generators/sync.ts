import { posix } from 'node:path';
import { createProjectGraphAsync, type Tree, workspaceRoot } from '@nx/devkit';
import { type Context, codeOf, discoverVerb, lockfileText, lockVerb } from 'cluster-image';
import { addToConfiguration } from './add-chart.ts';
import { builtHere, type NamedImage, namedImages } from './named-images.ts';

/** What Nx is told of a workspace that is not in step. */
interface OutOfSync {
  readonly outOfSyncMessage: string;
  readonly outOfSyncDetails: string[];
}

const executor = '@cluster-image/nx:lock-images';

/**
 * Keeps every context in step with what it refers to: images that a project builds under that very name
 * come from that project, and the lockfile pins the others. What is pinned stays pinned; registries are
 * asked only for what is not.
 *
 * Throws where it could not look into all of the contexts and has nothing else to tell.
 */
export default async function sync(tree: Tree): Promise<OutOfSync | undefined> {
  const { nodes } = await createProjectGraphAsync();
  const images = namedImages(nodes);
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
      failures.push(`${name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  if (drifts.length === 0 && failures.length > 0) throw new Error(failures.join('\n'));
  if (drifts.length === 0) return undefined;
  return {
    outOfSyncMessage:
      'Contexts refer to images that are neither pinned nor known to be built here.',
    outOfSyncDetails: [...drifts, ...failures],
  };
}

/** Mends one context, and tells what was wrong with it. */
async function syncContext(
  tree: Tree,
  options: unknown,
  images: readonly NamedImage[],
): Promise<readonly string[]> {
  const environment = { cwd: workspaceRoot, variables: process.env };
  const given = lockVerb.options.parse(options);
  const asked = discoverVerb.options.parse(options);
  // An image by itself contains no others.
  const built = given.bare ? {} : await builtHere(asked, images, environment, silent);
  const isNew = Object.keys(built).length > 0;
  const drift = isNew ? '' : await driftOf(given, environment);
  if (drift === undefined) return [];
  const text = await lockfileText(given, environment, silent, built);
  if (isNew) addToConfiguration(tree, given.context, 'workspaceImages', built);
  if (text !== undefined) tree.write(posix.join(given.context, 'cluster-image.lock.json'), text);
  const news = Object.entries(built).map(([name, location]) => `${name} is built at ${location}`);
  return drift === '' ? news : [...news, drift];
}

type Options = Parameters<typeof lockVerb.run>[0];
type Environment = Parameters<typeof lockVerb.run>[1];

/** Why a lockfile does not fit; undefined where it does. */
async function driftOf(options: Options, environment: Environment): Promise<string | undefined> {
  try {
    await lockVerb.run({ ...options, check: true }, environment, silent);
    return undefined;
  } catch (error) {
    if (error instanceof Error && codeOf(error) === 'LOCK_DRIFT') return error.message;
    throw error;
  }
}

/** Nx shows nothing while it syncs, and may do so in its daemon. */
const silent: Context = {
  report() {},
  signal: new AbortController().signal,
  transfer: (job) => job(),
};
