import {
  copy,
  nameOf,
  OciError,
  type Platform,
  parseReference,
  type Tree,
} from '@cluster-image/oci';
import type { Configuration } from './configuration.ts';
import type { Built, Discovery } from './discover/discovery.ts';
import { everyOne } from './failures.ts';
import { openImage } from './images.ts';
import { parseLocation } from './location.ts';
import { originText } from './lock/check.ts';
import { lock } from './lock/lock.ts';
import type { LockedImage } from './lock/lockfile.ts';
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
  const built: Built[] = [];
  const images = discovery.images.filter((found) => {
    const reference = parseReference(found.reference);
    const location = reference.digest ? undefined : locations.get(nameOf(reference));
    if (location !== undefined) built.push({ ...found, location });
    return location === undefined;
  });
  return built.length === 0 ? discovery : { ...discovery, images, built };
}

/**
 * Brings the images that the workspace has built into the store, and tells what each is by now.
 *
 * Throws NOT_FOUND for one that is not built yet, naming where it is referred to; what fails of others
 * comes with it.
 */
export async function builtPins(
  built: readonly Built[],
  platforms: readonly Platform[],
  tree: Tree,
  workspace: Workspace,
): Promise<Readonly<Record<string, LockedImage>>> {
  const { store, engines, context } = workspace;
  await everyOne(
    built,
    ({ reference, origins: [origin] }) => `${reference} (${originText(origin)})`,
    ({ reference, location }) =>
      forImage(reference, context, async (counted) => {
        const source = await openBuilt(location, workspace);
        const { tag, ...name } = parseReference(reference);
        const target = { registry: store.registry, repository: nameOf(name) };
        await copy(source, source.reference, target, { tag, recheck: true }, counted);
      }),
  );
  const sources = { upstream: store.registry, tree, engines };
  const found = { images: built, bases: [], suspects: [], unresolved: [] };
  const { images } = await lock(found, undefined, sources, { platforms, update: 'all' }, context);
  return images;
}

async function openBuilt(location: string, workspace: Workspace) {
  try {
    return await openImage(parseLocation(location), workspace);
  } catch (error) {
    if (!(error instanceof OciError) || error.code !== 'NOT_FOUND') throw error;
    throw new OciError('NOT_FOUND', `it is not at ${location}: ${error.message}`, {
      cause: error,
      hint: 'It is an image of this workspace (workspaceImages in cluster-image.json). Build it first.',
    });
  }
}
