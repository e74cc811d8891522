import { posix } from 'node:path';
import type { BuildSketch } from './dockerfile.ts';
import { engineFor, type TargetNames } from './options.ts';
import { perPlatform } from './platforms.ts';
import { type Producer, producerInputs, producerTasks } from './producer-tasks.ts';
import {
  deliveryTargets,
  generalInputs,
  type Inputs,
  imageOutputs,
  leaving,
  leftBehind,
  type Targets,
  target,
} from './targets.ts';

/**
 * The targets of a project with a Dockerfile, or an image in its configuration; none for one that needs a
 * container engine where the plugin is told of no engine.
 *
 * @param file the name of its build file
 */
export function imageTargets(
  root: string,
  file: string,
  { needsEngine, copies }: BuildSketch,
  producers: readonly Producer[],
  platforms: readonly string[],
  names: TargetNames,
): Targets {
  const { imageTargetName, lockTargetName } = names;
  const engine = engineFor(needsEngine, names);
  if (imageTargetName === false || (needsEngine && engine === undefined)) return {};
  const at = (path: string): string => posix.join(root, path);
  const left = leftBehind(platforms);
  const sources = copies?.flatMap((path) => [
    `{projectRoot}/${path}`,
    `{projectRoot}/${path}/**/*`,
  ]) ?? ['{projectRoot}/**/*', '!{projectRoot}/node_modules/**/*'];
  const others = left.flatMap((path) => [`!{projectRoot}/${path}`, `!{projectRoot}/${path}/**/*`]);
  const settings = [file, `${file}.dockerignore`, '.dockerignore', 'cluster-image.json'];
  const inputs: Inputs = [
    ...sources,
    ...others,
    ...[...settings, 'cluster-image.lock.json'].map((name) => `{projectRoot}/${name}`),
    // What other tasks of the project leave, but for what ours do.
    { dependentTasksOutputFiles: `!**/{${left.flatMap((path) => [path, `${path}/**`]).join()}}` },
    ...producerInputs(producers),
    ...generalInputs,
  ];
  const build = target('image', `Build the image of ${at(file)}`, 'build', {
    // What an engine builds twice is two images, and nobody else's store has the first.
    cache: engine === undefined,
    dependsOn: ['build', ...producerTasks(producers)],
    inputs,
    outputs: imageOutputs,
    // An engine gets the directory as it is; an ignore file is for that.
    options: { context: root, ...leaving(root), ...(engine ?? { exclude: left }) },
  });
  return {
    [lockTargetName]: target('lock-images', "Pin the image's base images to digests", 'lock', {
      cache: false,
      options: { context: root, bare: true },
    }),
    ...perPlatform(root, imageTargetName, build, platforms, names),
    ...deliveryTargets(root, imageTargetName, platforms, names),
  };
}
