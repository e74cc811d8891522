import type { ExecutorContext } from '@nx/devkit';
import type { Verb } from 'cluster-image';
import { z } from 'zod';
import { restoreImage } from './restore.ts';
import { runs } from './run.ts';

/** What is delivered, and the target that builds it. */
export const deliverySchema = z.object({ from: z.string(), buildTarget: z.string() });

/**
 * Delivers the image that a target of the project has built, wherever that came from; whether all of it
 * went well. Throws what the verb throws.
 */
export function deliver<Options extends z.ZodObject, Result>(
  verb: Verb<Options, Result>,
  options: object,
  context: ExecutorContext,
): Promise<boolean> {
  return runs(verb, options, context, async () => {
    const { from, buildTarget: target } = deliverySchema.parse(options);
    const { projectName: project = '', configurationName: configuration } = context;
    if (/^oci:[^:]+$/.test(from)) await restoreImage({ project, target, configuration }, context);
  });
}
