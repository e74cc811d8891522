import type { ExecutorContext } from '@nx/devkit';
import { OciError, pushVerb } from 'cluster-image';
import { z } from 'zod';
import { deliver, deliverySchema } from './deliver.ts';
import { targetOf } from './restore.ts';
import { type ExecutorResult, reported, taskOf } from './run.ts';

const schema = deliverySchema.extend({ to: z.string().optional() });
const buildSchema = z.object({ tag: z.string().optional() });

/** Pushes to where its name says, unless told otherwise. */
export default function pushImage(
  options: object,
  context: ExecutorContext,
): Promise<ExecutorResult> {
  return reported(async () => {
    const to = placeFor(options, context);
    return deliver(pushVerb, { ...options, to }, context);
  }, context);
}

/**
 * Where an image is pushed to; undefined for one in a store or an engine, whose own name says so. Throws
 * USAGE where nothing does.
 */
function placeFor(given: object, context: ExecutorContext): string | undefined {
  const { from, buildTarget, to } = schema.parse(given);
  const { project, target } = taskOf(context);
  const { configurationName: configuration } = context;
  const built = targetOf({ project, target: buildTarget, configuration }, context).options;
  const place = to ?? buildSchema.parse(built).tag;
  if (place !== undefined || !/^(?:oci|oci-archive|docker-archive):/.test(from)) return place;
  throw new OciError('USAGE', `nothing says where ${project}:${target} pushes the image to`, {
    hint: `Give the target ${buildTarget} in project.json the option "tag", as registry.example/team/${project}:1.0, or say \`nx run ${project}:${target} --to docker://…\`.`,
  });
}
