import {
  copy,
  nameOf,
  OciError,
  type Platform,
  parseReference,
  type Tree,
} from '@cluster-image/oci';
import type { Configuration } from './configuration.ts';
import type { Built, Discovery, Found } from './discover/discovery.ts';
import { everyOne } from './failures.ts';
import { openImage } from './images.ts';
import { parseLocation } from './location.ts';
import { originText } from './lock/check.ts';
import { lock } from './lock/lock.ts';
import type { Lockfile } from './lock/lockfile.ts';
import { forImage } from './progress.ts';
import type { Workspace } from './workspace.ts';

/**
 * Takes out of what a context refers to the images that the workspace builds itself: they are what they
 * were built to be, whatever their tag, and no lockfile pins them. A reference by digest means that digest.
 */
export function withBuilt(
  discovery: Discovery,
  { workspaceImages = {} }: Pick<Configuration, 'workspaceImages'>,
): Discovery {
  const locations = new Map(
    Object.entries(workspaceImages).map(([name, location]) => [
      nameOf(parseReference(name)),
      location,
    ]),
  );
  const locationOf = ({ reference }: Found): string | undefined => {
    const { digest, ...name } = parseReference(reference);
    return digest ? undefined : locations.get(nameOf(name));
  };
  const builtOf = (found: readonly Found[], isBase: boolean): readonly Built[] =>
    found.flatMap((image) => {
      const location = locationOf(image);
      return location === undefined ? [] : [{ ...image, location, isBase }];
    });
  const built = [...builtOf(discovery.images, false), ...builtOf(discovery.bases, true)];
  if (built.length === 0) return discovery;
  const isOfOthers = (image: Found): boolean => locationOf(image) === undefined;
  return {
    ...discovery,
    images: discovery.images.filter(isOfOthers),
    bases: discovery.bases.filter(isOfOthers),
    built,
  };
}

/**
 * Brings the images that the workspace has built into the store, and tells what each is by now.
 *
 * Throws NOT_FOUND for one that is not built yet, or not on this machine, naming where it is referred to;
 * what fails of others comes with it.
 */
export async function builtPins(
  built: readonly Built[],
  platforms: readonly Platform[],
  tree: Tree,
  workspace: Workspace,
): Promise<Pick<Lockfile, 'images' | 'bases'>> {
  const { store, engines, context } = workspace;
  await everyOne(
    built,
    ({ reference, origins: [origin] }) => `${reference} (${originText(origin)})`,
    ({ reference, location }) =>
      forImage(reference, context, async (counted) => {
        const opened = openImage(parseLocation(location), workspace);
        const source = await unlessGone(`it is not at ${location}`, opened);
        const { tag, ...name } = parseReference(reference);
        const target = { registry: store.registry, repository: nameOf(name) };
        const copied = copy(source, source.reference, target, { tag, recheck: true }, counted);
        await unlessGone(`its files are not in the store, nor at ${location}`, copied);
      }),
  );
  const sources = { upstream: store.registry, tree, engines };
  const found = {
    images: built.filter(({ isBase }) => !isBase),
    bases: built.filter(({ isBase }) => isBase),
    suspects: [],
    unresolved: [],
  };
  return lock(found, undefined, sources, { platforms, update: 'all' }, context);
}

async function unlessGone<T>(why: string, job: Promise<T>): Promise<T> {
  try {
    return await job;
  } catch (error) {
    if (!(error instanceof OciError) || error.code !== 'NOT_FOUND') throw error;
    throw new OciError('NOT_FOUND', `${why}: ${error.message}`, {
      cause: error,
      hint: 'It is an image of this workspace (workspaceImages in cluster-image.json). Build it here first.',
    });
  }
}
