import type { ExecutorContext } from '@nx/devkit';
import { buildVerb, commonOptions, isDeliverable, type Verb } from 'cluster-image';
import { z } from 'zod';
import { withName } from './build-image.ts';
import {
  type ExecutorResult,
  environmentOf,
  parsed,
  reported,
  runContext,
  runVerb,
} from './run.ts';

const deliverySchema = commonOptions.extend({ from: z.string(), buildTarget: z.string() });

/**
 * Delivers what `build-image` left. Where that came from a task cache, its parts may not be in this
 * machine's store; then the image is built again, which gives the same digest.
 */
export async function deliver<Options extends z.ZodObject, Result>(
  verb: Verb<Options, Result>,
  options: object,
  context: ExecutorContext,
): Promise<ExecutorResult> {
  const ready = await reported(async () => {
    const { from, buildTarget, ...common } = deliverySchema.parse(options);
    const path = /^oci:([^:]+)$/.exec(from)?.[1];
    if (path === undefined) return true;
    const environment = environmentOf(context);
    if (await isDeliverable(path, common, environment)) return true;
    console.log('parts of the image are not in the store; building it again');
    const build = parsed(buildVerb, withName(buildOptions(context, buildTarget), context));
    await buildVerb.run(build, environment, runContext());
    return true;
  });
  return ready.success ? runVerb(verb, options, context) : ready;
}

/** The options of the target that built the image. */
export function buildOptions(context: ExecutorContext, buildTarget: string): object {
  const { projectName = '', projectsConfigurations } = context;
  const options: unknown =
    projectsConfigurations.projects[projectName]?.targets?.[buildTarget]?.options;
  return typeof options === 'object' && options !== null ? options : {};
}
