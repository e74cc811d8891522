import { type Context, OciError } from '@cluster-image/oci';
import type { Authorizer } from './authorizer.ts';
import { isPrivateAddress, isPrivateHost } from './dialer.ts';
import {
  type Body,
  type HttpRequest,
  type HttpResponse,
  isStaleConnection,
  isTransient,
  type Transport,
} from './transport.ts';

export interface Request {
  readonly method: HttpRequest['method'];
  readonly url: URL;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Body;
  /** What the request needs to be allowed, for instance `repository:library/nginx:pull`. */
  readonly scopes: readonly string[];
  /** A request that may not simply be sent again. */
  readonly once?: boolean;
}

/** Sends a request as often as it takes, to wherever it is redirected. Any final answer is returned, whatever its status. */
export type Exchange = (request: Request) => Promise<HttpResponse>;

export interface ExchangeOptions {
  readonly origin: URL;
  readonly insecure: boolean;
  readonly transport: Transport;
  readonly authorizer: Authorizer;
  readonly context: Context;
  /** Waits that many milliseconds. */
  readonly sleep: (milliseconds: number, signal: AbortSignal) => Promise<void>;
  readonly now: () => number;
}

/** How often a request is sent in all before its failure counts. */
const attempts = 5;

/** How long a server may ask to wait, in milliseconds. */
const longestWait = 120_000;

/** More redirects than any registry needs. */
const redirectLimit = 10;

/**
 * Talks to one registry: authenticates when asked to, follows redirects without taking credentials
 * to another origin, and repeats what failed in passing.
 */
export function exchange(options: ExchangeOptions): Exchange {
  const { origin, insecure, transport, authorizer, context } = options;
  const { signal } = context;

  return async (request) => {
    for (let attempt = 1; ; attempt++) {
      const isLast = request.once || attempt >= attempts;
      try {
        const response = await redirected(request);
        if (isLast || !isPassing(response.status)) return response;
        await pause(attempt, `answered ${response.status}`, response);
      } catch (error) {
        // A connection that went stale while idle costs nothing but a new one.
        if (attempt === 1 && !isLast && request.method !== 'POST' && isStaleConnection(error))
          continue;
        if (isLast || !isTransient(error)) throw error;
        await pause(attempt, error instanceof Error ? error.message : 'failed');
      }
    }
  };

  async function pause(attempt: number, reason: string, response?: HttpResponse): Promise<void> {
    const wait = retryAfter(response, options.now()) ?? backoff(attempt);
    await response?.discard();
    if (wait > longestWait) {
      throw new OciError(
        'TOO_MANY_REQUESTS',
        `${origin.host} asked to wait ${Math.round(wait / 1000)} s`,
        { hint: 'Try again then, log in for a higher limit, or configure a mirror.' },
      );
    }
    context.report({ type: 'retry', host: origin.host, wait, reason });
    await options.sleep(wait, signal);
  }

  async function redirected(request: Request): Promise<HttpResponse> {
    let response = await authorized(request, request.url);
    const seen = new Set([request.url.href]);
    while (isRedirect(response.status) && (request.method === 'GET' || request.method === 'HEAD')) {
      const location = response.header('location') ?? '';
      await response.discard();
      const url = await checkRedirect(location, request.url, seen);
      response =
        url.origin === origin.origin
          ? await authorized(request, url)
          : await transport.send(
              {
                method: request.method,
                url,
                headers: request.headers ?? {},
                ...(await guard(url)),
              },
              signal,
            );
    }
    return response;
  }

  async function checkRedirect(location: string, from: URL, seen: Set<string>): Promise<URL> {
    const refused = (why: string): OciError =>
      new OciError('UPSTREAM', `${origin.host} redirected to ${location.slice(0, 200)}: ${why}`);
    const url = URL.parse(location, from.href);
    if (!url) throw refused('not a URL');
    if (url.protocol !== 'https:' && (url.protocol !== 'http:' || origin.protocol !== 'http:')) {
      throw refused('not HTTPS');
    }
    if (seen.has(url.href)) throw refused('a loop');
    if (seen.size > redirectLimit) throw refused(`more than ${redirectLimit} redirects`);
    const isInner = url.hostname !== origin.hostname && isPrivateAddress(url.hostname);
    if (isInner && !(await isPrivateHost(origin.hostname))) throw refused('a private address');
    seen.add(url.href);
    return url;
  }

  /** A registry on the internet may not lead to what only this machine can reach. */
  async function guard(url: URL): Promise<{ insecure: boolean; publicOnly: boolean }> {
    const isSame = url.hostname === origin.hostname;
    return {
      insecure: insecure && isSame,
      publicOnly: !isSame && !(await isPrivateHost(origin.hostname)),
    };
  }

  async function authorized(request: Request, url: URL): Promise<HttpResponse> {
    let scopes = request.scopes;
    for (let attempt = 1; ; attempt++) {
      const isOurs = url.origin === origin.origin;
      const authorization = isOurs ? await authorizer.authorization(scopes) : undefined;
      const headers = { ...request.headers, ...(authorization && { authorization }) };
      const { method, body } = request;
      const trust = isOurs ? { insecure } : await guard(url);
      const response = await transport.send(
        { method, url, headers, ...(body && { body }), ...trust },
        signal,
      );
      if (response.status !== 401 || !isOurs || attempt > 2) return response;
      const wanted = await authorizer.challenged(scopes, response, authorization);
      if (!wanted) return response;
      await response.discard();
      scopes = wanted;
    }
  }
}

function isRedirect(status: number): boolean {
  return [301, 302, 303, 307, 308].includes(status);
}

function isPassing(status: number): boolean {
  return [408, 429, 500, 502, 503, 504].includes(status);
}

/**
 * How long a server asks to wait, in milliseconds; undefined where it does not say.
 * https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3
 */
export function retryAfter(response: HttpResponse | undefined, now: number): number | undefined {
  const text = response?.header('retry-after')?.trim();
  if (!text) return undefined;
  if (/^\d+$/.test(text)) return Number(text) * 1000;
  const date = Date.parse(text);
  return Number.isNaN(date) || !/[a-z]/i.test(text) ? undefined : Math.max(0, date - now);
}

/** Half a second, doubled each time up to half a minute, a random part of it less. */
function backoff(attempt: number): number {
  const most = Math.min(30_000, 500 * 2 ** (attempt - 1));
  return Math.round(most * (0.5 + Math.random() / 2));
}
