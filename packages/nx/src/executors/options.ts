import {
  buildVerb,
  cacheVerb,
  indexVerb,
  lockVerb,
  pushVerb,
  saveVerb,
  serveVerb,
  syncVerb,
} from 'cluster-image';
import { z } from 'zod';

const format = z
  .int()
  .optional()
  .describe('Format of the outputs; set by the plugin, so that a new one is a new hash');

const buildTarget = z
  .string()
  .default('build-image')
  .describe('The target of the project that builds the image, run again where its parts are gone');

const defaultTag = z
  .string()
  .default('latest')
  .describe('Tag of an image without a name; set by the plugin for builds of one platform');

/**
 * The options of each executor: those of the verb it runs, and what only Nx needs. The `schema.json`
 * of each executor is made from these.
 */
export const executorOptions = {
  'lock-images': lockVerb.options,
  'cache-images': cacheVerb.options.extend({ format }),
  'sync-registry': syncVerb.options,
  'build-image': buildVerb.options.extend({ format, defaultTag }),
  image: buildVerb.options.extend({
    context: z.string().default('.').describe('Directory with the Dockerfile'),
    bare: z
      .boolean()
      .default(true)
      .describe('Only what the Dockerfile says: not the images of charts, manifests and lists'),
    format,
    defaultTag,
  }),
  // What is said of a build here would be said to nobody.
  'image-index': indexVerb.options.extend({ format }).strict(),
  'push-image': pushVerb.options.extend({ buildTarget }),
  'release-publish': pushVerb.options.extend({
    buildTarget,
    dryRun: z.boolean().default(false).describe('Tell what would be pushed, and push nothing'),
  }),
  'save-image': saveVerb.options.extend({ buildTarget }),
  'serve-image': serveVerb.options.omit({ printConfig: true }),
} as const;

export const executorSummaries: Readonly<Record<keyof typeof executorOptions, string>> = {
  'lock-images': lockVerb.summary,
  'cache-images': cacheVerb.summary,
  'sync-registry': syncVerb.summary,
  'build-image': buildVerb.summary,
  image: 'Build the image of a Dockerfile',
  'image-index': indexVerb.summary,
  'push-image': pushVerb.summary,
  'release-publish': 'Push the image that nx release has versioned',
  'save-image': saveVerb.summary,
  'serve-image': 'Serve images as a registry while other tasks run',
};

/** Those that run until nobody needs them any more. */
export const continuousExecutors: ReadonlySet<string> = new Set(['serve-image']);
