import { z } from 'zod';
import { cache } from '../cache.ts';
import { openRegistry, openTarget, type Prepare } from '../registries.ts';
import { type Synced, sync } from '../sync.ts';
import { commonOptions, withWorkspace } from '../workspace.ts';
import { platformOption } from './context-options.ts';
import type { Verb } from './verb.ts';

const options = commonOptions.extend({
  ...platformOption.shape,
  from: z
    .string()
    .describe(
      'Context, cluster image, registry:DIR or docker://HOST whose images are to be brought',
    ),
  to: z.string().describe('registry:DIR or docker://HOST[/PREFIX]'),
});

export interface SyncedRegistry {
  readonly from: string;
  readonly to: string;
  readonly images: readonly Synced[];
}

export const syncVerb: Verb<typeof options, SyncedRegistry> = {
  name: 'sync',
  summary: 'Bring every image of a context, cluster image or registry into a registry',
  positional: ['from', 'to'],
  options,
  run: (given, environment, context) =>
    withWorkspace(
      environment,
      given,
      context,
      given.from.includes(':') ? '.' : given.from,
      async (workspace) => {
        const target = openTarget(given.to, workspace);
        const { network, store, engines, context: running } = workspace;
        // The images of a context have to be in the store before they can be brought anywhere.
        const fill: Prepare = (lockfile, { tree }) =>
          cache(lockfile, store, { upstream: network.upstream, tree, engines }, running);
        const source = await openRegistry(given.from, given, workspace, fill);
        const images = await sync(source.registry, target.registry, workspace.context);
        return { from: given.from, to: given.to, images };
      },
    ),
  lines: ({ to, images }) => [`${images.length} images are in ${to}`],
};
