import { posix } from 'node:path';
import type { NxJsonConfiguration, ProjectConfiguration, ProjectGraph } from '@nx/devkit';
import { nameOf, parseReference, referenceFrom } from 'cluster-image';
import { z } from 'zod';
import { imageExecutors } from '../image-executors.ts';
import { engineImages } from './engine-images.ts';

/** An image that a project builds under a name of its own. */
export interface NamedImage {
  readonly project: string;
  /** With host and without tag: `registry.example/acme/api`. */
  readonly name: string;
  /** Where it is built: a path is relative to the workspace. */
  readonly place:
    | { readonly path: string }
    | { readonly location: string; readonly target: string };
}

/** What `workspaceImages` in a `cluster-image.json` says of an image. */
export type Entry =
  | string
  | { readonly from: string; readonly project: string; readonly target: string };

const namedSchema = z.object({ tag: z.string(), thin: z.string() });

/** The images that projects build whose targets say what they are called. */
export async function namedImages(
  nodes: ProjectGraph['nodes'],
  nxJson: NxJsonConfiguration,
): Promise<readonly NamedImage[]> {
  const found = Object.entries(nodes).map(async ([project, { data }]) => [
    ...thinImages(project, data),
    ...(await imagesInEngines(project, data, nxJson)),
  ]);
  return (await Promise.all(found)).flat();
}

function thinImages(
  project: string,
  { targets = {} }: ProjectConfiguration,
): readonly NamedImage[] {
  return Object.values(targets).flatMap(({ executor = '', options }) => {
    const named = namedSchema.safeParse(options);
    if (!imageExecutors.includes(executor) || !named.success) return [];
    const name = nameIn(named.data.tag);
    return name === undefined ? [] : [{ project, name, place: { path: named.data.thin } }];
  });
}

async function imagesInEngines(
  project: string,
  data: ProjectConfiguration,
  nxJson: NxJsonConfiguration,
): Promise<readonly NamedImage[]> {
  const images = await engineImages(data);
  const released = releasedName(data, nxJson);
  return images.flatMap(({ name: tag, location, target }) =>
    [tag, ...(released === undefined ? [] : [released])].flatMap((called) => {
      const name = nameIn(called);
      return name === undefined ? [] : [{ project, name, place: { location, target } }];
    }),
  );
}

const dockerReleaseSchema = z.object({
  release: z
    .object({
      docker: z
        .object({ repositoryName: z.string().optional(), registryUrl: z.string().optional() })
        .optional(),
    })
    .optional(),
});

/** What `nx release` calls the image of a project with a Dockerfile; undefined where that is not said. */
function releasedName(
  project: ProjectConfiguration,
  nxJson: NxJsonConfiguration,
): string | undefined {
  const own = dockerReleaseSchema.safeParse(project).data?.release?.docker;
  const all = dockerReleaseSchema.safeParse(nxJson).data?.release?.docker;
  const repository = own?.repositoryName;
  const host = own?.registryUrl ?? all?.registryUrl;
  if (repository === undefined) return undefined;
  return host === undefined ? repository : posix.join(host, repository);
}

/** Undefined for what is no name of an image, which the task itself tells. */
function nameIn(tag: string): string | undefined {
  const reference = referenceFrom(tag);
  return reference && nameOf(reference);
}

/** Those of the images that are referred to by their names, and not by digests; of several of one name the first. */
export function builtHere(
  references: readonly string[],
  images: readonly NamedImage[],
): readonly NamedImage[] {
  const wanted = new Set(
    references
      .map(parseReference)
      .flatMap((reference) => (reference.digest ? [] : [nameOf(reference)])),
  );
  const found = new Map<string, NamedImage>();
  for (const image of images) {
    if (wanted.has(image.name) && !found.has(image.name)) found.set(image.name, image);
  }
  return [...found.values()];
}

/** How a context in that directory says where an image is built. */
export function entryOf({ project, place }: NamedImage, root: string): Entry {
  return 'path' in place
    ? `oci:${posix.relative(root, place.path)}`
    : { from: place.location, project, target: place.target };
}
