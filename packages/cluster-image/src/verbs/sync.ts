import { z } from 'zod';
import { cache } from '../cache.ts';
import { openRegistry, openTarget, type Prepare } from '../registries.ts';
import { type Synced, sync } from '../sync.ts';
import { commonOptions, withWorkspace } from '../workspace.ts';
import { platformOption } from './context-options.ts';
import type { Verb } from './verb.ts';

const options = commonOptions.extend({
  ...platformOption.shape,
  source: z
    .string()
    .describe(
      'Context, cluster image, registry:DIR or docker://HOST whose images are to be brought',
    ),
  target: z.string().describe('registry:DIR or docker://HOST[/PREFIX]'),
});

export interface SyncedRegistry {
  readonly source: string;
  readonly target: string;
  readonly images: readonly Synced[];
}

export const syncVerb: Verb<typeof options, SyncedRegistry> = {
  name: 'sync',
  summary: 'Bring every image of a context, cluster image or registry into a registry',
  positional: ['source', 'target'],
  options,
  run: (given, environment, context) =>
    withWorkspace(
      environment,
      given,
      context,
      given.source.includes(':') ? '.' : given.source,
      async (workspace) => {
        const target = openTarget(given.target, workspace);
        const { network, store, context: running } = workspace;
        // The images of a context have to be in the store before they can be brought anywhere.
        const fill: Prepare = (lockfile, { tree }) =>
          cache(lockfile, store, { upstream: network.upstream, tree }, running);
        const source = await openRegistry(given.source, given, workspace, fill);
        const images = await sync(source.registry, target.registry, workspace.context);
        return { source: given.source, target: given.target, images };
      },
    ),
  lines: ({ target, images }) => [`${images.length} images are in ${target}`],
};
