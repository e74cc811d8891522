import {
  type Content,
  type Descriptor,
  type Digest,
  digestOf,
  isDigest,
  type Manifest,
  manifestLimit,
  manifestMediaTypes,
  OciError,
  parseDigest,
  parseManifest,
  type Referring,
  type Registry,
} from '@cluster-image/oci';
import { z } from 'zod';
import { appendBlob } from './append.ts';
import { blobContent } from './blob-content.ts';
import { blobSize } from './blob-size.ts';
import { listing } from './listing.ts';
import { type Origin, refuseHtml, responseError, scopesOf } from './origin.ts';
import { isPassing } from './patience.ts';
import { referrersAt } from './remote-referrers.ts';
import { formatRoute, type Route } from './route.ts';
import type { HttpResponse } from './transport.ts';
import { uploadBlob } from './upload.ts';

/** The most that a page of names may have, in bytes. */
const namesLimit = 64 * 1024 * 1024;

/** A registry that is asked over the network. */
export interface RemoteRegistry extends Registry, Referring {
  /**
   * Whether the registry knows by itself what is about a manifest. Where it does not, its clients
   * keep lists of it under tags, which `referrers` goes by.
   */
  knowsReferrers(repository: string, subject: Digest): Promise<boolean>;
  /** The manifest that a tag or digest means now, in one request. */
  fetch(repository: string, reference: string): Promise<Manifest | undefined>;
  /** Stores a blob whose digest only shows when it has gone by, and tells it. */
  append(repository: string, content: Content): Promise<Digest>;
}

/**
 * A remote registry, by the distribution protocol.
 * https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md
 *
 * Errors: NOT_FOUND (or no access: registries do not tell apart), UNAUTHORIZED, DENIED, NETWORK,
 * TIMEOUT, TOO_MANY_REQUESTS, UPSTREAM, and what bytes can be guilty of (DIGEST_MISMATCH,
 * SIZE_MISMATCH, MANIFEST_INVALID).
 */
export function remote(origin: Origin): RemoteRegistry {
  const { exchange } = origin;
  const inner = (repository: string): string =>
    origin.prefix ? `${origin.prefix}/${repository}` : repository;
  const urlOf = (route: Route): URL => new URL(formatRoute(route), origin.url);
  const accept = manifestMediaTypes.join(', ');
  const namesIn = (route: Route) => ({
    url: urlOf(route),
    limit: namesLimit,
    nameOf: (name: string) => name,
    absent: [404],
  });

  async function askManifest(
    method: 'GET' | 'HEAD',
    repository: string,
    reference: string,
  ): Promise<HttpResponse> {
    const name = inner(repository);
    return exchange({
      method,
      url: urlOf({ kind: 'manifest', repository: name, reference }),
      headers: { accept },
      scopes: scopesOf(name, 'pull'),
    });
  }

  async function getManifest(repository: string, reference: string): Promise<Manifest | undefined> {
    const response = await askManifest('GET', repository, reference);
    if (response.status === 404) return absent(response);
    const what = `${origin.host}/${repository}`;
    if (response.status !== 200)
      throw await responseError(origin, response, `manifest ${reference} of ${what}`);
    await refuseHtml(response, what);
    const body = await readManifest(response, what);
    const digest = isDigest(reference) ? reference : undefined;
    const manifest = parseManifest(body, what, digest, response.header('content-type'));
    const said = response.header('docker-content-digest');
    // What a tag means is decided by the bytes; a registry that contradicts itself is not believed.
    if (said && !digest && said.startsWith('sha256:') && said !== manifest.digest) {
      throw new OciError(
        'DIGEST_MISMATCH',
        `${what}:${reference}: the registry says ${said}, but what it sent is ${manifest.digest}`,
      );
    }
    return manifest;
  }

  async function resolve(repository: string, reference: string): Promise<Descriptor | undefined> {
    const response = await askManifest('HEAD', repository, reference);
    await response.discard();
    const found = response.status === 200 ? descriptorOf(response) : undefined;
    if (found && (found.digest === reference || !isDigest(reference))) return found;
    if (isPassing(response.status)) {
      throw await responseError(origin, response, `${origin.host}/${repository}:${reference}`);
    }
    // Some registries do not know HEAD, or answer it without a digest. Whether a digest is there is
    // asked often and answered by 404 alone.
    if (response.status === 404 && isDigest(reference)) return undefined;
    const manifest = await getManifest(repository, reference);
    return (
      manifest && {
        mediaType: manifest.mediaType,
        digest: manifest.digest,
        size: manifest.size,
      }
    );
  }

  return {
    resolve,
    ...referrersAt(origin, getManifest),
    fetch: getManifest,
    append: (repository, content) => appendBlob(origin, inner(repository), content),
    manifest: getManifest,
    async blob(repository, digest, size): Promise<Content | undefined> {
      const name = inner(repository);
      const known = size ?? (await blobSize(origin, name, digest));
      if (known === undefined) return undefined;
      return blobContent(
        origin,
        {
          method: 'GET',
          url: urlOf({ kind: 'blob', repository: name, digest }),
          scopes: scopesOf(name, 'pull'),
        },
        digest,
        known,
      );
    },
    async *repositories() {
      const prefix = origin.prefix ? `${origin.prefix}/` : '';
      const names = listing(origin, {
        ...namesIn({ kind: 'catalog', page: {} }),
        scopes: ['registry:catalog:*'],
        schema: catalogSchema,
        otherwise: () => {
          throw new OciError('UNSUPPORTED', `${origin.host} does not list its repositories`);
        },
      });
      for await (const name of names) {
        if (name.startsWith(prefix)) yield name.slice(prefix.length);
      }
    },
    async *tags(repository) {
      const name = inner(repository);
      const tags = listing(origin, {
        ...namesIn({ kind: 'tags', repository: name, page: {} }),
        scopes: scopesOf(name, 'pull'),
        schema: tagsSchema,
      });
      // Not every registry sorts them.
      yield* (await Array.fromAsync(tags)).sort();
    },
    async putBlob(repository, digest, content, mountFrom) {
      const name = inner(repository);
      if ((await blobSize(origin, name, digest)) === content.size) return;
      await uploadBlob(origin, name, digest, content, mountFrom && inner(mountFrom));
    },
    async putManifest(repository, manifest, tag) {
      const name = inner(repository);
      const reference = tag ?? manifest.digest;
      const what = `manifest ${reference} to ${origin.host}/${repository}`;
      const response = await exchange({
        method: 'PUT',
        url: urlOf({ kind: 'manifest', repository: name, reference }),
        headers: { 'content-type': manifest.mediaType },
        body: {
          size: manifest.size,
          async *open() {
            yield manifest.bytes;
          },
        },
        scopes: scopesOf(name, 'pull,push'),
      });
      if (response.status < 200 || response.status > 299)
        throw await responseError(origin, response, what);
      await response.discard();
      const said = response.header('docker-content-digest');
      if (said?.startsWith('sha256:') && said !== digestOf(manifest.bytes)) {
        throw new OciError('DIGEST_MISMATCH', `${what}: the registry stored it as ${said}`);
      }
    },
  };
}

async function absent(response: HttpResponse): Promise<undefined> {
  await response.discard();
  return undefined;
}

function descriptorOf(response: HttpResponse): Descriptor | undefined {
  const digest = response.header('docker-content-digest') ?? '';
  const mediaType = response.header('content-type')?.split(';')[0]?.trim() ?? '';
  const size = Number(response.header('content-length'));
  if (!isDigest(digest) || !manifestMediaTypes.includes(mediaType)) return undefined;
  if (!Number.isSafeInteger(size) || size <= 0) return undefined;
  return { mediaType, digest: parseDigest(digest), size };
}

async function readManifest(response: HttpResponse, what: string): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body) {
    chunks.push(chunk);
    size += chunk.length;
    if (size > manifestLimit) {
      throw new OciError('MANIFEST_INVALID', `manifest of ${what} is over ${manifestLimit} bytes`);
    }
  }
  return Buffer.concat(chunks);
}

const catalogSchema = z
  .looseObject({ repositories: z.array(z.string()).nullish() })
  .transform((page) => page.repositories ?? []);
const tagsSchema = z
  .looseObject({ tags: z.array(z.string()).nullish() })
  .transform((page) => page.tags ?? []);
