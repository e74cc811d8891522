import { posix } from 'node:path';
import type { BuildSketch } from './dockerfile.ts';
import { engineFor, type TargetNames } from './options.ts';
import { perPlatform } from './platforms.ts';
import {
  deliveryTargets,
  generalInputs,
  type Inputs,
  imageOutputs,
  leaving,
  type Targets,
  target,
} from './targets.ts';

/**
 * What an image is made of among what other tasks leave: all of it but images, which tasks of the same
 * project may have left in the same place.
 */
const madeBefore = '!**/dist/{image,image/**,image.*,image.*/**}';

/**
 * The targets of a project with a Dockerfile, or an image in its configuration; none for one that needs a container engine where the
 * plugin is told of no engine.
 *
 * @param file the name of its build file
 */
export function imageTargets(
  root: string,
  file: string,
  { needsEngine, copies }: BuildSketch,
  platforms: readonly string[],
  names: TargetNames,
): Targets {
  const { imageTargetName, lockTargetName } = names;
  const engine = engineFor(needsEngine, names);
  if (imageTargetName === false || (needsEngine && engine === undefined)) return {};
  const at = (path: string): string => posix.join(root, path);
  const sources = copies?.flatMap((path) => [
    `{projectRoot}/${path}`,
    `{projectRoot}/${path}/**/*`,
  ]) ?? [
    '{projectRoot}/**/*',
    '!{projectRoot}/dist/image/**/*',
    '!{projectRoot}/dist/image.*',
    '!{projectRoot}/dist/image.*/**/*',
    '!{projectRoot}/node_modules/**/*',
  ];
  const settings = [file, `${file}.dockerignore`, '.dockerignore', 'cluster-image.json'];
  const inputs: Inputs = [
    ...sources,
    ...[...settings, 'cluster-image.lock.json'].map((name) => `{projectRoot}/${name}`),
    { dependentTasksOutputFiles: madeBefore },
    ...generalInputs,
  ];
  const isSplit = names.platformTargets || engine !== undefined;
  const build = target('image', `Build the image of ${at(file)}`, 'build', {
    // What an engine builds twice is two images, and nobody else's store has the first.
    cache: engine === undefined,
    dependsOn: ['build'],
    inputs,
    outputs: imageOutputs,
    options: { context: root, ...leaving(root), ...engine },
  });
  return {
    [lockTargetName]: target('lock-images', "Pin the image's base images to digests", 'lock', {
      cache: false,
      options: { context: root, bare: true },
    }),
    ...perPlatform(root, imageTargetName, build, isSplit ? platforms : []),
    ...deliveryTargets(root, imageTargetName, platforms, names),
  };
}
