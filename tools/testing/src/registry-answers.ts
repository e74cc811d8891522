import { randomUUID } from 'node:crypto';
import {
  bytes,
  codeOf,
  isDigest,
  type Manifest,
  mediaTypes,
  parseDigest,
  parseManifest,
  type Referring,
  type Registry,
  readAll,
} from '@cluster-image/oci';
import type { Answer, LoggedRequest } from './faults.ts';

export interface AnswersOptions {
  readonly registry: Registry;
  /** What it tells of what is about a manifest; without it, it does not know. */
  readonly referring?: Referring;
  /** How many names a list gives at once. */
  readonly pageSize: number;
}

/** What a faultless registry answers to a request and its body. */
export type Answers = (request: LoggedRequest, body: Uint8Array) => Promise<Answer>;

/**
 * A registry by the protocol, written apart from the product's own server, so that one mistake cannot
 * hide in both. https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md
 */
export function registryAnswers({ registry, referring, pageSize }: AnswersOptions): Answers {
  const uploads = new Map<string, Uint8Array>();

  return async (request, body) => {
    switch (request.kind) {
      case 'ping':
        return json(200, {});
      case 'catalog': {
        const { names, headers } = page(await Array.fromAsync(registry.repositories()), request);
        return json(200, { repositories: names }, headers);
      }
      case 'tags': {
        const all = await Array.fromAsync(registry.tags(request.repository ?? ''));
        if (all.length === 0) return refusal(404, 'NAME_UNKNOWN');
        const { names, headers } = page(all, request);
        return json(200, { name: request.repository, tags: names }, headers);
      }
      case 'referrers':
        return referring ? getReferrers(referring, request) : refusal(404, 'UNSUPPORTED');
      case 'manifest':
        return request.method === 'PUT' ? putManifest(request, body) : getManifest(request);
      case 'blob':
      case 'cdn':
        return getBlob(request);
      case 'uploads':
        return begin(request);
      case 'upload':
        return proceed(request, body);
      default:
        return refusal(404, 'UNSUPPORTED');
    }
  };

  function page(
    all: readonly string[],
    { target }: LoggedRequest,
  ): { readonly names: readonly string[]; readonly headers: Answer['headers'] } {
    const url = new URL(target, 'http://registry');
    const last = url.searchParams.get('last');
    const n = Math.min(Number(url.searchParams.get('n') ?? pageSize), pageSize);
    const rest = last === null ? all : all.filter((name) => name > last);
    const names = rest.slice(0, n);
    const next = `${url.pathname}?${new URLSearchParams({ n: String(n), last: names.at(-1) ?? '' })}`;
    return { names, headers: rest.length > n ? { link: `<${next}>; rel="next"` } : {} };
  }

  async function getReferrers(known: Referring, request: LoggedRequest): Promise<Answer> {
    const { repository = '', reference = '' } = request;
    if (!isDigest(reference)) return refusal(400, 'DIGEST_INVALID');
    const about = await Array.fromAsync(known.referrers(repository, reference));
    const { names, headers } = page(
      about.map(({ digest }) => digest),
      request,
    );
    const manifests = about.filter(({ digest }) => names.includes(digest));
    const mediaType = mediaTypes.ociIndex;
    const type = { 'content-type': mediaType };
    return json(200, { schemaVersion: 2, mediaType, manifests }, { ...headers, ...type });
  }

  async function getManifest({ repository = '', reference = '' }: LoggedRequest): Promise<Answer> {
    const digest = (await registry.resolve(repository, reference))?.digest;
    const found = digest && (await registry.manifest(repository, digest));
    if (!found) return refusal(404, 'MANIFEST_UNKNOWN');
    const headers = { 'content-type': found.mediaType, 'docker-content-digest': found.digest };
    return { status: 200, headers, body: found.bytes };
  }

  async function putManifest(request: LoggedRequest, body: Uint8Array): Promise<Answer> {
    const { repository = '', reference = '' } = request;
    let manifest: Manifest;
    try {
      const pin = isDigest(reference) ? reference : undefined;
      manifest = parseManifest(body, repository, pin, request.headers['content-type']);
    } catch {
      return refusal(400, 'MANIFEST_INVALID');
    }
    const missing = await Promise.all(
      manifest.kind === 'index'
        ? manifest.manifests.map(
            async ({ digest }) => !(await registry.resolve(repository, digest)),
          )
        : [manifest.config, ...manifest.layers].map(
            async ({ digest }) => !(await registry.blob(repository, digest)),
          ),
    );
    if (missing.includes(true)) return refusal(400, 'MANIFEST_BLOB_UNKNOWN');
    await registry.putManifest(repository, manifest, isDigest(reference) ? undefined : reference);
    return empty(201, { 'docker-content-digest': manifest.digest });
  }

  async function getBlob(request: LoggedRequest): Promise<Answer> {
    const { repository = '', reference = '', headers } = request;
    const found = isDigest(reference) && (await registry.blob(repository, reference));
    if (!found) return refusal(404, 'BLOB_UNKNOWN');
    const body = await readAll(found, found.size);
    const type = { 'content-type': 'application/octet-stream' };
    const range = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '');
    if (!range) return { status: 200, headers: type, body };
    const [start, end] = [Number(range[1]), Math.min(Number(range[2]) + 1, body.length)];
    if (start >= end) return refusal(416, 'RANGE_INVALID');
    const said = { 'content-range': `bytes ${start}-${end - 1}/${body.length}` };
    return { status: 206, headers: { ...type, ...said }, body: body.subarray(start, end) };
  }

  async function begin({ repository = '', target }: LoggedRequest): Promise<Answer> {
    const query = new URL(target, 'http://registry').searchParams;
    const [mount, from] = [query.get('mount') ?? '', query.get('from') ?? ''];
    const found = isDigest(mount) && (await registry.blob(from, mount));
    if (found) {
      await registry.putBlob(repository, parseDigest(mount), found);
      return empty(201, { location: `/v2/${repository}/blobs/${mount}` });
    }
    const id = randomUUID();
    uploads.set(id, new Uint8Array());
    return empty(202, { location: locationOf(repository, id), range: '0-0' });
  }

  async function proceed(request: LoggedRequest, body: Uint8Array): Promise<Answer> {
    const { repository = '', reference = '', method, headers } = request;
    const known = uploads.get(reference);
    if (!known || !request.target.includes(state)) return refusal(404, 'BLOB_UPLOAD_UNKNOWN');
    const start = Number(headers['content-range']?.split('-')[0] ?? known.length);
    const isNext = method === 'GET' || start === known.length;
    const all = isNext ? Buffer.concat([known, body]) : known;
    uploads.set(reference, all);
    const said = {
      location: locationOf(repository, reference),
      range: `0-${Math.max(0, all.length - 1)}`,
    };
    if (!isNext) return empty(416, said);
    if (method === 'GET') return empty(204, said);
    if (method === 'PATCH') return empty(202, said);
    uploads.delete(reference);
    const digest = new URL(request.target, 'http://registry').searchParams.get('digest') ?? '';
    try {
      await registry.putBlob(repository, parseDigest(digest), bytes(all));
      return empty(201, { location: `/v2/${repository}/blobs/${digest}` });
    } catch (error) {
      return refusal(400, codeOf(error) === undefined ? 'UNKNOWN' : 'DIGEST_INVALID');
    }
  }
}

/** A query that has to come back as it is. */
const state = '?_state=a%2Fb%20c~';

function locationOf(repository: string, id: string): string {
  return `/v2/${repository}/blobs/uploads/${id}${state}`;
}

export function empty(status: number, headers: Answer['headers'] = {}): Answer {
  return { status, headers, body: new Uint8Array() };
}

export function json(status: number, value: unknown, headers: Answer['headers'] = {}): Answer {
  const body = new TextEncoder().encode(JSON.stringify(value));
  return { status, headers: { 'content-type': 'application/json', ...headers }, body };
}

export function refusal(status: number, code: string, headers: Answer['headers'] = {}): Answer {
  return json(status, { errors: [{ code, message: 'no' }] }, headers);
}
