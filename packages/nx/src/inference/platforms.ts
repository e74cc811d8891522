import { posix } from 'node:path';
import type { TargetConfiguration } from '@nx/devkit';
import type { TargetNames } from './options.ts';
import { imageOutputs, leaving, shortPlatform, type Targets, target, thinOf } from './targets.ts';

/**
 * A target that builds an image. Of an image for several platforms, where that is asked for or an engine
 * builds, there is one for each and a last one, of the name that is asked for, which joins what they
 * built. Each leaves its own files.
 */
export function perPlatform(
  root: string,
  name: string,
  build: TargetConfiguration,
  platforms: readonly string[],
  { platformTargets }: TargetNames,
): Targets {
  const isSplit = platformTargets || 'engine' in build.options;
  if (!isSplit || platforms.length < 2) return { [name]: build };
  const at = (path: string): string => posix.join(root, path);
  const parts = platforms.map((platform) => {
    const short = shortPlatform(platform);
    return { platform, short, target: `${name}-${short}`, thin: thinOf(platform) };
  });
  const built = parts.map(
    ({ platform, short, target, thin }): readonly [string, TargetConfiguration] => [
      target,
      {
        ...build,
        metadata: {
          ...build.metadata,
          description: `${build.metadata?.description ?? 'Build the image'} for ${platform}`,
        },
        outputs: [`{projectRoot}/${thin}`, `{projectRoot}/${thin}.digest`],
        options: {
          ...build.options,
          platform: [platform],
          thin: at(thin),
          digestFile: at(`${thin}.digest`),
          defaultTag: short,
        },
      },
    ],
  );
  const joining = target('image-index', 'Join the images of all platforms', 'index', {
    cache: build.cache ?? false,
    dependsOn: parts.map((part) => part.target),
    inputs: [{ dependentTasksOutputFiles: '**/image.*.digest' }, { externalDependencies: [] }],
    outputs: imageOutputs,
    options: {
      images: parts.map(({ thin }) => `oci:${at(thin)}`),
      ...leaving(root),
    },
  });
  return { ...Object.fromEntries(built), [name]: joining };
}
