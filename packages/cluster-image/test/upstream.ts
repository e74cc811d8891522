import {
  memory,
  nameOf,
  parseReference,
  type Registry,
  type RegistryReader,
} from '@cluster-image/oci';
import { type ImageFixture, putFixture } from '@cluster-image/testing';
import type { Discovery, Found } from '../src/discover/discovery.ts';
import type { Engines } from '../src/engines/engines.ts';

/** A registry that stands for all there are, with these images by their references; those with a digest have no tag. */
export async function upstreamOf(
  images: Readonly<Record<string, ImageFixture>>,
): Promise<Registry> {
  const registry = memory();
  for (const [reference, fixture] of Object.entries(images)) {
    const { tag, digest, ...name } = parseReference(reference);
    await putFixture(registry, nameOf(name), fixture, digest ? undefined : tag);
  }
  return registry;
}

/** The same registry, noting down what is asked of it: what, and of which repository. */
export function watched(registry: RegistryReader, calls: string[]): RegistryReader {
  return {
    ...registry,
    async resolve(repository, reference) {
      calls.push(`resolve ${repository} ${reference}`);
      return registry.resolve(repository, reference);
    },
    async manifest(repository, digest) {
      calls.push(`manifest ${repository} ${digest}`);
      return registry.manifest(repository, digest);
    },
    async blob(repository, digest, size) {
      const found = await registry.blob(repository, digest, size);
      return (
        found && {
          ...found,
          open(range) {
            calls.push(`blob ${repository} ${digest}`);
            return found.open(range);
          },
        }
      );
    },
  };
}

/** A context that refers to these images, each from a line of one manifest, and is built upon those. */
export function discoveryOf(
  images: readonly (string | Omit<Found, 'origins'>)[],
  bases: readonly string[] = [],
): Discovery {
  return {
    images: images.map((image, at) => ({
      ...(typeof image === 'string' ? { reference: image } : image),
      origins: [{ file: 'manifests/all.yaml', line: at + 1 }],
    })),
    bases: bases.map((reference, at) => ({
      reference,
      origins: [{ file: 'Kubefile', line: at + 1, via: 'FROM' }],
    })),
    suspects: [],
    unresolved: [],
  };
}

/** A machine without container engines, for what has no business with any. */
export const noEngines: Engines = {
  read: () => Promise.reject(new Error('no engine is to be asked')),
  release: async () => {},
  write: () => Promise.reject(new Error('no engine is to be asked')),
  close: async () => {},
};
