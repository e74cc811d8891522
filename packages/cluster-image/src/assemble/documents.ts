import {
  type Descriptor,
  digestOf,
  type ImageConfig,
  type ImageManifest,
  type Manifest,
  mediaTypes,
  OciError,
  type Platform,
  parseManifest,
} from '@cluster-image/oci';
import type { Evaluated, RunConfig } from './evaluate.ts';

export interface BaseImage {
  readonly manifest: ImageManifest;
  readonly config: ImageConfig;
}

/** When everything in an image was made: the same for the same input, so it can be no real time. */
const created = '1970-01-01T00:00:00Z';

/** The config of an image as its bytes. */
export function configOf(
  platform: Platform,
  { config, history, author }: Evaluated,
  layers: readonly Descriptor[],
  base: BaseImage | undefined,
): Uint8Array {
  const { os, architecture, variant } = platform;
  const { history: told, rootfs, ...inherited }: Partial<ImageConfig> = base?.config ?? {};
  const earlier = told ?? [];
  // A history that says nothing of some layers would be read as that of others.
  const toldLayers = earlier.filter(({ empty_layer }) => !empty_layer).length;
  const isTold = toldLayers === (base?.manifest.layers.length ?? 0);
  const steps = history.map((line) => ({ created, created_by: line, empty_layer: true }));
  const added = layers.map((_, at) => ({
    created,
    created_by: `cluster-image layer ${at + 1} of ${layers.length}`,
  }));
  return json({
    ...inherited,
    created,
    ...(author && { author }),
    os,
    architecture,
    ...(variant && { variant }),
    config: runConfig(config),
    rootfs: {
      type: 'layers',
      diff_ids: [
        ...(rootfs?.diff_ids ?? []),
        // A layer that is not compressed is its own diff.
        ...layers.map(({ digest }) => digest),
      ],
    },
    ...(isTold && { history: [...earlier, ...steps, ...added] }),
  });
}

/** Sorted and without what is empty, so that it says the same in the same bytes. */
function runConfig(config: RunConfig): RunConfig {
  const entries = Object.entries(config).filter(
    ([, value]) => value !== undefined && value !== null,
  );
  const sorted = entries.map(([name, value]) => [name, sortedValue(value)] as const);
  return Object.fromEntries(sorted.sort(([a], [b]) => (a < b ? -1 : 1)));
}

function sortedValue(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}

export function imageManifest(
  config: Uint8Array,
  layers: readonly Descriptor[],
  annotations?: Readonly<Record<string, string>>,
): ImageManifest {
  const manifest = parseManifest(
    json({
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config: { mediaType: mediaTypes.ociConfig, digest: digestOf(config), size: config.length },
      layers: layers.map((layer) => ({ ...layer, mediaType: ociTypeOf(layer) })),
      annotations,
    }),
    'cluster image',
  );
  if (manifest.kind === 'image') return manifest;
  throw new OciError('MANIFEST_INVALID', 'an image became an index');
}

/** Layers of a base in docker's format are the same bytes under another name. */
function ociTypeOf({ mediaType }: Descriptor): string {
  switch (mediaType) {
    case 'application/vnd.docker.image.rootfs.diff.tar.gzip':
      return mediaTypes.ociLayerGzip;
    case 'application/vnd.docker.image.rootfs.diff.tar':
      return mediaTypes.ociLayer;
    default:
      return mediaType;
  }
}

/** The index of images for several platforms, in their order. */
export function imageIndex(manifests: readonly Descriptor[]): Manifest {
  const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests };
  return parseManifest(json(index), 'cluster image');
}

function json(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}
