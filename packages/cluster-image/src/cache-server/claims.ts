import { setTimeout } from 'node:timers/promises';
import type { Manifest, Registry } from '@cluster-image/oci';

/** Gives a tag its first meaning, and tells whether it means that then; see `Claimable`. */
export type Claim = (manifest: Manifest, tag: string) => Promise<boolean>;

/** What is waited beside twice the time that a write took, in milliseconds. */
const margin = 200;

/**
 * Claims in a registry that knows only to put. Who has written looks again a while later: of several
 * who wrote at a moment the last one stays, and the others are told. That holds as long as no write
 * takes three times as long as another; where the registry itself keeps tags from moving, always.
 */
export function claims(
  registry: Registry,
  repository: string,
  now: () => number = performance.now.bind(performance),
): Claim {
  const isOurs = async (manifest: Manifest, tag: string): Promise<boolean | undefined> => {
    const found = await registry.resolve(repository, tag);
    return found && found.digest === manifest.digest;
  };
  return async (manifest, tag) => {
    const before = await isOurs(manifest, tag);
    if (before !== undefined) return before;
    const started = now();
    try {
      await registry.putManifest(repository, manifest, tag);
    } catch (error) {
      // Where tags do not move, that somebody came first is an error.
      const after = await isOurs(manifest, tag).catch(() => undefined);
      if (after === undefined) throw error;
      return after;
    }
    await setTimeout(margin + 2 * (now() - started));
    return (await isOurs(manifest, tag)) === true;
  };
}
