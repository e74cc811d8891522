import type { ExecutorContext } from '@nx/devkit';
import { z } from 'zod';
import pushImage from './push-image.ts';
import { targetOf } from './restore.ts';
import type { ExecutorResult } from './run.ts';

const schema = z.object({
  buildTarget: z.string(),
  to: z.string().optional(),
  dryRun: z.boolean().optional(),
});
const builtSchema = z.object({ tag: z.string().optional() });

/** Pushes what `nx release` has versioned; in a dry run it tells what that would be. */
export default async function releasePublish(
  options: object,
  context: ExecutorContext,
): Promise<ExecutorResult> {
  const { buildTarget: target, to, dryRun } = schema.parse(options);
  if (!dryRun && process.env.NX_DRY_RUN !== 'true') return pushImage(options, context);
  const { projectName: project = '', configurationName: configuration } = context;
  const { tag } = builtSchema.parse(targetOf({ project, target, configuration }, context).options);
  console.log(`would push ${to ?? tag ?? 'nothing: the image has no tag'}`);
  return { success: true };
}
