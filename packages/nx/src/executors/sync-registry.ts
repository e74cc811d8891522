import type { ExecutorContext } from '@nx/devkit';
import { syncVerb } from 'cluster-image';
import { restoreImages } from './restore.ts';
import { type ExecutorResult, runVerb } from './run.ts';

export default function syncRegistry(
  options: unknown,
  context: ExecutorContext,
): Promise<ExecutorResult> {
  return runVerb(syncVerb, options, context, () => restoreImages(context));
}
