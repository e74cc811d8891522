import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { network } from '@cluster-image/distribution';
import { createContext } from '@cluster-image/oci';
import { type ImageFixture, imageFixture, indexFixture, putFixture } from '@cluster-image/testing';
import { dockerRegistry, type RegistryServer } from './servers.ts';

/** A context whose images are in a real registry, which stands for their hosts. */
export interface ClusterContext {
  readonly path: string;
  readonly upstream: RegistryServer;
  readonly images: readonly UpstreamImage[];
  /** For every run of the command: a store of its own. */
  readonly env: Readonly<Record<string, string>>;
}

export interface UpstreamImage {
  /** As the context refers to it. */
  readonly reference: string;
  /** Repository and tag in the cluster image's registry. */
  readonly placed: string;
  readonly image: ImageFixture;
}

/** Layers that several images have in common, as real images do. */
const shared = new Uint8Array(2_000_000).fill(7);

/**
 * Three images, one of each kind: an index asked for by tag, an index asked for by digest only, and
 * an image of one platform with tag and digest.
 */
export async function clusterContext(work: string): Promise<ClusterContext> {
  const upstream = await dockerRegistry(join(work, 'upstream'), work);
  const byTag = indexFixture(['linux/amd64', 'linux/arm64'], {
    seed: 'by tag',
    layers: [shared, 3_000_000, 5_000],
  });
  const byDigest = indexFixture(['linux/amd64', 'linux/arm64', 'linux/s390x'], {
    seed: 'by digest',
    layers: [shared, 400_000],
  });
  const single = imageFixture({ seed: 'single', layers: [shared, 1_500_000, 0] });
  const images: UpstreamImage[] = [
    { reference: 'docker.io/library/base:1.0', placed: 'library/base:1.0', image: byTag },
    {
      reference: `registry.k8s.io/pause@${byDigest.root.digest}`,
      placed: `pause:${byDigest.root.digest.replace(':', '-')}`,
      image: byDigest,
    },
    {
      reference: `quay.io/team/sub/app:v2@${single.root.digest}`,
      placed: 'team/sub/app:v2',
      image: single,
    },
  ];
  await fillRegistry(upstream.host, images);
  const path = join(work, 'context');
  const files: Readonly<Record<string, string>> = {
    Kubefile:
      'FROM scratch\nLABEL sealos.io.type=application\nCOPY manifests ./manifests\nCOPY registry ./registry\nCMD ["kubectl apply -f manifests"]\n',
    'cluster-image.json': JSON.stringify({
      registries: { '*': { mirrors: [`http://${upstream.host}/{host}`] } },
    }),
    'images/shim/list': images
      .slice(1)
      .map(({ reference }) => `${reference}\n`)
      .join(''),
    'manifests/pod.yaml': `apiVersion: v1
kind: Pod
metadata: { name: base }
spec:
  containers:
    - { name: base, image: "base:1.0" }
`,
  };
  for (const [name, text] of Object.entries(files)) {
    await mkdir(join(path, name, '..'), { recursive: true });
    await writeFile(join(path, name), text);
  }
  return { path, upstream, images, env: { CLUSTER_IMAGE_STORE: join(work, 'store') } };
}

/** Puts images into a registry, each below the name of its own host. */
export async function fillRegistry(
  host: string,
  images: readonly Pick<UpstreamImage, 'reference' | 'image'>[],
): Promise<void> {
  const opened = network({ context: createContext(), hosts: { [host]: { plainHttp: true } } });
  try {
    for (const { reference, image } of images) {
      const [, name = '', tag] = /^([^@]+?)(?::([^:@/]+))?(?:@.*)?$/.exec(reference) ?? [];
      await putFixture(opened.registry(host), name, image, tag ?? 'untagged');
    }
  } finally {
    await opened.close();
  }
}
