import { z } from 'zod';

const skipFormat = z.boolean().default(false).describe('Leave new files as they are written');

/** The options of each generator; its `schema.json` is made from these. */
export const generatorOptions = {
  init: z.object({ skipFormat }),
  sync: z.object({}),
  'cluster-image': z.object({
    directory: z
      .string()
      .regex(/^(?!\/)(?!.*(?:^|\/)\.\.(?:\/|$)).+$/, 'a directory inside the workspace')
      .meta({
        description: 'Where the project goes',
        $default: { $source: 'argv', index: 0 },
        'x-prompt': 'In which directory?',
      }),
    name: z
      .string()
      .regex(/^[A-Za-z0-9][\w.-]*$/, 'a project name')
      .optional()
      .describe('Name of the project; else that of its directory'),
    tag: z.string().optional().describe('Name of the image, NAME[:TAG]'),
    skipFormat,
  }),
} as const;

export const generatorSummaries: Readonly<Record<keyof typeof generatorOptions, string>> = {
  init: 'Set the plugin up in a workspace',
  sync: 'Pin what contexts refer to in their lockfiles (nx sync)',
  'cluster-image': 'Create a project that builds a cluster image',
};
