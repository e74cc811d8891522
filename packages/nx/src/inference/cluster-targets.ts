import { posix } from 'node:path';
import { engineFor, type TargetNames } from './options.ts';
import { perPlatform } from './platforms.ts';
import { imageInputs, producerTasks, type Sources } from './producer-tasks.ts';
import {
  deliveryTargets,
  format,
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
 * What a chart or a kustomization comes to may change with the tool; without one the task itself will
 * say so.
 */
const helmVersion = 'helm version --short || echo none';
const kustomizeVersion = 'kustomize version || kubectl version --client || echo none';

/** Which tools the context of a cluster image is read and built with. */
export interface Tools {
  readonly helm: boolean;
  readonly kustomize: boolean;
  /** A container engine, for its build file has RUN or the like. */
  readonly engine: boolean;
}

/** The targets of a project with a Kubefile or Sealfile. */
export function clusterTargets(
  place: Place,
  tools: Tools,
  sources: Sources,
  platforms: readonly string[],
  names: TargetNames,
): Targets {
  const { lockTargetName, cacheTargetName, syncTargetName, buildTargetName, serveTargetName } =
    names;
  const { root, files } = place;
  const at = (path: string): string => posix.join(root, path);
  const left = leftBehind(platforms);
  const inputs: Inputs = [
    `${files}/**/*`,
    ...['registry', 'node_modules'].map((path) => `!${files}/${path}/**/*`),
    ...inputsWithout(place, left),
    // What other tasks of the project leave, and git ignores.
    { dependentTasksOutputFiles: at('**/*') },
    ...(tools.helm ? [{ runtime: helmVersion }] : []),
    ...(tools.kustomize ? [{ runtime: kustomizeVersion }] : []),
    ...imageInputs(sources),
    ...generalInputs,
  ];
  const producing = producerTasks(sources.producers);
  const engine = engineFor(tools.engine, names);
  const build = target('build-image', 'Build the cluster image', 'build', {
    // What an engine builds twice is two images, and nobody else's store has the first.
    cache: !tools.engine && sources.isKnown,
    dependsOn: [cacheTargetName, ...producing],
    inputs,
    outputs: imageOutputs,
    options: { context: root, ...leaving(root), exclude: left, ...engine },
  });
  return {
    [lockTargetName]: target('lock-images', 'Pin the images of the context to digests', 'lock', {
      cache: false,
      options: { context: root },
    }),
    [cacheTargetName]: target(
      'cache-images',
      'Bring the locked images into the content store',
      'cache',
      {
        cache: sources.isKnown,
        ...(producing.length > 0 && { dependsOn: producing }),
        inputs,
        outputs: ['{projectRoot}/dist/images.json'],
        options: { context: root, receipt: at('dist/images.json'), format },
      },
    ),
    [syncTargetName]: target('sync-registry', 'Bring every image into a registry', 'sync', {
      cache: false,
      dependsOn: [cacheTargetName],
      options: { from: root, to: `registry:${at('registry')}` },
    }),
    ...perPlatform(root, buildTargetName, build, platforms, names),
    ...deliveryTargets(root, buildTargetName, platforms, names),
    [serveTargetName]: target('serve-image', 'Serve the images in the cluster image', 'serve', {
      cache: false,
      continuous: true,
      readyWhen: { logMatches: 'serving on' },
      dependsOn: [buildTargetName],
      options: {
        locations: [`oci:${at('dist/image')}`],
        endpointFile: at('dist/registry.endpoint'),
      },
    }),
  };
}
