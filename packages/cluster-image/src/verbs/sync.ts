import { directory } from '@cluster-image/storage';
import { z } from 'zod';
import { cache } from '../cache.ts';
import { lockedContext, openContext } from '../context-directory.ts';
import { openRegistry, openTarget } from '../registries.ts';
import { type Synced, sync } from '../sync.ts';
import { commonOptions, platformsOf, type Workspace, withWorkspace } from '../workspace.ts';
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
        await fill(given, workspace);
        const source = await openRegistry(given.source, given, workspace);
        const images = await sync(source.registry, target.registry, workspace.context);
        return { source: given.source, target: given.target, images };
      },
    ),
  lines: ({ target, images }) => [`${images.length} images are in ${target}`],
};

/** The images of a context have to be in the store before they can be brought anywhere. */
async function fill(
  { source, platform }: z.infer<typeof options>,
  workspace: Workspace,
): Promise<void> {
  const path = workspace.path(source);
  if ((await directory(path).entry(''))?.type !== 'directory') return;
  const { configuration, network, store } = workspace;
  const context = await openContext(path);
  const lockfile = await lockedContext(
    context,
    {
      platforms: platformsOf(platform, configuration),
      buildArguments: configuration.buildArguments ?? {},
      given: source,
    },
    workspace,
  );
  await cache(
    lockfile,
    store,
    { upstream: network.upstream, tree: context.tree },
    workspace.context,
  );
}
