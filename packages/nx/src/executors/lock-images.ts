import type { ExecutorContext } from '@nx/devkit';
import { lockVerb } from 'cluster-image';
import { type ExecutorResult, runVerb } from './run.ts';

export default function lockImages(
  options: unknown,
  context: ExecutorContext,
): Promise<ExecutorResult> {
  return runVerb(lockVerb, options, context);
}
