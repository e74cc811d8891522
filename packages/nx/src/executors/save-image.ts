import type { ExecutorContext } from '@nx/devkit';
import { saveVerb } from 'cluster-image';
import { deliver } from './deliver.ts';
import { type ExecutorResult, reported } from './run.ts';

export default function saveImage(
  options: object,
  context: ExecutorContext,
): Promise<ExecutorResult> {
  return reported(() => deliver(saveVerb, options, context), context);
}
