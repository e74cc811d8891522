import type { ExecutorContext } from '@nx/devkit';
import { cacheVerb } from 'cluster-image';
import { restoreImages } from './restore.ts';
import { type ExecutorResult, runVerb } from './run.ts';

export default function cacheImages(
  options: unknown,
  context: ExecutorContext,
): Promise<ExecutorResult> {
  return runVerb(cacheVerb, options, context, () => restoreImages(context));
}
