import { z } from 'zod';

/** Keys from the top of a mapping. */
const pathSchema = z.string().regex(/^[^.]+(?:\.[^.]+)*$/, { error: 'not keys joined by dots' });

const namesSchema = z.union([pathSchema, z.array(pathSchema).min(1)]);

/** What may be searched for: a key anywhere, or a path from the top of an object. */
const searchSchema = z
  .strictObject({
    group: z
      .string()
      .optional()
      .describe(
        'API group of the objects it is about, without the version; empty for the core, * for any',
      ),
    kind: z.string().optional().describe('Kind of the objects it is about; * for any'),
    key: z.string().min(1).optional().describe('Name of an entry, wherever it is in the object'),
    path: pathSchema
      .optional()
      .describe(
        'Keys from the top of the object, joined by dots; sequences add nothing, * is any key, ** any number of them',
      ),
    value: z
      .union(
        [
          z.enum(['image', 'suspect', 'yaml', 'none']),
          z.strictObject({
            registry: namesSchema.optional(),
            repository: namesSchema,
            tag: namesSchema.optional(),
            digest: namesSchema.optional(),
          }),
        ],
        { error: 'not image, suspect, yaml, none, or {registry, repository, tag, digest}' },
      )
      .default('image')
      .describe(
        'What is there: an image, or a list of them; what may be images; YAML or JSON in a text; nothing that is an image; or a mapping whose entries of these names, the first that are there, make up an image',
      ),
  })
  .refine(({ key, path }) => (key === undefined) !== (path === undefined), {
    error: 'takes either a key or a path',
  });

/** Where images are in objects that are not known by themselves. */
export type SearchRule = Readonly<z.infer<typeof searchSchema>>;

const setSchema = z.record(z.string().min(1), z.json());

const renderingShape = {
  release: z.string().optional().describe('Release name; else what the build file installs it as'),
  namespace: z.string().optional(),
  kubeVersion: z.string().optional().describe('Kubernetes version that templates are told'),
  apiVersions: z
    .array(z.string())
    .optional()
    .describe('API versions, GROUP/VERSION[/KIND], that templates are told to be there'),
  values: z
    .array(z.string())
    .optional()
    .describe('Values files in the context, the later ones winning'),
  set: setSchema.optional().describe('Values, by their path, as `--set` names it'),
  tests: z.boolean().optional().describe('Include the hooks that are tests'),
};

const renderingSchema = z.strictObject(renderingShape);

/** One way to render a chart. */
export type RenderingSettings = Readonly<z.infer<typeof renderingSchema>>;

const chartSchema = z.strictObject({
  ...renderingShape,
  repository: z
    .string()
    .regex(/^(?:oci|https?):\/\/./, {
      error: 'not the URL of a chart repository (oci:// or https://)',
    })
    .optional()
    .describe('Chart repository it is fetched from; it then need not be in the context'),
  name: z.string().optional().describe('Its name there; else that of the file'),
  version: z.string().optional().describe('Version or range of versions; the lockfile pins one'),
  variants: z
    .array(renderingSchema)
    .min(1)
    .optional()
    .describe('Several ways to render it, each over what is said beside; their images are united'),
  declared: z
    .enum(['suspect', 'accept', 'ignore'])
    .optional()
    .describe('What becomes of images that the chart declares and does not render; else suspects'),
});

/** What is special about a chart. */
export type ChartSettings = Readonly<z.infer<typeof chartSchema>>;

const kustomizeSchema = z.strictObject({
  overlays: z
    .array(z.string())
    .optional()
    .describe('Directories with a kustomization to build, beside those below manifests/'),
  remote: z.boolean().optional().describe('Allow resources that kustomize fetches from elsewhere'),
});

export type KustomizeSettings = Readonly<z.infer<typeof kustomizeSchema>>;

/** Texts that stand for many, `*` for whatever has no slash, `**` for anything. */
const patterns = z.array(z.string().min(1));

/** What a configuration says of how images are found, as zod has shapes of objects. */
export const discoverShape = {
  search: z
    .array(searchSchema)
    .optional()
    .describe('Where else images are, or are not, in objects; goes before what is known'),
  accept: patterns
    .optional()
    .describe('Suspects that are images: references, in which * and ** stand for anything'),
  ignore: patterns
    .optional()
    .describe('References, texts and files to leave out, in which * and ** stand for anything'),
  resolve: z
    .record(
      z.string().min(1),
      z.union([z.string(), z.array(z.string())], { error: 'not an image or a list of images' }),
    )
    .optional()
    .describe('Images that texts stand for which cannot be resolved by themselves'),
  strict: z
    .boolean()
    .optional()
    .describe('Refuse to lock and build while suspects are neither accepted nor ignored'),
  lists: z
    .array(z.string())
    .optional()
    .describe(
      'Files in the context that list more images, one a line, or in sections as sealer has them',
    ),
  ignoredLists: z
    .array(z.string())
    .optional()
    .describe('Files in the context that list what to leave out, as .sealignore does'),
  charts: z
    .record(z.string().min(1), chartSchema)
    .optional()
    .describe('What is special about charts, by their path in the context'),
  kustomize: kustomizeSchema.optional(),
};

/** How images are found. */
export type DiscoverSettings = Readonly<z.infer<z.ZodObject<typeof discoverShape>>>;
