import {
  bytes,
  type Descriptor,
  type Digest,
  digestOf,
  type ImageManifest,
  type Manifest,
  mediaTypes,
  memory,
  OciError,
  parseManifest,
  type Repository,
} from '@cluster-image/oci';
import type { LockedChart } from '../lock/lockfile.ts';
import { nameIn } from './remote-chart.ts';

/** The most that a packed chart may have, in bytes: as much as helm unpacks. */
export const archiveLimit = 100 * 1024 * 1024;

/** https://helm.sh/docs/topics/registries/#helm-chart-manifest */
const chartTypes = {
  config: 'application/vnd.cncf.helm.config.v1+json',
  archive: 'application/vnd.cncf.helm.chart.content.v1.tar+gzip',
  /** As helm pushed it before 3.7. */
  oldArchive: 'application/tar+gzip',
} as const;

/** A chart as an OCI artifact in a registry. */
export interface ChartArtifact extends Repository {
  readonly manifest: Manifest;
  /** The packed chart. */
  readonly archive: Descriptor;
}

/** Which of the layers of a manifest is a packed chart. Throws MANIFEST_INVALID for what is no chart. */
export function archiveIn(manifest: Manifest, what: string): Descriptor {
  const invalid = (why: string): OciError => new OciError('MANIFEST_INVALID', `${what}: ${why}`);
  if (manifest.kind === 'index' || manifest.config.mediaType !== chartTypes.config) {
    throw invalid('not a helm chart');
  }
  const { config, layers } = manifest;
  const [archive, ...others] = layers.filter(({ mediaType }) => isArchive(mediaType));
  if (!archive || others.length > 0) throw invalid('a helm chart has one archive');
  const size = [config, ...layers].reduce((sum, layer) => sum + layer.size, 0);
  if (size > archiveLimit) throw invalid(`over ${archiveLimit} bytes`);
  return archive;
}

function isArchive(mediaType: string): boolean {
  return mediaType === chartTypes.archive || mediaType === chartTypes.oldArchive;
}

/** Where a chart is kept in a registry, and the manifest it has there. */
export interface ChartPlace {
  readonly repository: string;
  readonly manifest: Digest;
}

/** Those of web servers in a repository of their own, which no host can be called. */
const webCharts = 'helm-charts';

/** Where the store keeps a pinned chart: one from a registry as it is there, others by what they are. */
export function placeOf(pin: LockedChart): ChartPlace {
  const { repository, name, manifest } = pin;
  if (manifest !== undefined) {
    return { repository: nameIn(repository, name), manifest };
  }
  return { repository: webCharts, manifest: wrapping(pin).manifest.digest };
}

/** A packed chart as the artifact that helm would push, made of nothing but its bytes, name and version. */
export async function artifactOf(
  archive: Uint8Array,
  { name, version }: Pick<LockedChart, 'name' | 'version'>,
): Promise<ChartArtifact> {
  const digest = digestOf(archive);
  const { manifest, config } = wrapping({ name, version, digest, size: archive.length });
  const registry = memory();
  await registry.putBlob(webCharts, manifest.config.digest, bytes(config));
  await registry.putBlob(webCharts, digest, bytes(archive));
  await registry.putManifest(webCharts, manifest);
  return { registry, repository: webCharts, manifest, archive: archiveIn(manifest, name) };
}

interface Wrapping {
  readonly manifest: ImageManifest;
  readonly config: Uint8Array;
}

function wrapping({
  name,
  version,
  digest,
  size,
}: Pick<LockedChart, 'name' | 'version' | 'digest' | 'size'>): Wrapping {
  const config = Buffer.from(JSON.stringify({ name, version }));
  const body = JSON.stringify({
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: { mediaType: chartTypes.config, digest: digestOf(config), size: config.length },
    layers: [{ mediaType: chartTypes.archive, digest, size }],
  });
  const manifest = parseManifest(Buffer.from(body), name);
  if (manifest.kind === 'image') return { manifest, config };
  throw new OciError('MANIFEST_INVALID', `${name} became an index`);
}
