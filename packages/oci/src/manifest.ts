import { z } from 'zod';
import { digestMismatch } from './content.ts';
import { type Digest, digestAlgorithm, digestOf, isDigest } from './digest.ts';
import { OciError } from './error.ts';
import { jsonOf } from './json.ts';
import { platformSchema } from './platform.ts';

/** The media types this project writes or tells apart. */
export const mediaTypes = {
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  ociConfig: 'application/vnd.oci.image.config.v1+json',
  ociLayer: 'application/vnd.oci.image.layer.v1.tar',
  ociLayerGzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  dockerList: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
} as const;

/** Every manifest media type that is understood, in the order of preference for `Accept`. */
export const manifestMediaTypes: readonly string[] = [
  mediaTypes.ociIndex,
  mediaTypes.ociManifest,
  mediaTypes.dockerList,
  mediaTypes.dockerManifest,
];

/** The largest manifest that registries have to take, in bytes. */
export const manifestLimit = 4 * 1024 * 1024;

/** The largest image config that is read into memory, in bytes. */
export const configLimit = 8 * 1024 * 1024;

/** A digest, for whatever is read with a schema. */
export const digestSchema = z.custom<Digest>(
  (value) => typeof value === 'string' && isDigest(value),
  {
    error: 'not a digest',
  },
);

/**
 * What points at content: media type, digest, size in bytes.
 * https://github.com/opencontainers/image-spec/blob/v1.1.1/descriptor.md
 */
export const descriptorSchema = z.looseObject({
  mediaType: z.string(),
  digest: digestSchema,
  size: z.int().nonnegative(),
  urls: z.array(z.string()).optional(),
  annotations: z.record(z.string(), z.string()).optional(),
  platform: platformSchema.optional(),
  artifactType: z.string().optional(),
});

export type Descriptor = Readonly<z.infer<typeof descriptorSchema>>;

const imageSchema = z.looseObject({
  schemaVersion: z.literal(2),
  mediaType: z.string().optional(),
  artifactType: z.string().optional(),
  config: descriptorSchema,
  layers: z.array(descriptorSchema),
  subject: descriptorSchema.optional(),
  annotations: z.record(z.string(), z.string()).optional(),
});

const indexSchema = z.looseObject({
  schemaVersion: z.literal(2),
  mediaType: z.string().optional(),
  artifactType: z.string().optional(),
  manifests: z.array(descriptorSchema),
  subject: descriptorSchema.optional(),
  annotations: z.record(z.string(), z.string()).optional(),
});

interface Bytes {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  /** The bytes that were hashed; never serialised again. */
  readonly bytes: Uint8Array;
}

/** https://github.com/opencontainers/image-spec/blob/v1.1.1/manifest.md */
export interface ImageManifest extends Bytes {
  readonly kind: 'image';
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  readonly annotations: Readonly<Record<string, string>>;
  readonly artifactType?: string;
  /** What it is about, for instance what it signs. */
  readonly subject?: Descriptor;
}

/** https://github.com/opencontainers/image-spec/blob/v1.1.1/image-index.md */
export interface IndexManifest extends Bytes {
  readonly kind: 'index';
  readonly manifests: readonly Descriptor[];
  readonly annotations: Readonly<Record<string, string>>;
  readonly artifactType?: string;
  readonly subject?: Descriptor;
}

export type Manifest = ImageManifest | IndexManifest;

/**
 * Reads a manifest or index. The body decides what it is; a `Content-Type` that says otherwise, or a
 * body that could be read as both, is refused (CVE-2021-41190). Throws MANIFEST_INVALID,
 * DIGEST_MISMATCH, or UNSUPPORTED for schema 1.
 *
 * @param expected the digest these bytes were asked for by
 * @param declared the media type that came with them, if any
 * @param what how errors name the manifest, for instance `docker.io/library/nginx`
 */
export function parseManifest(
  body: Uint8Array,
  what: string,
  expected?: Digest,
  declared?: string,
): Manifest {
  const digest = digestOf(body, expected ? digestAlgorithm(expected) : 'sha256');
  if (expected && digest !== expected)
    throw digestMismatch(`manifest of ${what}`, expected, digest);
  const invalid: Invalid = (why, cause) =>
    new OciError('MANIFEST_INVALID', `manifest ${digest} of ${what}: ${why}`, { cause });
  if (body.length > manifestLimit) throw invalid(`larger than ${manifestLimit} bytes`);
  const json = read(
    z.record(z.string(), z.unknown(), { error: 'not a JSON object' }),
    jsonOf(body),
    invalid,
  );
  if ('layers' in json && 'manifests' in json) {
    throw invalid('has both layers and manifests, so it could be read as two things');
  }
  if (json.schemaVersion === 1 || 'fsLayers' in json) {
    throw new OciError('UNSUPPORTED', `${what} is a schema 1 image`, {
      hint: 'Schema 1 was retired by every registry; push the image again with a current tool.',
    });
  }
  const common = { digest, size: body.length, bytes: body };
  if ('manifests' in json) {
    const index = read(indexSchema, json, invalid);
    const mediaType = index.mediaType ?? mediaTypes.ociIndex;
    checkMediaType(mediaType, declared, [mediaTypes.ociIndex, mediaTypes.dockerList], invalid);
    const { manifests, annotations = {} } = index;
    checkSizes(manifests, invalid);
    const about = aboutOf(index);
    return { kind: 'index', mediaType, ...common, manifests, annotations, ...about };
  }
  const image = read(imageSchema, json, invalid);
  const mediaType = image.mediaType ?? mediaTypes.ociManifest;
  checkMediaType(mediaType, declared, [mediaTypes.ociManifest, mediaTypes.dockerManifest], invalid);
  const { config, layers, annotations = {} } = image;
  checkSizes([config, ...layers], invalid);
  const about = aboutOf(image);
  return { kind: 'image', mediaType, ...common, config, layers, annotations, ...about };
}

type About = Pick<Manifest, 'artifactType' | 'subject'>;

function aboutOf({
  artifactType,
  subject,
}: {
  artifactType?: string | undefined;
  subject?: Descriptor | undefined;
}): About {
  return { ...(artifactType !== undefined && { artifactType }), ...(subject && { subject }) };
}

type Invalid = (why: string, cause?: unknown) => OciError;

function read<T>(schema: z.ZodType<T>, json: unknown, invalid: Invalid): T {
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  throw invalid(z.prettifyError(parsed.error), parsed.error);
}

function checkMediaType(
  mediaType: string,
  declared: string | undefined,
  shapes: readonly string[],
  invalid: Invalid,
): void {
  if (!shapes.includes(mediaType)) {
    throw invalid(`media type ${JSON.stringify(mediaType)} does not fit its fields`);
  }
  const said = declared?.split(';')[0]?.trim();
  if (said && manifestMediaTypes.includes(said) && said !== mediaType) {
    throw invalid(`came as ${said} but is ${mediaType}`);
  }
}

/** What is named twice is moved once, so both descriptors have to mean the same bytes. */
function checkSizes(descriptors: readonly Descriptor[], invalid: Invalid): void {
  const sizes = new Map<Digest, number>();
  for (const { digest, size } of descriptors) {
    if ((sizes.get(digest) ?? size) !== size) throw invalid(`${digest} has two sizes`);
    sizes.set(digest, size);
  }
}

/** The descriptor of a manifest. */
export function describe(manifest: Manifest): Descriptor {
  return { mediaType: manifest.mediaType, digest: manifest.digest, size: manifest.size };
}

/**
 * How a manifest that is about another is listed there.
 * https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#listing-referrers
 */
export function describeReferrer(manifest: Manifest): Descriptor {
  const { annotations } = manifest;
  const own = manifest.artifactType ?? '';
  const artifactType = own !== '' || manifest.kind === 'index' ? own : manifest.config.mediaType;
  return {
    ...describe(manifest),
    ...(artifactType !== '' && { artifactType }),
    ...(Object.keys(annotations).length > 0 && { annotations }),
  };
}

/** Whether a media type is that of an index, under either name. */
export function isIndex(mediaType: string): boolean {
  return mediaType === mediaTypes.ociIndex || mediaType === mediaTypes.dockerList;
}

/** Config and layers of an image, each once, in the order they are needed. */
export function blobsOf(manifest: ImageManifest): readonly Descriptor[] {
  const unique = new Map(
    [manifest.config, ...manifest.layers].map((descriptor) => [descriptor.digest, descriptor]),
  );
  return [...unique.values()];
}

/**
 * A layer that its image's owner forbids to pass on; it is named by URLs and never copied or served
 * (CVE-2020-15157).
 */
export function isForeign(descriptor: Descriptor): boolean {
  return /nondistributable|foreign/.test(descriptor.mediaType);
}
