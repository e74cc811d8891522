import type { ExecutorContext } from '@nx/devkit';
import { buildVerb } from 'cluster-image';
import { withName } from './image-name.ts';
import { restoreImages } from './restore.ts';
import { type ExecutorResult, runVerb } from './run.ts';
import { warnOfUnseen } from './unseen-images.ts';

export default function buildImage(
  options: object,
  context: ExecutorContext,
): Promise<ExecutorResult> {
  return runVerb(buildVerb, withName(options, context), context, async () => {
    await warnOfUnseen(context);
    await restoreImages(context);
  });
}
