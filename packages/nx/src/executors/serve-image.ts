import type { ExecutorContext } from '@nx/devkit';
import { serveVerb } from 'cluster-image';
import { restoreImages } from './restore.ts';
import { environmentOf, parsed, reported, runContext, taskOf } from './run.ts';

/** What Nx is told of a server, once it is up and once it has ended. */
export interface ServeResult {
  readonly success: boolean;
  readonly baseUrl?: string;
}

/** Serves until Nx has no more use for it. */
export default async function* serveImage(
  options: object,
  context: ExecutorContext,
): AsyncGenerator<ServeResult, void> {
  const up = Promise.withResolvers<string | undefined>();
  const working = runContext();
  const ended = reported(async () => {
    await restoreImages(context);
    await serveVerb.run(parsed(serveVerb, options, taskOf(context)), environmentOf(context), {
      ...working,
      report(event) {
        working.report(event);
        if (event.type === 'listening') up.resolve(event.url);
      },
    });
    return true;
  }, context);
  ended.then(() => up.resolve(undefined));
  const baseUrl = await up.promise;
  if (baseUrl !== undefined) yield { success: true, baseUrl };
  yield await ended;
}
