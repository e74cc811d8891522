import { openStore, type Pruned } from '@cluster-image/storage';
import { z } from 'zod';
import { formatCount } from '../counts.ts';
import { parseDuration } from '../durations.ts';
import { storePath } from '../environment.ts';
import { formatSize, parseSize } from '../sizes.ts';
import { commonOptions } from '../workspace.ts';
import type { Verb } from './verb.ts';

const options = commonOptions.pick({ store: true }).extend({
  grace: z
    .string()
    .refine(readable(parseDuration), { error: 'not a duration, as 30m, 24h or 7d are' })
    .default('24h')
    .describe('What was stored or used in this time stays, whatever else is said'),
  unusedFor: z
    .string()
    .refine(readable(parseDuration), { error: 'not a duration, as 30m, 24h or 7d are' })
    .optional()
    .describe('Let go of images and lockfiles that were not used for so long'),
  storeLimit: z
    .string()
    .refine(readable(parseSize), { error: 'not a size, as 500MB or 50GB are' })
    .optional()
    .describe(
      'Let go of those least recently used until the store takes no more; else CLUSTER_IMAGE_STORE_LIMIT',
    ),
  dryRun: z.boolean().default(false).describe('Remove nothing, and tell what would be'),
});

export interface PrunedStore extends Pruned {
  readonly store: string;
  readonly dryRun: boolean;
}

export const pruneVerb: Verb<typeof options, PrunedStore> = {
  name: 'prune',
  summary: 'Remove from the content store what nothing holds on to',
  positional: [],
  options,
  // Not within a workspace: that one would use the store, and wait for itself.
  async run({ store: given, grace, unusedFor, storeLimit, dryRun }, environment, context) {
    const store = openStore(storePath(environment, given));
    const most = storeLimit ?? environment.variables.CLUSTER_IMAGE_STORE_LIMIT;
    const bounds = {
      grace: parseDuration(grace),
      unusedFor: unusedFor === undefined ? undefined : parseDuration(unusedFor),
      limit: most ? parseSize(most) : undefined,
    };
    const pruned = await store.prune({ ...bounds, isDry: dryRun }, context);
    if (bounds.limit !== undefined && pruned.size > bounds.limit) {
      context.report({
        type: 'warning',
        message: `${store.root} takes ${formatSize(pruned.size)}, over its limit of ${formatSize(bounds.limit)}`,
        hint: `All of that was stored or used in the last ${grace}; a shorter --grace lets go of more.`,
      });
    }
    return { store: store.root, dryRun, ...pruned };
  },
  lines: ({ store, dryRun, freed, size, blobs, released, problems }) => [
    ...problems.map(({ path, why }) => `passed over: ${path}: ${why}`),
    ...released.map((name) => `${dryRun ? 'would let go of' : 'let go of'} ${name}`),
    `${store}: ${formatSize(freed)} in ${formatCount(blobs, 'blob')} ${dryRun ? 'would be' : 'were'} freed, ${formatSize(size)} are left`,
  ],
};

function readable(read: (text: string) => number): (text: string) => boolean {
  return (text) => {
    try {
      return read(text) >= 0;
    } catch {
      return false;
    }
  };
}
