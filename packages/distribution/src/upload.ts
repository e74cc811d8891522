import {
  type Content,
  type Digest,
  digestContent,
  digestMismatch,
  OciError,
  slice,
  throwIfAborted,
  verified,
} from '@cluster-image/oci';
import { type Origin, responseError, scopesOf } from './remote.ts';
import { formatRoute } from './route.ts';
import { type HttpResponse, isTransient } from './transport.ts';

/** How often an upload is begun anew. */
const attempts = 4;

/** The size of a chunk where the registry does not ask for larger ones, in bytes. */
const defaultChunk = 16 * 1024 * 1024;

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
  const { context } = origin;
  const what = `blob ${digest} to ${origin.host}/${repository}`;
  const scopes = scopesOf(repository, 'pull,push');
  let inChunks = false;
  for (let attempt = 1; ; attempt++) {
    throwIfAborted(context.signal);
    try {
      const session = await begin(attempt === 1 ? mountFrom : undefined);
      if (!session) return;
      if (inChunks) return await sendChunks(session);
      if (await sendWhole(session)) return;
      inChunks = true;
    } catch (error) {
      if (!isTransient(error) || attempt >= attempts) throw error;
      // A line that breaks under one long request may carry several short ones.
      inChunks ||= attempt >= 2;
      const wait = 500 * 2 ** attempt;
      const reason = error instanceof Error ? error.message : 'broke off';
      context.report({ type: 'retry', host: origin.host, wait, reason });
      await origin.sleep(wait, context.signal);
    }
  }

  /** Opens an upload, or takes the blob over from another repository (undefined). */
  async function begin(from: string | undefined): Promise<Session | undefined> {
    const mount = from && from !== repository ? { mount: digest, from } : {};
    const url = new URL(formatRoute({ kind: 'uploads', repository, ...mount }), origin.url);
    const response = await origin.exchange({
      method: 'POST',
      url,
      headers: { 'content-length': '0' },
      scopes: from ? [...scopes, ...scopesOf(from, 'pull')] : scopes,
    });
    if (response.status === 201) {
      await response.discard();
      return undefined;
    }
    if (response.status !== 202) {
      const error = await responseError(origin, response, what);
      if (error.code !== 'NOT_FOUND') throw error;
      throw new OciError('NOT_FOUND', error.message, {
        hint: 'Some registries (ECR) want a repository to be created before anything is pushed to it.',
      });
    }
    await response.discard();
    const least = Number(response.header('oci-chunk-min-length') ?? 0);
    return { url: locationOf(response, url), chunk: Math.max(defaultChunk, least || 0) };
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
    if (refusals.includes(response.status)) {
      await response.discard();
      return false;
    }
    throw await uploadError(response);
  }

  async function sendChunks(session: Session): Promise<void> {
    // Chunks are sent before the last byte is known, so the whole is checked first.
    const actual = await digestContent(content);
    if (actual !== digest) throw digestMismatch(what, digest, actual);
    let { url } = session;
    let at = 0;
    let stalled = 0;
    while (at < content.size) {
      const end = Math.min(content.size, at + session.chunk);
      const part = slice(content, { start: at, end });
      const response = await origin.exchange({
        method: 'PATCH',
        url,
        headers: {
          'content-type': 'application/octet-stream',
          'content-range': `${at}-${end - 1}`,
        },
        body: part,
        scopes,
        once: true,
      });
      const isTaken = [201, 202, 204].includes(response.status);
      if (!isTaken && response.status !== 416) throw await uploadError(response);
      await response.discard();
      url = locationOf(response, url);
      // Only what the registry says it has counts; some accept chunks and throw them away.
      const has = receivedOf(response) ?? (isTaken ? end : at);
      stalled = has > at ? 0 : stalled + 1;
      if (stalled >= stalls) throw stuck(at);
      at = has;
    }
    const response = await origin.exchange({
      method: 'PUT',
      url: withDigest(url, digest),
      headers: { 'content-length': '0' },
      scopes,
      once: true,
    });
    if (response.status !== 201 && response.status !== 204) throw await uploadError(response);
    await response.discard();
  }

  async function uploadError(response: HttpResponse): Promise<OciError> {
    const error = await responseError(origin, response, what);
    const isPassing = response.status >= 500 || [408, 429].includes(response.status);
    return isPassing ? new OciError('TIMEOUT', error.message, { cause: error }) : error;
  }

  function stuck(at: number): OciError {
    return new OciError('UPSTREAM', `${what}: the registry took chunks but kept only ${at} bytes`);
  }

  function locationOf(response: HttpResponse, from: URL): URL {
    const location = response.header('location');
    const url = location === undefined ? from : URL.parse(location, from.href);
    if (url && (url.protocol === 'https:' || origin.url.protocol === 'http:')) return url;
    throw new OciError(
      'UPSTREAM',
      `${what}: the upload is to go to ${location}, which is not HTTPS`,
      {
        hint: 'A proxy before the registry does not tell it that it is reached by HTTPS (X-Forwarded-Proto).',
      },
    );
  }
}

interface Session {
  readonly url: URL;
  /** In bytes. */
  readonly chunk: number;
}

function withDigest(session: URL, digest: Digest): URL {
  const url = new URL(session);
  url.searchParams.set('digest', digest);
  return url;
}

/** How many bytes of an upload the registry has; undefined where it does not say. */
function receivedOf(response: HttpResponse): number | undefined {
  const last = /^(?:bytes=)?0-(\d+)$/.exec(response.header('range') ?? '')?.[1];
  return last === undefined ? undefined : Number(last) + 1;
}
