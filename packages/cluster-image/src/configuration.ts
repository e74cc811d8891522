import { dirname, join, relative, resolve } from 'node:path';
import { isHost, parsePlatform, parseReference, readText } from '@cluster-image/oci';
import { directory, file } from '@cluster-image/storage';
import { z } from 'zod';
import { sealerImageTypes } from './assemble/sealer-image.ts';
import { configurationName, readConfigurationFile } from './configuration-file.ts';
import { discoverShape } from './discover/settings.ts';
import { imageOptions } from './kubefile/image-options.ts';
import { formatLocation, parseLocation } from './location.ts';

/** A text that is read in earnest only later; whoever wrote it is to know at once. */
function readable(read: (text: string) => unknown): (text: string) => boolean {
  return (text) => {
    try {
      return read(text) !== undefined;
    } catch {
      return false;
    }
  };
}

/** The URL of a registry: HTTP, without credentials. Undefined for what is none. */
export function registryUrl(text: string): URL | undefined {
  const url = URL.parse(text.trim());
  const isOne = url && /^https?:$/.test(url.protocol) && url.username === '' && url.password === '';
  return isOne ? url : undefined;
}

const mirrorUrl = z
  .string()
  .refine((text) => registryUrl(text.replaceAll('{host}', 'host')) !== undefined, {
    error:
      'not the URL of a registry, which begins with http:// or https:// and holds no credentials',
  })
  .describe('URL of a registry that has copies; {host} stands for the host that is mirrored');

const mirrorSchema = z
  .union([
    mirrorUrl,
    z.strictObject({
      url: mirrorUrl,
      digestOnly: z
        .boolean()
        .default(false)
        .describe('Do not ask it what a tag means, only for what is pinned'),
    }),
    z.strictObject({
      endpointFile: z
        .string()
        .describe(
          'File that holds the URL of a registry which runs beside the build, as serve --endpoint-file writes it',
        ),
      path: z
        .string()
        .default('')
        .describe('What comes before repository names there; {host} as above'),
    }),
  ])
  .describe('A registry to ask first');

const registrySchema = z.strictObject({
  mirrors: z.array(mirrorSchema).optional().describe('Registries to ask before it, in this order'),
  plainHttp: z.boolean().optional().describe('Speak HTTP without TLS to it'),
  insecure: z.boolean().optional().describe('Accept any certificate of it'),
  tokenHosts: z
    .array(z.string())
    .optional()
    .describe(
      'Hosts of token servers that may see its credentials, beside those of its own domain',
    ),
});

/** Whatever else would silently be about no registry at all. */
const registryHost = z.string().refine((text) => text === '*' || isHost(text), {
  error: 'not a host, as image references name it, nor *',
});

/**
 * Whom to trust without TLS, without its certificate, or with other hosts' credentials is never said
 * of all registries at once.
 */
const registriesSchema = z
  .record(registryHost, registrySchema)
  .superRefine((registries, issues) => {
    const { mirrors: _, ...trust } = registries['*'] ?? {};
    for (const option of Object.keys(trust)) {
      issues.addIssue({
        code: 'custom',
        path: ['*', option],
        message: 'is said of a host by its name; * takes mirrors only',
      });
    }
  });

function isImageName(text: string): boolean {
  return /^[^@]+$/.test(text) && !/:[^/]*$/.test(text) && readable(parseReference)(text);
}

const builtLocation = z
  .string()
  .refine(readable(parseLocation), { error: 'not the location of an image' })
  .refine((text) => !/^(?:registry|docker):/.test(text), {
    error: 'not where this workspace builds an image',
  });

/** Where an image is, and perhaps which task builds it: for plugins of task runners, not for the build itself. */
const workspaceImage = z.union(
  [
    builtLocation,
    z
      .strictObject({
        from: builtLocation.describe('Where it is built'),
        project: z.string().min(1).optional().describe('The project that builds it'),
        target: z.string().min(1).optional().describe('The target that builds it'),
      })
      .transform(({ from }) => from),
  ],
  { error: 'not where this workspace builds an image: a location, or from, project and target' },
);

/** `cluster-image.json`, beside the build file or at the root of the workspace. */
export const configurationSchema = z.strictObject({
  $schema: z.string().optional(),
  platforms: z
    .array(z.string().refine(readable(parsePlatform), { error: 'not a platform' }))
    .optional()
    .describe('Platforms to build for, os/arch[/variant]'),
  maxLayers: z.int().min(10).max(1000).optional().describe('The most layers an image may have'),
  keepHosts: z
    .boolean()
    .optional()
    .describe(
      'Name images in registry/ with their host as well, and only so where two would share a name',
    ),
  buildArguments: z.record(z.string(), z.string()).optional().describe('Values for ARG'),
  type: z.enum(sealerImageTypes).optional().describe('What sealer takes the image for'),
  image: imageOptions
    .optional()
    .describe(
      'An image without a build file: each entry means what the instruction of that name does',
    ),
  earlier: z
    .array(z.string())
    .optional()
    .describe(
      'Locations of earlier cluster images, whose parts are taken before any upstream is asked',
    ),
  workspaceImages: z
    .record(
      z.string().refine(isImageName, { error: 'not the name of an image, without a tag' }),
      workspaceImage,
    )
    .optional()
    .describe(
      'Images that this workspace builds itself, by name without a tag, and where they are built: a thin image or OCI layout as oci:DIR, an archive, or docker-daemon:NAME',
    ),
  registries: registriesSchema
    .optional()
    .describe('What is special about registries, by host; * has the mirrors of all others'),
  ...discoverShape,
});

export type Configuration = Readonly<z.infer<typeof configurationSchema>>;

/** Files that mark the root of a workspace. */
const rootMarks = ['nx.json', 'turbo.json', '.git', 'pnpm-workspace.yaml'];

/** Longer than any turbo.json that a package has, in bytes. */
const packageLimit = 1024 * 1024;

/** The nearest directory at or above a path that looks like the root of a workspace; the path itself if none does. */
export async function workspaceRoot(path: string): Promise<string> {
  for (let at = path; ; at = dirname(at)) {
    for (const mark of rootMarks) if (await isMarked(at, mark)) return at;
    if (dirname(at) === at) return path;
  }
}

async function isMarked(path: string, mark: string): Promise<boolean> {
  const entry = await directory(path).entry(mark);
  if (entry?.type !== 'file' || mark !== 'turbo.json') return entry !== undefined;
  // A package has one as well, to say how it differs from the workspace's.
  // https://turborepo.com/docs/reference/package-configurations
  const text = await readText(entry.content, packageLimit).catch(() => '');
  return !/"extends"\s*:/.test(text);
}

/**
 * The configuration of a context: its own file over the workspace's. Throws INPUT_INVALID.
 *
 * @param cwd the directory from which errors name the files; in full without it
 */
export async function readConfiguration(path: string, cwd?: string): Promise<Configuration> {
  const root = await workspaceRoot(path);
  const shared = await readFile(root, cwd);
  if (root === path) return { ...shared, registries: shared.registries ?? {} };
  return combined(shared, await readFile(path, cwd));
}

function combined(shared: Configuration, own: Configuration): Configuration {
  const both = (key: 'accept' | 'ignore' | 'search') =>
    own[key] || shared[key] ? { [key]: [...(own[key] ?? []), ...(shared[key] ?? [])] } : {};
  // The paths of charts, overlays, lists and of an image's files are those of one context.
  const general = {
    ...shared,
    charts: undefined,
    kustomize: undefined,
    lists: undefined,
    ignoredLists: undefined,
    image: undefined,
  };
  return {
    ...general,
    ...own,
    registries: { ...shared.registries, ...own.registries },
    ...((own.workspaceImages || shared.workspaceImages) && {
      workspaceImages: { ...shared.workspaceImages, ...own.workspaceImages },
    }),
    ...((own.resolve || shared.resolve) && { resolve: { ...shared.resolve, ...own.resolve } }),
    ...both('search'),
    ...both('accept'),
    ...both('ignore'),
  };
}

async function readFile(path: string, cwd: string | undefined): Promise<Configuration> {
  const full = join(path, configurationName);
  const content = await file(full);
  if (!content) return {};
  const where = cwd === undefined ? full : relative(cwd, full);
  const { value } = await readConfigurationFile(content, configurationSchema, where);
  return withPaths(value, path);
}

/** Paths in a configuration are relative to its own file. */
function withPaths(configuration: Configuration, path: string): Configuration {
  const registries = Object.entries(configuration.registries ?? {}).map(([host, options]) => [
    host,
    {
      ...options,
      ...(options.mirrors && {
        mirrors: options.mirrors.map((mirror) =>
          typeof mirror === 'string' || 'url' in mirror
            ? mirror
            : { ...mirror, endpointFile: resolve(path, mirror.endpointFile) },
        ),
      }),
    },
  ]);
  const images = Object.entries(configuration.workspaceImages ?? {}).map(
    ([name, location]) => [name, locationFrom(path, location)] as const,
  );
  return {
    ...configuration,
    registries: Object.fromEntries(registries),
    ...(images.length > 0 && { workspaceImages: Object.fromEntries(images) }),
  };
}

/** The same location, its path in full. */
function locationFrom(directory: string, text: string): string {
  const location = parseLocation(text);
  return 'path' in location
    ? formatLocation({ ...location, path: resolve(directory, location.path) })
    : text;
}
