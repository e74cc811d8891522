import {
  bytes,
  type Content,
  codeOf,
  isDigest,
  OciError,
  type Range,
  type RegistryReader,
} from '@cluster-image/oci';
import { formatRoute, type Page, pageLimit, parseRoute, type Route } from './route.ts';

/** A request as it came: the target is path and query, not decoded; header names are lower-case. */
export interface ServerRequest {
  readonly method: string;
  readonly target: string;
  readonly headers: Readonly<Record<string, string | undefined>>;
}

export interface ServerResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** Absent for HEAD and where there is none. */
  readonly body?: { readonly content: Content; readonly range?: Range };
}

/** Answers requests. Needs no port: tests and other servers call it as it is. */
export type Handler = (request: ServerRequest) => Promise<ServerResponse>;

/**
 * Serves a registry for reading: manifests, blobs with ranges, tags, catalog.
 * https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pull
 */
export function handler(reader: RegistryReader): Handler {
  return async (request) => {
    const response = await answer(reader, request);
    const headers = { 'docker-distribution-api-version': 'registry/2.0', ...response.headers };
    if (request.method !== 'HEAD') return { ...response, headers };
    return { status: response.status, headers };
  };
}

async function answer(reader: RegistryReader, request: ServerRequest): Promise<ServerResponse> {
  let route: Route | undefined;
  try {
    route = parseRoute(request.target);
  } catch (error) {
    const code = codeOf(error) === 'DIGEST_INVALID' ? 'DIGEST_INVALID' : 'NAME_INVALID';
    return refusal(400, code, error instanceof Error ? error.message : 'invalid');
  }
  if (!route) return refusal(404, 'UNSUPPORTED', 'no such endpoint');
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    return refusal(405, 'UNSUPPORTED', 'this registry is read-only', { allow: 'GET, HEAD' });
  }
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
    case 'uploads':
      return refusal(404, 'BLOB_UPLOAD_UNKNOWN', 'this registry is read-only');
  }
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

function json(value: unknown, headers: Readonly<Record<string, string>> = {}): ServerResponse {
  const content = bytes(JSON.stringify(value));
  return {
    status: 200,
    headers: {
      'content-type': 'application/json',
      'content-length': String(content.size),
      ...headers,
    },
    body: { content },
  };
}

/** https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#error-codes */
function refusal(
  status: number,
  code: string,
  message: string,
  headers: Readonly<Record<string, string>> = {},
): ServerResponse {
  return { ...json({ errors: [{ code, message }] }, headers), status };
}

/** What a failure behind the handler looks like from outside. */
export function failed(error: unknown): ServerResponse {
  const message = error instanceof OciError ? error.message : 'internal error';
  return refusal(500, 'UNKNOWN', message);
}
