import { bytes } from '@cluster-image/oci';
import { saveFile } from '@cluster-image/storage';
import { z } from 'zod';
import { cache } from '../cache.ts';
import { lockedContext, openContext } from '../context-directory.ts';
import { formatCount } from '../counts.ts';
import { lockCommand } from '../lock/check.ts';
import { formatSize } from '../sizes.ts';
import { commonOptions, platformsOf, withWorkspace } from '../workspace.ts';
import { buildArgumentsOf, contextOptions, platformOption } from './context-options.ts';
import type { Verb } from './verb.ts';

const options = commonOptions.extend({
  ...contextOptions.shape,
  ...platformOption.shape,
  receipt: z.string().optional().describe('File to write the images and their digests to'),
});

export interface CachedContext {
  readonly images: readonly CachedImage[];
  /** What had to be fetched, in bytes. */
  readonly fetched: number;
  readonly store: string;
}

export interface CachedImage {
  readonly reference: string;
  readonly digest: string;
}

export const cacheVerb: Verb<typeof options, CachedContext> = {
  name: 'cache',
  summary: 'Bring the locked images of a context into the content store',
  positional: ['context'],
  options,
  run: (given, environment, context) =>
    withWorkspace(environment, given, context, given.context, async (workspace) => {
      const { configuration, store, network, engines } = workspace;
      const directory = await openContext(workspace.path(given.context));
      const platforms = platformsOf(given.platform, configuration);
      const buildArguments = buildArgumentsOf(given.buildArg, configuration);
      const { lockfile } = await lockedContext(
        directory,
        { ...given, platforms, buildArguments, command: lockCommand(given) },
        workspace,
      );
      const sources = { upstream: network.upstream, tree: directory.tree, engines };
      const { fetched } = await cache(lockfile, store, sources, workspace.context);
      const pins = Object.entries({ ...lockfile.images, ...lockfile.bases });
      const images = pins.map(([reference, { digest }]) => ({ reference, digest }));
      if (given.receipt !== undefined) {
        const text = `${JSON.stringify({ images }, undefined, 2)}\n`;
        await saveFile(workspace.path(given.receipt), bytes(text));
      }
      return { images, fetched, store: store.root };
    }),
  lines: ({ images, fetched, store }) => [
    `${formatCount(images.length, 'image is', 'images are')} in ${store}, ${formatSize(fetched)} fetched`,
  ],
};
