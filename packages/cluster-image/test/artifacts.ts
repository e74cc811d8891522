import { type Descriptor, describe, digestOf, mediaTypes, parseManifest } from '@cluster-image/oci';
import { type ImageFixture, noise } from '@cluster-image/testing';

/** A manifest with a config of some type and one layer, which is no image. */
export function artifactFixture(config: string, seed = 'artifact'): ImageFixture {
  const [settings, layer] = [Buffer.from('{}'), noise(seed, 700)];
  const descriptor = (mediaType: string, body: Uint8Array): Descriptor => ({
    mediaType,
    digest: digestOf(body),
    size: body.length,
  });
  const text = JSON.stringify({
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: descriptor(config, settings),
    layers: [descriptor('application/vnd.cncf.helm.chart.content.v1.tar+gzip', layer)],
  });
  const root = parseManifest(Buffer.from(text), seed);
  const blobs = new Map([settings, layer].map((body) => [digestOf(body), body]));
  return { root, manifests: [root], blobs };
}

/** An index that does not say what its children are for. */
export function bareIndexFixture(children: readonly ImageFixture[]): ImageFixture {
  const text = JSON.stringify({
    schemaVersion: 2,
    mediaType: mediaTypes.ociIndex,
    manifests: children.map(({ root }) => describe(root)),
  });
  const root = parseManifest(Buffer.from(text), 'index');
  return {
    root,
    manifests: [...children.flatMap(({ manifests }) => manifests), root],
    blobs: new Map(children.flatMap(({ blobs }) => [...blobs])),
  };
}
