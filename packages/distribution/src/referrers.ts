import {
  type Descriptor,
  type Digest,
  listedReferrers,
  mediaTypes,
  type Referring,
  type RegistryReader,
} from '@cluster-image/oci';
import { json, type ServerResponse } from './answers.ts';
import type { Route } from './route.ts';

/** More than anybody signs one image, and as many as one answer may hold. */
const mostReferrers = 5_000;

/**
 * Lists what is about a manifest: what the registry knows of, and what clients have listed under the
 * tag that stands for this list where registries know of none.
 * https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#listing-referrers
 */
export async function referrers(
  reader: RegistryReader,
  referring: Referring | undefined,
  { repository, digest, artifactType }: Route & { readonly kind: 'referrers' },
): Promise<ServerResponse> {
  const found = new Map<Digest, Descriptor>();
  for (const descriptor of await listedReferrers(reader, repository, digest)) {
    found.set(descriptor.digest, descriptor);
  }
  for await (const descriptor of referring?.referrers(repository, digest) ?? []) {
    if (found.size >= mostReferrers) break;
    found.set(descriptor.digest, descriptor);
  }
  const manifests = [...found.values()].filter(
    (descriptor) => artifactType === undefined || descriptor.artifactType === artifactType,
  );
  const filtered = { 'oci-filters-applied': 'artifactType' };
  return json(
    { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests },
    { 'content-type': mediaTypes.ociIndex, ...(artifactType !== undefined && filtered) },
  );
}
