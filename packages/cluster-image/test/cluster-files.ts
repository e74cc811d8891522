import { type FaultRegistry, type ImageFixture, putFixture } from '@cluster-image/testing';
import type { Given } from './context.ts';

/** A context that refers to images of a registry host, one manifest each. */
export function clusterFiles(
  host: string,
  images: readonly string[],
  at = 'cluster',
): Readonly<Record<string, Given>> {
  return {
    [`${at}/Kubefile`]: `FROM scratch
LABEL sealos.io.type=application
COPY manifests ./manifests
COPY registry ./registry
CMD ["kubectl apply -f manifests"]
`,
    ...Object.fromEntries(
      images.map((image, number) => [
        `${at}/manifests/${number}.yaml`,
        `apiVersion: v1\nkind: Pod\nspec:\n  containers:\n    - image: ${host}/${image}\n`,
      ]),
    ),
  };
}

/** Puts images into a registry, by REPOSITORY:TAG. */
export async function putImages(
  { registry }: Pick<FaultRegistry, 'registry'>,
  images: Readonly<Record<string, ImageFixture>>,
): Promise<void> {
  for (const [name, fixture] of Object.entries(images)) {
    const [repository = '', tag] = name.split(':');
    await putFixture(registry, repository, fixture, tag);
  }
}
