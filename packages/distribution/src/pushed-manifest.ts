import {
  blobsOf,
  digestAlgorithm,
  digestOf,
  isDigest,
  isForeign,
  type Manifest,
  manifestLimit,
  OciError,
  parseManifest,
  type Registry,
} from '@cluster-image/oci';
import { empty, refusal, type ServerRequest, type ServerResponse } from './answers.ts';
import { formatRoute, type Route } from './route.ts';

/**
 * Takes in a manifest whose parts are in its repository already.
 * https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pushing-manifests
 */
export async function putManifest(
  registry: Registry,
  { repository, reference, tags = [] }: Route & { readonly kind: 'manifest' },
  { headers, body }: ServerRequest,
): Promise<ServerResponse> {
  const isSmall = Number(headers['content-length'] ?? 0) <= manifestLimit;
  const bytes = isSmall ? await received(body) : undefined;
  if (!bytes) return refusal(413, 'SIZE_INVALID', `a manifest has ${manifestLimit} bytes at most`);
  const digest = isDigest(reference) ? reference : undefined;
  const algorithm = digest && digestAlgorithm(digest);
  if (digest && digestOf(bytes, algorithm) !== digest) {
    return refusal(400, 'DIGEST_INVALID', `what was sent is not ${digest}`);
  }
  let manifest: Manifest;
  try {
    manifest = parseManifest(bytes, repository, digest, headers['content-type']);
  } catch (error) {
    if (!(error instanceof OciError)) throw error;
    return refusal(400, 'MANIFEST_INVALID', error.message);
  }
  const said = headers['content-type']?.split(';')[0]?.trim();
  if (said && said !== manifest.mediaType) {
    return refusal(400, 'MANIFEST_INVALID', `came as ${said} but is ${manifest.mediaType}`);
  }
  const fault = await faultOf(registry, repository, manifest);
  if (fault) return refusal(400, fault.code, fault.message);
  try {
    const [first, ...others] = digest ? tags : [reference];
    await registry.putManifest(repository, manifest, first);
    for (const tag of others) await registry.putManifest(repository, manifest, tag);
  } catch (error) {
    if (!(error instanceof OciError) || error.code !== 'CONFLICT') throw error;
    return refusal(409, 'TAG_INVALID', error.message);
  }
  return empty(201, {
    location: formatRoute({ kind: 'manifest', repository, reference: manifest.digest }),
    'docker-content-digest': manifest.digest,
    ...(digest && tags.length > 0 && { 'oci-tag': tags.join(', ') }),
    ...(manifest.subject && { 'oci-subject': manifest.subject.digest }),
  });
}

/** All that comes; undefined where that is too much. */
async function received(
  body: AsyncIterable<Uint8Array> | undefined,
): Promise<Uint8Array | undefined> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body ?? []) {
    size += chunk.length;
    if (size > manifestLimit) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** What a manifest names that is not there, or not as it says. */
async function faultOf(
  registry: Registry,
  repository: string,
  manifest: Manifest,
): Promise<{ readonly code: string; readonly message: string } | undefined> {
  const isIndex = manifest.kind === 'index';
  const parts = isIndex ? manifest.manifests : blobsOf(manifest).filter((blob) => !isForeign(blob));
  for (const { digest, size } of parts) {
    const found = isIndex
      ? await registry.resolve(repository, digest)
      : await registry.blob(repository, digest);
    if (!found) {
      const message = `${repository} has no ${isIndex ? 'manifest' : 'blob'} ${digest}`;
      return { code: 'MANIFEST_BLOB_UNKNOWN', message };
    }
    if (found.size !== size) {
      return { code: 'SIZE_INVALID', message: `${digest} has ${found.size} bytes, not ${size}` };
    }
  }
  return undefined;
}
