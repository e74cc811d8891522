import type { ExecutorContext } from '@nx/devkit';
import { indexVerb } from 'cluster-image';
import { withName } from './image-name.ts';
import { restoreImages } from './restore.ts';
import { type ExecutorResult, runVerb } from './run.ts';

/** Joins what the tasks before it have built, each for one platform. */
export default function imageIndex(
  options: object,
  context: ExecutorContext,
): Promise<ExecutorResult> {
  return runVerb(indexVerb, withName(options, context), context, () => restoreImages(context));
}
