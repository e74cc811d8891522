import { posix } from 'node:path';
import type { BuildSketch } from './dockerfile.ts';
import { engineFor, type TargetNames } from './options.ts';
import { perPlatform } from './platforms.ts';
import { imageInputs, producerTasks, type Sources } from './producer-tasks.ts';
import {
  deliveryTargets,
  generalInputs,
  type Inputs,
  imageOutputs,
  inputsWithout,
  leaving,
  leftBehind,
  type Place,
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
  place: Place,
  file: string,
  { needsEngine, copies }: BuildSketch,
  bases: Sources,
  platforms: readonly string[],
  names: TargetNames,
): Targets {
  const { imageTargetName, lockTargetName } = names;
  const engine = engineFor(needsEngine, names);
  if (imageTargetName === false || (needsEngine && engine === undefined)) return {};
  const { root, files } = place;
  const at = (path: string): string => posix.join(root, path);
  const left = leftBehind(platforms);
  const sources = copies?.flatMap((path) => [`${files}/${path}`, `${files}/${path}/**/*`]) ?? [
    `${files}/**/*`,
    `!${files}/node_modules/**/*`,
  ];
  const settings = [file, `${file}.dockerignore`, '.dockerignore', 'cluster-image.json'];
  const inputs: Inputs = [
    ...sources,
    ...inputsWithout(place, left),
    ...[...settings, 'cluster-image.lock.json'].map((name) => `{projectRoot}/${name}`),
    // What other tasks of the project leave, but for what ours do: one may have all of dist/.
    { dependentTasksOutputFiles: `!**/{${left.flatMap((path) => [path, `${path}/**`]).join()}}` },
    ...imageInputs(bases),
    ...generalInputs,
  ];
  const build = target('image', `Build the image of ${at(file)}`, 'build', {
    // What an engine builds twice is two images, and nobody else's store has the first.
    cache: engine === undefined && bases.isKnown,
    dependsOn: ['build', ...producerTasks(bases.producers)],
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
