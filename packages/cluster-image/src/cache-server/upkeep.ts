import { type Context, codeOf, OciError } from '@cluster-image/oci';
import type { Store } from '@cluster-image/storage';
import { cacheRepository } from './shelves.ts';

export interface Bounds {
  /** How long an artifact stays that nobody asks for, in milliseconds. */
  readonly unusedFor?: number;
  /** What all of them may take, in bytes; those go first that were asked for longest ago. */
  readonly limit?: number;
}

/** How often a directory is looked through, in milliseconds. */
const every = 600_000;

/**
 * Keeps a directory within bounds while it is served, beginning now; ends when it is told to. Throws
 * USAGE where there is more in the directory than the cache, since that would go as well.
 */
export async function upkeep(
  store: Store,
  bounds: Bounds,
  context: Context,
): Promise<() => Promise<void>> {
  if (bounds.unusedFor === undefined && bounds.limit === undefined) return async () => {};
  for await (const repository of store.registry.repositories()) {
    if (repository === cacheRepository) continue;
    throw new OciError('USAGE', `${store.root} has ${repository} in it, beside the cache`, {
      hint: 'Give the cache a directory of its own, or leave out --max-age and --max-size.',
    });
  }
  const ended = new AbortController();
  const signal = AbortSignal.any([context.signal, ended.signal]);
  let running = look();
  const timer = setInterval(() => {
    running = running.then(look);
  }, every);
  return async () => {
    clearInterval(timer);
    ended.abort();
    await running;
  };

  async function look(): Promise<void> {
    try {
      await store.prune({ grace: 0, ...bounds }, { ...context, signal });
    } catch (error) {
      if (codeOf(error) === 'ABORTED') return;
      const why = error instanceof Error ? error.message : String(error);
      context.report({ type: 'warning', message: `nothing was removed: ${why}` });
    }
  }
}
