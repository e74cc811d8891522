import { z } from 'zod';

const skipFormat = z.boolean().default(false).describe('Leave new files as they are written');

const tag = z.string().optional().describe('Name of the image, NAME[:TAG]');

const directory = z
  .string()
  .regex(/^(?!\/)(?!.*(?:^|\/)\.\.(?:\/|$)).+$/, 'a directory inside the workspace');

/** The options of each generator; its `schema.json` is made from these. */
export const generatorOptions = {
  init: z.object({ skipFormat }),
  sync: z.object({}),
  'cluster-image': z.object({
    directory: directory.meta({
      description: 'Where the project goes; what a sealos or sealer context there has is kept',
      $default: { $source: 'argv', index: 0 },
      'x-prompt': 'In which directory?',
      'x-priority': 'important',
    }),
    name: z
      .string()
      .regex(/^(?:@[A-Za-z0-9][\w.-]*\/)?[A-Za-z0-9][\w.-]*$/, 'a project name')
      .optional()
      .describe('Name of the project; else that of its directory'),
    tag,
    chart: z
      .string()
      .optional()
      .describe(
        'A chart to begin with: a directory or archive of the workspace, or oci://HOST/PATH/NAME[:VERSION], https://HOST/PATH/NAME[:VERSION]',
      ),
    list: z.string().optional().describe('A file of the workspace that lists images to begin with'),
    skipFormat,
  }),
  image: z.object({
    project: z.string().meta({
      description: 'The project that gets an image',
      $default: { $source: 'argv', index: 0 },
      'x-prompt': 'Which project gets an image?',
      'x-dropdown': 'projects',
      'x-priority': 'important',
    }),
    dockerfile: z
      .boolean()
      .default(true)
      .describe('A Dockerfile; else the image is said in cluster-image.json'),
    base: z.string().default('scratch').describe('The image it is built upon'),
    files: z.array(z.string()).default(['dist']).describe('What of the project is copied into it'),
    entrypoint: z.array(z.string()).default([]).describe('What it runs, a word at a time'),
    tag,
    clusters: z
      .array(z.string())
      .default([])
      .describe('Projects whose cluster images contain it, by the name of the image'),
    skipFormat,
  }),
  convert: z.object({
    to: z.enum(['explicit', 'inferred']).meta({
      description: 'Targets in project.json, or those that the plugin finds by itself',
      $default: { $source: 'argv', index: 0 },
      'x-prompt': 'Explicit targets, or inferred ones?',
    }),
    project: z.string().optional().describe('Only this project; else all'),
    skipFormat,
  }),
} as const;

export const generatorSummaries: Readonly<Record<keyof typeof generatorOptions, string>> = {
  init: 'Set the plugin up in a workspace',
  sync: 'Pin what contexts refer to in their lockfiles (nx sync)',
  'cluster-image': 'Create a project that builds a cluster image',
  image: 'Give a project an image, and cluster images that contain it',
  convert: 'Write inferred targets into project.json, or take them out again',
};
