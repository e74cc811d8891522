import {
  bytes,
  type Descriptor,
  describe as describeManifest,
  describeReferrer,
  type Manifest,
  type Registry,
  referrersList,
  referrersTag,
} from '@cluster-image/oci';
import { aboutFixture, imageFixture, indexFixture, putFixture } from '@cluster-image/testing';

export const image = imageFixture({ seed: 'app', layers: [2000, 5000] });
export const index = indexFixture(['linux/amd64', 'linux/arm64'], { seed: 'index' });

/** What is about something, with no layers. */
export function about(subject: Descriptor, artifactType: string): Manifest {
  return aboutFixture(subject, { artifactType });
}

const [child] = index.root.manifests;
if (!child) throw new Error('no child');

export const sbom = about(describeManifest(image.root), 'sbom');
export const signature = about(describeManifest(sbom), 'signature');
export const provenance = about(child, 'provenance');

/** As cosign makes it: an image, whose tag says what it is about. */
export const cosign = imageFixture({ seed: 'cosign', layers: [300] });
export const cosignTag = `${image.root.digest.replace(':', '-')}.sig`;

/** Where everything is that is about something. */
export const abouts = [
  ['app', sbom],
  ['app', signature],
  ['team/index', provenance],
] as const;

/** Stores what is about something. */
export async function putAbout(
  registry: Registry,
  repository: string,
  manifest: Manifest,
): Promise<void> {
  if (manifest.kind === 'image') {
    await registry.putBlob(repository, manifest.config.digest, bytes('{}'));
  }
  await registry.putManifest(repository, manifest);
}

/**
 * Puts `app:1` with an SBOM that is signed, and a signature as cosign makes it; and `team/index:1`,
 * with the provenance of one of its children.
 */
export async function putSigned(registry: Registry): Promise<void> {
  await putFixture(registry, 'app', image, '1');
  await putFixture(registry, 'team/index', index, '1');
  for (const [repository, manifest] of abouts) await putAbout(registry, repository, manifest);
  await putFixture(registry, 'app', cosign, cosignTag);
}

/** Lists what is about something under tags, as clients do where the registry does not know. */
export async function putLists(registry: Registry): Promise<void> {
  for (const [repository, manifest] of abouts) {
    if (!manifest.subject) throw new Error('no subject');
    const list = referrersList([describeReferrer(manifest)]);
    await registry.putManifest(repository, list, referrersTag(manifest.subject.digest));
  }
}
