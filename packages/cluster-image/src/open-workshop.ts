import { type Content, codeOf, type Digest, OciError, type Tree } from '@cluster-image/oci';
import { type EarlierImage, openEarlier } from './earlier.ts';
import { formatLocation, type Target } from './location.ts';
import type { Lockfile } from './lock/lockfile.ts';
import { streamingWorkshop } from './streaming-workshop.ts';
import { thriftyWorkshop, type Workshop, wholeWorkshop } from './workshop.ts';
import type { Workspace } from './workspace.ts';

/** Where an image is going, and what there is of it already. */
export interface Delivery {
  readonly targets: readonly Target[];
  /** The location of an earlier image. */
  readonly since?: string | undefined;
  readonly noStore: boolean;
  /** A directory for a thin copy. */
  readonly thin?: string | undefined;
}

/**
 * What goes to registries only is fetched as far as these, or an earlier image, do not have it yet;
 * whoever wants the image here wants it whole.
 */
export async function openWorkshop(
  lockfile: Lockfile,
  tree: Tree,
  { since, noStore, thin, targets }: Delivery,
  workspace: Workspace,
): Promise<Workshop> {
  const { store, network, engines, context } = workspace;
  const sources = { upstream: network.upstream, tree, engines };
  const goesAway = targets.length > 0 && targets.every(({ kind }) => kind === 'docker');
  const [target, ...others] = targets;
  if (noStore) {
    if (target?.kind !== 'docker' || others.length > 0) {
      throw new OciError('USAGE', '--no-store needs one --output docker://…, where all of it goes');
    }
    const { host, repository } = target.reference;
    const append = (content: Content): Promise<Digest> =>
      network.registry(host).append(repository, content);
    const earlier = await earlierImages(since, targets, workspace);
    return streamingWorkshop(lockfile, earlier, append, sources, context);
  }
  if (since === undefined && (!goesAway || thin !== undefined)) {
    return wholeWorkshop(lockfile, store, sources, context);
  }
  const earlier = await earlierImages(since, targets, workspace);
  return thriftyWorkshop(lockfile, earlier, store, sources, context);
}

/** The image that was named, and those that are about to be overwritten where they can be used. */
async function earlierImages(
  since: string | undefined,
  targets: readonly Target[],
  workspace: Workspace,
): Promise<readonly EarlierImage[]> {
  const images: EarlierImage[] = [];
  if (since !== undefined) images.push(await openEarlier(since, workspace));
  for (const target of targets) {
    if (target.kind !== 'docker' || formatLocation(target) === since) continue;
    try {
      images.push(await openEarlier(formatLocation(target), workspace));
    } catch (error) {
      const code = codeOf(error);
      // Registries do not tell what is not there from what may not be read.
      const isNone = ['NOT_FOUND', 'UNSUPPORTED', 'UNAUTHORIZED', 'DENIED'].some(
        (none) => none === code,
      );
      if (!isNone) throw error;
    }
  }
  return images;
}
