import { type Context, OciError } from '@cluster-image/oci';
import type { Authorizer } from './authorizer.ts';
import { isPrivateHost } from './dialer.ts';
import { isPassing, PassingError, type Patience } from './patience.ts';
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
  readonly patience: Patience;
}

/** How often a request is sent in all before its failure counts. */
const attempts = 5;

/** More redirects than any registry needs. */
const redirectLimit = 10;

/**
 * Talks to one registry: authenticates when asked to, follows redirects without taking credentials
 * to another origin, and repeats what failed in passing.
 */
export function exchange(options: ExchangeOptions): Exchange {
  const { origin, insecure, transport, authorizer, context, patience } = options;
  const { signal } = context;

  return async (request) => {
    for (let attempt = 1; ; attempt++) {
      const isLast = request.once || attempt >= attempts;
      try {
        const response = await redirected(request);
        if (isLast || !isPassing(response.status)) return response;
        await response.discard();
        throw refusal(response);
      } catch (error) {
        if (isLast || !isTransient(error)) throw error;
        // A connection that went stale while idle costs nothing but a new one.
        const isStale = request.method !== 'POST' && isStaleConnection(error);
        if (attempt > 1 || !isStale) await patience.pause(attempt, error);
      }
    }
  };

  function refusal(response: HttpResponse): PassingError {
    const error = new OciError('UPSTREAM', `${origin.host} answered ${response.status}`);
    return new PassingError(error, patience.asked(response));
  }

  async function redirected(request: Request): Promise<HttpResponse> {
    let { url } = request;
    let response = await authorized(request, url);
    const seen = new Set([url.href]);
    while (isRedirect(response.status) && (request.method === 'GET' || request.method === 'HEAD')) {
      await response.discard();
      url = nextOf(response, url, seen);
      seen.add(url.href);
      response = await authorized(request, url);
    }
    return response;
  }

  function nextOf(response: HttpResponse, from: URL, seen: ReadonlySet<string>): URL {
    const url = URL.parse(response.header('location') ?? '', from.href);
    // Path and query may be a signature that opens what they lead to.
    const where = url ? `${url.protocol}//${url.host}` : 'nowhere';
    const refused = (why: string): OciError =>
      new OciError('UPSTREAM', `${origin.host} redirected to ${where}: ${why}`);
    if (!url) throw refused('not a URL');
    if (!isAllowed(url, origin)) throw refused('not HTTPS');
    if (seen.has(url.href)) throw refused('a loop');
    if (seen.size > redirectLimit) throw refused(`more than ${redirectLimit} redirects`);
    return url;
  }

  /** Sends a request; what proves who asks goes to the registry's own origin only. */
  async function authorized(request: Request, url: URL): Promise<HttpResponse> {
    const { method, body, headers = {} } = request;
    if (url.origin !== origin.origin) {
      return transport.send(
        { method, url, headers, ...(body && { body }), ...(await guard(url)) },
        signal,
      );
    }
    let { scopes } = request;
    for (let attempt = 1; ; attempt++) {
      const authorization = await authorizer.authorization(scopes);
      const response = await transport.send(
        {
          method,
          url,
          headers: { ...headers, ...(authorization && { authorization }) },
          ...(body && { body }),
          insecure,
        },
        signal,
      );
      if (response.status !== 401 || attempt > 2) return response;
      const wanted = await authorizer.challenged(scopes, response, authorization);
      if (!wanted) return response;
      await response.discard();
      scopes = wanted;
    }
  }

  /** A registry on the internet may not lead to what only this machine can reach. */
  async function guard(url: URL): Promise<{ insecure: boolean; publicOnly: boolean }> {
    const isSame = url.hostname === origin.hostname;
    return {
      insecure: insecure && isSame,
      publicOnly: !isSame && !(await isPrivateHost(origin.hostname)),
    };
  }
}

/** Whether a registry may lead to a URL: by HTTPS, or by HTTP if it is itself reached like that. */
export function isAllowed(url: URL, origin: URL): boolean {
  return url.protocol === 'https:' || (url.protocol === 'http:' && origin.protocol === 'http:');
}

function isRedirect(status: number): boolean {
  return [301, 302, 303, 307, 308].includes(status);
}
