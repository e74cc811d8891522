import type { ExecutorContext } from '@nx/devkit';
import { buildVerb } from 'cluster-image';
import { type ExecutorResult, runVerb } from './run.ts';

export default function buildImage(
  options: object,
  context: ExecutorContext,
): Promise<ExecutorResult> {
  return runVerb(buildVerb, withName(options, context), context);
}

/** An image that is not given a name goes by its project's. */
export function withName(options: object, context: ExecutorContext): object {
  return { tag: `${context.projectName}:latest`, ...options };
}
