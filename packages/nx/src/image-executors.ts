import { objectIn } from './inference/json.ts';

/** The executors that build an image, and leave it under the name in their `tag`; one that joins others first. */
export const imageExecutors: readonly string[] = [
  '@cluster-image/nx:image-index',
  '@cluster-image/nx:image',
  '@cluster-image/nx:build-image',
];

/** What a project calls the target that builds its image: of an image for several platforms that which joins them. */
export function imageTargetIn(targets: object): string | undefined {
  const byExecutor = new Map(
    Object.entries(targets)
      .map(([name, target]) => [objectIn(target).executor, name] as const)
      .reverse(),
  );
  return imageExecutors
    .map((executor) => byExecutor.get(executor))
    .find((name) => name !== undefined);
}
