import { posix } from 'node:path';
import type { TargetConfiguration } from '@nx/devkit';
import type { TargetNames } from './options.ts';

export type Targets = Readonly<Record<string, TargetConfiguration>>;
export type Inputs = NonNullable<TargetConfiguration['inputs']>;
export type Dependencies = NonNullable<TargetConfiguration['dependsOn']>;

/**
 * Changes when the same inputs would give other outputs. An option of the inferred targets, so that
 * it is part of their hash.
 */
export const format = 4;

/** Where a project leaves its image. */
export const imageOutputs = ['{projectRoot}/dist/image', '{projectRoot}/dist/image.digest'];

/** The options by which a project leaves its image there. */
export function leaving(root: string) {
  const [thin, digestFile] = [
    posix.join(root, 'dist/image'),
    posix.join(root, 'dist/image.digest'),
  ];
  return { thin, digestFile, format };
}

/** What our own tasks leave in a project's `dist/`, for these platforms: no part of any image, nor of any hash. */
export function leftBehind(platforms: readonly string[]): readonly string[] {
  const images = ['dist/image', ...platforms.map((platform) => thinOf(platform))];
  return [
    ...images.flatMap((thin) => [thin, `${thin}.digest`]),
    ...['dist/image.tar', 'dist/images.json', 'dist/registry.endpoint'],
  ];
}

/** A directory that an image is built from. */
export interface Place {
  /** Relative to the workspace. */
  readonly root: string;
  /** How inputs name it. */
  readonly files: string;
}

/** Those inputs of a place that none of our own tasks has left there. */
export function inputsWithout({ files }: Place, left: readonly string[]): Inputs {
  return left.flatMap((path) => [`!${files}/${path}`, `!${files}/${path}/**/*`]);
}

/** Where the image for one of several platforms is left. */
export function thinOf(platform: string): string {
  return `dist/image.${shortPlatform(platform)}`;
}

/** A platform as part of a name. */
export function shortPlatform(platform: string): string {
  return platform.replaceAll('/', '-');
}

/** What every build depends on beside the files of its project: the workspace's settings, and no npm package. */
export const generalInputs: Inputs = [
  '{workspaceRoot}/cluster-image.json',
  { externalDependencies: [] },
];

/** How Nx 24 knows that a continuous task is up; earlier ones take no notice of it. */
interface Readiness {
  readonly readyWhen?: { readonly logMatches: string };
}

/**
 * A target of ours, explained for `nx show project` and Nx Console.
 *
 * @param verb what the command calls the same, whose help tells all options
 */
export function target(
  executor: string,
  description: string,
  verb: string,
  rest: Partial<TargetConfiguration> & Readiness,
): TargetConfiguration {
  return {
    executor: `@cluster-image/nx:${executor}`,
    metadata: {
      technologies: ['kubernetes', 'oci'],
      description,
      help: { command: `npx cluster-image ${verb} --help`, example: {} },
    },
    ...rest,
    options: { ...rest.options },
  };
}

/** What is done with an image that a project has built. */
export function deliveryTargets(
  root: string,
  buildTarget: string,
  platforms: readonly string[],
  names: TargetNames,
): Targets {
  const at = (path: string): string => posix.join(root, path);
  const from = `oci:${at('dist/image')}`;
  const dependsOn = [buildTarget];
  // Docker's has room for one platform.
  const archive = platforms.length > 1 ? 'oci-archive' : 'docker-archive';
  return {
    [names.pushTargetName]: target('push-image', 'Push the image to its registry', 'push', {
      cache: false,
      dependsOn,
      options: { from, buildTarget },
    }),
    [names.saveTargetName]: target('save-image', 'Save the image as an archive', 'save', {
      cache: false,
      dependsOn,
      options: { from, to: `${archive}:${at('dist/image.tar')}`, buildTarget },
    }),
  };
}

/**
 * How `nx release` publishes a project that is a cluster image and no npm package: `publish` pushes, and
 * versions are tags.
 */
export function releaseOf(root: string, buildTarget: string) {
  return {
    targets: {
      'nx-release-publish': target(
        'release-publish',
        'Push the image that nx release has versioned',
        'push',
        {
          cache: false,
          dependsOn: [buildTarget],
          options: { from: `oci:${posix.join(root, 'dist/image')}`, buildTarget },
        },
      ),
    },
    release: { version: { versionActions: '@cluster-image/nx/version-actions' } },
  };
}
