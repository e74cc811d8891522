import {
  bytes,
  codeOf,
  type Digest,
  isDigest,
  type Range,
  type Referring,
  type Registry,
  type RegistryReader,
  type Removable,
  type Spool,
} from '@cluster-image/oci';
import {
  empty,
  type Handler,
  json,
  refusal,
  type ServerRequest,
  type ServerResponse,
} from './answers.ts';
import { putManifest } from './pushed-manifest.ts';
import { referrers } from './referrers.ts';
import { formatRoute, namespaceOf, type Page, pageLimit, parseRoute, type Route } from './route.ts';
import { uploads } from './uploads.ts';

export interface HandlerOptions {
  /** Takes what is pushed; without it the registry is read-only. */
  readonly pushes?: Registry & Spool;
  /** Forgets what is deleted; without it nothing can be. */
  readonly deletes?: Removable;
  /** Knows what is about a manifest, beside what clients have listed themselves. */
  readonly referring?: Referring;
  /**
   * The registry of a host that a client says it means (`?ns=`), as containerd does of a mirror;
   * without it all are the same.
   */
  readonly namespace?: (host: string) => RegistryReader;
}

/**
 * Serves a registry: manifests, blobs with ranges, tags, catalog and referrers; uploads and deletion
 * where that is wanted. https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md
 */
export function handler(reader: RegistryReader, options: HandlerOptions = {}): Handler {
  const { pushes } = options;
  const served: Served = {
    ...options,
    reader,
    ...(pushes && { uploads: uploads(pushes, pushes) }),
  };
  return async (request) => {
    const response = await answer(served, request);
    const headers = { 'docker-distribution-api-version': 'registry/2.0', ...response.headers };
    if (request.method !== 'HEAD') return { ...response, headers };
    return { status: response.status, headers };
  };
}

interface Served extends HandlerOptions {
  readonly reader: RegistryReader;
  readonly uploads?: ReturnType<typeof uploads>;
}

async function answer(served: Served, request: ServerRequest): Promise<ServerResponse> {
  let route: Route | undefined;
  try {
    route = parseRoute(request.target);
  } catch (error) {
    const code = codeOf(error) === 'DIGEST_INVALID' ? 'DIGEST_INVALID' : 'NAME_INVALID';
    return refusal(400, code, error instanceof Error ? error.message : 'invalid');
  }
  if (!route) return refusal(404, 'UNSUPPORTED', 'no such endpoint');
  const { method } = request;
  const reader = readerFor(served, request);
  if (route.kind === 'uploads' || route.kind === 'upload') return upload(served, route, request);
  if (method === 'PUT' && route.kind === 'manifest' && served.pushes) {
    return putManifest(served.pushes, route, request);
  }
  if (method === 'DELETE' && served.deletes) {
    if (route.kind === 'manifest') return removeManifest(served.deletes, route);
    if (route.kind === 'blob') return removeBlob(served.deletes, route);
  }
  if (method !== 'GET' && method !== 'HEAD') return notAllowed(served, route);
  switch (route.kind) {
    case 'ping':
      return json({});
    case 'manifest':
      return manifest(reader, route.repository, route.reference, request);
    case 'blob':
      return blob(reader, route, request);
    case 'tags':
      return tags(reader, route);
    case 'catalog':
      return catalog(reader, route);
    case 'referrers':
      return referrers(reader, served.referring, route);
  }
}

function readerFor({ reader, namespace }: Served, { target }: ServerRequest): RegistryReader {
  const host = namespace && namespaceOf(target);
  return host === undefined ? reader : (namespace?.(host) ?? reader);
}

function notAllowed({ pushes, deletes }: Served, { kind }: Route): ServerResponse {
  const more = [
    ...(pushes && kind === 'manifest' ? ['PUT'] : []),
    ...(deletes && (kind === 'manifest' || kind === 'blob') ? ['DELETE'] : []),
  ];
  const why = pushes ? 'this is not possible here' : 'this registry is read-only';
  return refusal(405, 'UNSUPPORTED', why, { allow: ['GET', 'HEAD', ...more].join(', ') });
}

async function upload(
  { uploads }: Served,
  route: Route & { readonly kind: 'uploads' | 'upload' },
  request: ServerRequest,
): Promise<ServerResponse> {
  if (!uploads) {
    const isReading = request.method === 'GET' || request.method === 'HEAD';
    if (isReading) return refusal(404, 'BLOB_UPLOAD_UNKNOWN', 'this registry is read-only');
    return refusal(405, 'UNSUPPORTED', 'this registry is read-only', { allow: 'GET, HEAD' });
  }
  if (route.kind === 'upload') return uploads.continued(route, request);
  if (request.method === 'POST') return uploads.begin(route, request);
  return refusal(405, 'UNSUPPORTED', 'uploads begin with POST', { allow: 'POST' });
}

async function removeManifest(
  registry: Removable,
  { repository, reference }: Route & { readonly kind: 'manifest' },
): Promise<ServerResponse> {
  const isRemoved = isDigest(reference)
    ? await registry.removeManifest(repository, reference)
    : await registry.removeTag(repository, reference);
  if (isRemoved) return empty(202);
  return refusal(404, 'MANIFEST_UNKNOWN', `${repository} has no ${reference}`);
}

async function removeBlob(
  registry: Removable,
  { repository, digest }: { readonly repository: string; readonly digest: Digest },
): Promise<ServerResponse> {
  if (await registry.removeBlob(repository, digest)) return empty(202);
  return refusal(404, 'BLOB_UNKNOWN', `${repository} has no blob ${digest}`);
}

async function manifest(
  reader: RegistryReader,
  repository: string,
  reference: string,
  request: ServerRequest,
): Promise<ServerResponse> {
  const digest = isDigest(reference)
    ? reference
    : (await reader.resolve(repository, reference))?.digest;
  const found = digest && (await reader.manifest(repository, digest));
  if (!found) {
    return refusal(404, 'MANIFEST_UNKNOWN', `${repository} has no ${reference}`);
  }
  const headers = {
    'content-type': found.mediaType,
    'docker-content-digest': found.digest,
    etag: `"${found.digest}"`,
  };
  if (isUnchanged(request, headers.etag)) return { status: 304, headers };
  return {
    status: 200,
    headers: { ...headers, 'content-length': String(found.size) },
    body: { content: bytes(found.bytes) },
  };
}

async function blob(
  reader: RegistryReader,
  { repository, digest }: Route & { kind: 'blob' },
  request: ServerRequest,
): Promise<ServerResponse> {
  const content = await reader.blob(repository, digest);
  if (!content) return refusal(404, 'BLOB_UNKNOWN', `${repository} has no blob ${digest}`);
  const { size } = content;
  const headers = {
    'accept-ranges': 'bytes',
    'content-type': 'application/octet-stream',
    'docker-content-digest': digest,
    etag: `"${digest}"`,
    // A digest always means the same bytes.
    'cache-control': 'max-age=31536000, immutable',
  };
  if (isUnchanged(request, headers.etag)) return { status: 304, headers };
  const condition = request.headers['if-range'];
  const isRanged = request.method === 'GET' && (condition ?? headers.etag) === headers.etag;
  const wanted = isRanged ? parseRange(request.headers.range, size) : undefined;
  if (wanted === 'unsatisfiable') {
    const range = { 'content-range': `bytes */${size}` };
    return refusal(416, 'RANGE_INVALID', `the blob has ${size} bytes`, range);
  }
  if (!wanted) {
    return {
      status: 200,
      headers: { ...headers, 'content-length': String(size) },
      body: { content },
    };
  }
  return {
    status: 206,
    headers: {
      ...headers,
      'content-length': String(wanted.end - wanted.start),
      'content-range': `bytes ${wanted.start}-${wanted.end - 1}/${size}`,
    },
    body: { content, range: wanted },
  };
}

/**
 * The one range that a request asks for; undefined for all of it, which is also the answer to what
 * cannot be read and to several ranges at once. https://www.rfc-editor.org/rfc/rfc9110#section-14.2
 */
export function parseRange(
  header: string | undefined,
  size: number,
): Range | 'unsatisfiable' | undefined {
  const match = /^bytes=[ \t]*(\d*)-(\d*)[ \t]*$/i.exec(header ?? '');
  if (!match) return undefined;
  const [, first = '', last = ''] = match;
  if (first === '') {
    if (last === '') return undefined;
    const length = Math.min(Number(last), size);
    return length === 0 ? 'unsatisfiable' : { start: size - length, end: size };
  }
  const start = Number(first);
  const end = last === '' ? size : Math.min(Number(last) + 1, size);
  if (last !== '' && Number(last) < start) return undefined;
  return start >= size ? 'unsatisfiable' : { start, end };
}

async function tags(
  reader: RegistryReader,
  { repository, page }: Route & { kind: 'tags' },
): Promise<ServerResponse> {
  const { names, next, isEmpty } = await pageOf(reader.tags(repository), page);
  if (isEmpty) return refusal(404, 'NAME_UNKNOWN', `no repository ${repository}`);
  const link = next && { link: linkTo({ kind: 'tags', repository, page: next }) };
  return json({ name: repository, tags: names }, link);
}

async function catalog(
  reader: RegistryReader,
  { page }: Route & { kind: 'catalog' },
): Promise<ServerResponse> {
  const { names, next } = await pageOf(reader.repositories(), page);
  return json({ repositories: names }, next && { link: linkTo({ kind: 'catalog', page: next }) });
}

interface Names {
  readonly names: readonly string[];
  /** The page after this one; undefined after the last, and where no names were asked for. */
  readonly next: Page | undefined;
  /** Whether there are no names at all, on no page. */
  readonly isEmpty: boolean;
}

async function pageOf(all: AsyncIterable<string>, { n = pageLimit, last }: Page): Promise<Names> {
  const names: string[] = [];
  let isEmpty = true;
  for await (const name of all) {
    isEmpty = false;
    if (last !== undefined && name <= last) continue;
    if (names.length === n) {
      const next = n > 0 ? { n, last: names[n - 1] } : undefined;
      return { names, next, isEmpty };
    }
    names.push(name);
  }
  return { names, next: undefined, isEmpty };
}

function linkTo(route: Route): string {
  return `<${formatRoute(route)}>; rel="next"`;
}

function isUnchanged(request: ServerRequest, etag: string): boolean {
  const known = (request.headers['if-none-match'] ?? '').split(',').map((tag) => tag.trim());
  return known.some((tag) => tag === '*' || tag.replace(/^W\//, '') === etag);
}
