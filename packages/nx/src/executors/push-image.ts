import type { ExecutorContext } from '@nx/devkit';
import { pushVerb } from 'cluster-image';
import { z } from 'zod';
import { deliver } from './deliver.ts';
import { targetOf } from './restore.ts';
import type { ExecutorResult } from './run.ts';

const schema = z.object({ buildTarget: z.string(), to: z.string().optional() });
const buildSchema = z.object({ tag: z.string().optional() });

/** Pushes to where its name says, unless told otherwise. */
export default function pushImage(
  options: object,
  context: ExecutorContext,
): Promise<ExecutorResult> {
  const { buildTarget: target, to } = schema.parse(options);
  const { projectName: project = '', configurationName: configuration } = context;
  const built = targetOf({ project, target, configuration }, context).options;
  const { tag } = buildSchema.parse(built);
  return deliver(pushVerb, { ...options, to: to ?? tag }, context);
}
