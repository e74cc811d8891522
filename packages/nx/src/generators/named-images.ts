import { posix } from 'node:path';
import type { ProjectGraph } from '@nx/devkit';
import {
  type Context,
  discoverVerb,
  type Environment,
  nameOf,
  parseReference,
} from 'cluster-image';
import { z } from 'zod';
import { imageExecutors } from '../image-executors.ts';

/** An image that a project builds under a name of its own. */
export interface NamedImage {
  readonly project: string;
  /** With host and without tag: `registry.example/acme/api`. */
  readonly name: string;
  /** Its thin image, relative to the workspace. */
  readonly path: string;
}

const namedSchema = z.object({ tag: z.string(), thin: z.string() });

/** The images that projects build whose targets say what they are called. */
export function namedImages(nodes: ProjectGraph['nodes']): readonly NamedImage[] {
  return Object.entries(nodes).flatMap(([project, { data }]) =>
    Object.values(data.targets ?? {}).flatMap(({ executor = '', options }) => {
      const named = namedSchema.safeParse(options);
      if (!imageExecutors.includes(executor) || !named.success) return [];
      const name = nameIn(named.data.tag);
      return name === undefined ? [] : [{ project, name, path: named.data.thin }];
    }),
  );
}

/** Undefined for what is no name of an image, which the task itself tells. */
function nameIn(tag: string): string | undefined {
  try {
    return nameOf(parseReference(tag));
  } catch {
    return undefined;
  }
}

/**
 * Those of the images that a context refers to by their names, and has no other account of, as
 * `workspaceImages` has them.
 */
export async function builtHere(
  options: z.infer<typeof discoverVerb.options>,
  images: readonly NamedImage[],
  environment: Environment,
  context: Context,
): Promise<Readonly<Record<string, string>>> {
  if (images.length === 0) return {};
  const found = await discoverVerb.run(options, environment, context);
  const wanted = new Set(
    found.images
      .map(({ reference }) => parseReference(reference))
      .flatMap((reference) => (reference.digest ? [] : [nameOf(reference)])),
  );
  return Object.fromEntries(
    images
      .filter(({ name }) => wanted.has(name))
      .map(({ name, path }) => [name, `oci:${posix.relative(options.context, path)}`]),
  );
}
