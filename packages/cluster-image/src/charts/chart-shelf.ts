import {
  type Content,
  type Context,
  copy,
  isDamage,
  OciError,
  overlay,
  type Registry,
  type RegistryReader,
} from '@cluster-image/oci';
import type { LockedChart } from '../lock/lockfile.ts';
import { type ChartArtifact, placeOf } from './chart-artifact.ts';
import type { ChartRepositories } from './chart-repositories.ts';

/** Where packed charts are put, to be found again by digest. */
export interface ChartShelf {
  /** The archive of a pinned chart, which is brought from its repository where it is not there yet. */
  bring(pin: LockedChart): Promise<Content>;
  /** The same, for a chart that was just found in its repository. */
  put(pin: LockedChart, artifact: ChartArtifact): Promise<Content>;
}

/**
 * A registry as a shelf of charts: each is there as an OCI artifact with one archive. What is there
 * costs no request.
 *
 * @param near what else may have charts, and is not written
 */
export function chartShelf(
  target: Registry,
  near: RegistryReader | undefined,
  repositories: ChartRepositories,
  context: Context,
): ChartShelf {
  const reader = near ? overlay(near, target) : target;
  return {
    bring: async (pin) => (await held(reader, pin)) ?? put(pin, await repositories.fetch(pin)),
    put,
  };

  async function put(pin: LockedChart, artifact: ChartArtifact): Promise<Content> {
    const { repository } = placeOf(pin);
    const { digest } = artifact.manifest;
    await copy(artifact, digest, { registry: target, repository }, { recheck: true }, context);
    const content = await held(target, pin);
    if (content) return content;
    throw new OciError('NOT_FOUND', `chart ${pin.name} ${pin.version} did not arrive`);
  }
}

/** The archive of a chart that a registry has whole. */
async function held(registry: RegistryReader, pin: LockedChart): Promise<Content | undefined> {
  const { repository, manifest } = placeOf(pin);
  try {
    if (!(await registry.manifest(repository, manifest))) return undefined;
    const content = await registry.blob(repository, pin.digest);
    return content?.size === pin.size ? content : undefined;
  } catch (error) {
    if (isDamage(error)) return undefined;
    throw error;
  }
}
