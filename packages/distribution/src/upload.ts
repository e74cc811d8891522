import {
  type Content,
  type Digest,
  OciError,
  type Range,
  slice,
  throwIfAborted,
  verified,
} from '@cluster-image/oci';
import { blobSize } from './blob-size.ts';
import { isAllowed } from './exchange.ts';
import { type Origin, responseError, scopesOf } from './origin.ts';
import { PassingError } from './patience.ts';
import { formatRoute } from './route.ts';
import { type HttpResponse, isTransient } from './transport.ts';

/** How often an upload is begun anew. */
const attempts = 4;

/** The size of a chunk where the registry does not ask for larger ones, in bytes. */
const defaultChunk = 16 * 1024 * 1024;

/** The size below which chunks are not made smaller, in bytes. */
const smallestChunk = 256 * 1024;

/** How often in a row a chunk may be sent without the registry having more of the blob afterwards. */
const stalls = 3;

/** Answers to a whole blob that mean: not like this. Some registries, and proxies before them, only take pieces. */
const refusals = [404, 405, 411, 413, 416, 501];

/**
 * Uploads a blob: mounted from another repository if the registry can, else in one request, else in
 * chunks. The bytes are checked on their way out, and the last of them is only sent if they are
 * right, so the registry never completes a blob that is not.
 * https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pushing-blobs
 */
export async function uploadBlob(
  origin: Origin,
  repository: string,
  digest: Digest,
  content: Content,
  mountFrom?: string,
): Promise<void> {
  const { context, patience } = origin;
  const what = `blob ${digest} to ${origin.host}/${repository}`;
  const scopes = scopesOf(repository, 'pull,push');
  let inChunks = false;
  for (let attempt = 1; ; attempt++) {
    throwIfAborted(context.signal);
    const mount =
      attempt === 1 && mountFrom !== undefined ? { mount: digest, from: mountFrom } : {};
    const session = await openUpload(origin, repository, what, mount);
    if (!session) return;
    try {
      if (inChunks) return await sendChunks(session);
      if (await sendWhole(session)) return;
      inChunks = true;
    } catch (error) {
      if (!isTransient(error) || attempt >= attempts) throw error;
      await patience.pause(attempt, error);
      // Where only the answer was lost, the registry has all of it.
      if ((await blobSize(origin, repository, digest)) === content.size) return;
      // A line that breaks under one long request may carry several short ones.
      inChunks ||= attempt >= 2;
    }
  }

  /** Sends all of it at once; false where the registry does not take it like this. */
  async function sendWhole(session: Session): Promise<boolean> {
    const checked = verified(content, digest, what);
    const response = await origin.exchange({
      method: 'PUT',
      url: withDigest(session.url, digest),
      headers: { 'content-type': 'application/octet-stream' },
      body: { size: content.size, open: () => checked.open() },
      scopes,
      once: true,
    });
    if (response.status === 201 || response.status === 204) {
      await response.discard();
      return true;
    }
    if (!refusals.includes(response.status)) throw await responseError(origin, response, what);
    await response.discard();
    return false;
  }

  async function sendChunks(session: Session): Promise<void> {
    // Chunks are sent before the last byte is known, so the whole is checked first.
    for await (const _ of verified(content, digest, what).open());
    let { url, chunk } = session;
    let at = 0;
    let most = 0;
    let stalled = 0;
    while (at < content.size) {
      const end = Math.min(content.size, at + chunk);
      const sent = await sendChunk(url, { start: at, end }, stalled + 1);
      if (!sent) {
        const least = Math.max(session.least, smallestChunk);
        if (end - at <= least) throw stuck(most);
        chunk = Math.max(least, Math.floor((end - at) / 4));
        continue;
      }
      // Only what the registry says it has counts; some accept chunks and throw them away.
      stalled = sent.has > most ? 0 : stalled + 1;
      if (stalled >= stalls || sent.has > end) throw stuck(most);
      ({ url, has: at } = sent);
      most = Math.max(most, at);
    }
    const response = await origin.exchange({
      method: 'PUT',
      url: withDigest(url, digest),
      headers: { 'content-length': '0' },
      scopes,
      once: true,
    });
    if (response.status !== 201 && response.status !== 204) {
      throw await responseError(origin, response, what);
    }
    await response.discard();
  }

  /** Sends a part; undefined where it is too large for the registry. One that breaks off is asked about. */
  async function sendChunk(
    url: URL,
    { start, end }: Range,
    attempt: number,
  ): Promise<Progress | undefined> {
    try {
      const response = await origin.exchange({
        method: 'PATCH',
        url,
        headers: {
          'content-type': 'application/octet-stream',
          'content-range': `${start}-${end - 1}`,
        },
        body: slice(content, { start, end }),
        scopes,
        once: true,
      });
      const isTaken = [201, 202, 204].includes(response.status);
      if (response.status !== 413 && response.status !== 416 && !isTaken) {
        const error = await responseError(origin, response, what);
        // An upload that the registry has forgotten is begun anew.
        throw response.status === 404 ? new PassingError(error, undefined) : error;
      }
      await response.discard();
      if (response.status === 413) return undefined;
      const has = receivedOf(response, end) ?? (isTaken ? end : start);
      return { url: locationOf(origin, what, response, url), has };
    } catch (error) {
      if (!isTransient(error) || attempt >= stalls) throw error;
      await patience.pause(attempt, error);
      const response = await origin.exchange({ method: 'GET', url, scopes });
      await response.discard();
      const has = receivedOf(response, end);
      if (response.status !== 204 || has === undefined) throw error;
      return { url: locationOf(origin, what, response, url), has };
    }
  }

  function stuck(at: number): OciError {
    return new OciError('UPSTREAM', `${what}: the registry took chunks but kept only ${at} bytes`);
  }
}

/** Opens an upload; undefined where the blob was taken over from another repository instead. */
export async function openUpload(
  origin: Origin,
  repository: string,
  what: string,
  { mount, from }: { readonly mount?: Digest; readonly from?: string } = {},
): Promise<Session | undefined> {
  const isMount = mount !== undefined && from !== undefined && from !== repository;
  const scopes = scopesOf(repository, 'pull,push');
  const url = new URL(
    formatRoute({ kind: 'uploads', repository, ...(isMount && { mount, from }) }),
    origin.url,
  );
  const response = await origin.exchange({
    method: 'POST',
    url,
    headers: { 'content-length': '0' },
    scopes: isMount ? [...scopes, ...scopesOf(from, 'pull')] : scopes,
  });
  if (response.status === 202) {
    await response.discard();
    const least = Number(response.header('oci-chunk-min-length') ?? 0) || 0;
    return {
      url: locationOf(origin, what, response, url),
      chunk: Math.max(defaultChunk, least),
      least,
    };
  }
  if (response.status === 201 && isMount) {
    await response.discard();
    return undefined;
  }
  if (isMount && response.status >= 400 && response.status < 500) {
    await response.discard();
    return openUpload(origin, repository, what);
  }
  const error = await responseError(origin, response, what);
  if (error.code !== 'NOT_FOUND') throw error;
  throw new OciError('NOT_FOUND', error.message, {
    hint: 'Some registries (ECR) want a repository to be created before anything is pushed to it.',
  });
}

export interface Session {
  readonly url: URL;
  /** In bytes, as is the least that the registry asks for. */
  readonly chunk: number;
  readonly least: number;
}

interface Progress {
  readonly url: URL;
  /** In bytes. */
  readonly has: number;
}

/** Where an upload goes on. Throws UPSTREAM for what would leave TLS. */
export function locationOf(origin: Origin, what: string, response: HttpResponse, from: URL): URL {
  const location = response.header('location');
  const url = location === undefined ? from : URL.parse(location, from.href);
  if (url && isAllowed(url, origin.url)) return url;
  throw new OciError(
    'UPSTREAM',
    `${what}: the upload is to go to ${url ? `${url.protocol}//${url.host}` : 'nowhere'}, which is not HTTPS`,
    {
      hint: 'A proxy before the registry does not tell it that it is reached by HTTPS (X-Forwarded-Proto).',
    },
  );
}

/** What is there already is the registry's own, perhaps signed, so it stays as it is. */
export function withDigest(session: URL, digest: Digest): URL {
  const url = new URL(session);
  url.search = `${url.search ? `${url.search}&` : '?'}digest=${encodeURIComponent(digest)}`;
  return url;
}

/**
 * How many bytes of an upload the registry has; undefined where it does not say. `0-0` stands for one
 * byte, but many write it for none.
 */
function receivedOf(response: HttpResponse, sent: number): number | undefined {
  const last = /^(?:bytes=)?0-(\d+)$/.exec(response.header('range') ?? '')?.[1];
  if (last === undefined) return undefined;
  return last === '0' && sent > 1 ? 0 : Number(last) + 1;
}
