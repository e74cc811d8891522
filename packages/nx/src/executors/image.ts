import type { ExecutorContext } from '@nx/devkit';
import { buildVerb } from 'cluster-image';
import { withName } from './image-name.ts';
import { restoreImages } from './restore.ts';
import { type ExecutorResult, runVerb } from './run.ts';

/** Builds what a Dockerfile says and nothing else; without a container engine, unless it is told of one. */
export default function image(options: object, context: ExecutorContext): Promise<ExecutorResult> {
  const given = withName({ bare: true, ...options }, context);
  return runVerb(buildVerb, given, context, () => restoreImages(context));
}
