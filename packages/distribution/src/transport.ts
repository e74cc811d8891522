import { Readable } from 'node:stream';
import { getCACertificates } from 'node:tls';
import { type ErrorCode, OciError, throwIfAborted } from '@cluster-image/oci';
import type { Dispatcher } from 'undici';
import { isPrivateAddress, PrivateAddressError, publicLookup } from './dialer.ts';
import { PassingError } from './patience.ts';
import { type Proxies, proxyFor } from './proxy.ts';

export interface TransportOptions {
  /** Connections to one host at a time. */
  readonly connections?: number;
  readonly proxy?: Proxies;
  /** Certificate authorities beside the system's, in PEM. */
  readonly ca?: string;
  /** The certificate that this side proves itself by, and its key, in PEM. */
  readonly cert?: string;
  readonly key?: string;
  /** A Unix socket that everything is sent to, whatever host a URL names. */
  readonly socketPath?: string;
  /** What this side calls itself in `Via`, where it asks for others. */
  readonly via?: string | undefined;
  /** How long a peer may take to accept, to answer, and between two pieces of a body, in milliseconds. */
  readonly connectTimeout?: number;
  readonly headersTimeout?: number;
  readonly idleTimeout?: number;
}

/** A body that can be sent more than once. */
export interface Body {
  /** In bytes. */
  readonly size: number;
  open(): AsyncIterable<Uint8Array>;
}

export interface HttpRequest {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Body;
  /** Accepts any certificate. */
  readonly insecure?: boolean;
  /** Refuses to connect to private addresses. */
  readonly publicOnly?: boolean;
}

export interface HttpResponse {
  readonly status: number;
  /** The first value of a header; undefined where there is none. */
  header(name: string): string | undefined;
  /** Every value of a header. */
  headers(name: string): readonly string[];
  /** The body as it came over the wire, whatever its Content-Encoding. */
  readonly body: AsyncIterable<Uint8Array>;
  /** Reads what is left of the body, if it is small, so that the connection can be used again. */
  discard(): Promise<void>;
}

/** Sends single requests: no retries, no redirects, no credentials. */
export interface Transport {
  send(request: HttpRequest, signal: AbortSignal): Promise<HttpResponse>;
  close(): Promise<void>;
}

/** An error page or token answer is at most this long, in bytes; the rest is not read. */
const discardLimit = 64 * 1024;

export function transport(options: TransportOptions = {}): Transport {
  const dispatchers = new Map<string, Dispatcher>();

  function dispatcher(
    { Agent, EnvHttpProxyAgent }: typeof import('undici'),
    url: URL,
    { insecure = false, publicOnly = false }: Pick<HttpRequest, 'insecure' | 'publicOnly'>,
  ): Dispatcher {
    const proxy = proxyFor(url, options.proxy);
    const kind = JSON.stringify([insecure, publicOnly, proxy]);
    const known = dispatchers.get(kind);
    if (known) return known;
    const { ca, cert, key, socketPath } = options;
    const authorities = ca ? { ca: [...getCACertificates(), ca] } : {};
    const timeout = options.connectTimeout ?? 10_000;
    const connect = {
      timeout,
      rejectUnauthorized: !insecure,
      ...authorities,
      ...(cert && key && { cert, key }),
      ...(socketPath && { socketPath }),
      ...(publicOnly && { lookup: publicLookup }),
    };
    const pool = {
      allowH2: false,
      connections: options.connections ?? 8,
      maxHeaderSize: 32 * 1024,
      connect,
    };
    const created = proxy
      ? new EnvHttpProxyAgent({
          ...pool,
          httpProxy: proxy,
          httpsProxy: proxy,
          noProxy: options.proxy?.no ?? '',
          requestTls: connect,
          proxyTls: { timeout, ...authorities },
        })
      : new Agent(pool);
    dispatchers.set(kind, created);
    return created;
  }

  return {
    async send({ method, url, headers, body, insecure, publicOnly }, signal) {
      throwIfAborted(signal);
      const failed = (error: unknown): unknown =>
        transportError(error, options.socketPath ?? url.host, url, signal);
      try {
        // Loaded now, for much of what the command does asks no network.
        const undici = await import('undici');
        // The address in a URL is not looked up, so the dialer does not see it.
        if (publicOnly && isPrivateAddress(url.hostname)) {
          throw new PrivateAddressError(url.hostname, url.hostname);
        }
        const response = await undici.request(url, {
          method,
          dispatcher: dispatcher(undici, url, { insecure, publicOnly }),
          headersTimeout: options.headersTimeout ?? 60_000,
          bodyTimeout: options.idleTimeout ?? 30_000,
          headers: {
            'user-agent': 'cluster-image',
            'accept-encoding': 'identity',
            ...(options.via && { via: `1.1 ${options.via}` }),
            ...headers,
            ...(body && { 'content-length': String(body.size) }),
          },
          body: body && body.size > 0 ? Readable.from(body.open(), { objectMode: false }) : null,
          signal,
        });
        const values = (name: string): readonly string[] => {
          const found = response.headers[name];
          return found === undefined ? [] : Array.isArray(found) ? found : [found];
        };
        return {
          status: response.statusCode,
          header: (name) => values(name)[0],
          headers: values,
          body: received(response.body, failed),
          discard: () => response.body.dump({ limit: discardLimit }).catch(() => {}),
        };
      } catch (error) {
        throw failed(error);
      }
    },
    async close() {
      await Promise.all([...dispatchers.values()].map((agent) => agent.destroy()));
    },
  };
}

async function* received(
  body: AsyncIterable<Uint8Array>,
  failed: (error: unknown) => unknown,
): AsyncIterable<Uint8Array> {
  try {
    yield* body;
  } catch (error) {
    throw failed(error);
  }
}

/** The beginning of a body as text, up to a limit in bytes. */
export async function readText(response: HttpResponse, limit: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body) {
    chunks.push(chunk);
    size += chunk.length;
    if (size >= limit) break;
  }
  return Buffer.concat(chunks).subarray(0, limit).toString('utf8');
}

/** Turns what node and undici throw into NETWORK, DENIED, TIMEOUT, UPSTREAM or ABORTED errors that name the peer. */
function transportError(error: unknown, peer: string, url: URL, signal: AbortSignal): unknown {
  const ours = causes(error).find((cause) => cause instanceof OciError);
  if (ours) return ours;
  if (signal.aborted) return new OciError('ABORTED', 'interrupted', { cause: signal.reason });
  const code = errnoOf(error);
  const failed = (kind: ErrorCode, why: string, hint?: string): OciError =>
    new OciError(kind, `${peer}: ${why}`, { cause: error, hint });
  switch (code) {
    case 'UND_ERR_CONNECT_TIMEOUT':
    case 'ETIMEDOUT':
      return failed('TIMEOUT', 'did not accept a connection in time');
    case 'UND_ERR_HEADERS_TIMEOUT':
      return failed('TIMEOUT', 'did not answer in time');
    case 'UND_ERR_BODY_TIMEOUT':
      return failed('TIMEOUT', 'fell silent in the middle of an answer');
    case 'ENOTFOUND':
      return failed('NETWORK', 'no such host', 'Check the name, or configure a mirror for it.');
    case 'ECONNREFUSED':
      return failed('NETWORK', 'refused the connection', 'Is a registry running there?');
    case 'ENOENT':
      return failed('NETWORK', 'there is no such socket');
    case 'EACCES':
      return failed('DENIED', 'this user may not open the socket');
    case 'EPROTO':
    case 'ERR_SSL_WRONG_VERSION_NUMBER':
    case 'ERR_SSL_PACKET_LENGTH_TOO_LONG':
      return failed('NETWORK', 'does not speak TLS', plainHttpHint(url));
    case 'PRIVATE_ADDRESS':
      return failed('UPSTREAM', 'leads to a private address, where a public registry has no say');
    case 'UND_ERR_HEADERS_OVERFLOW':
      return failed('UPSTREAM', 'sent more headers than are allowed');
    default:
      if (isNotHttp(error)) return failed('UPSTREAM', 'does not speak HTTP');
      if (code && certificateErrors.test(code)) {
        return failed('NETWORK', `its certificate is not trusted (${code})`, certificateHint(url));
      }
      return failed('NETWORK', error instanceof Error ? error.message : String(error));
  }
}

/** Not every breach of HTTP that the library finds has a code. */
function isNotHttp(error: unknown): boolean {
  return (
    errnoOf(error) === 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH' ||
    causes(error).some((cause) => cause instanceof Error && cause.name === 'HTTPParserError')
  );
}

const certificateErrors =
  /^(?:CERT_|DEPTH_ZERO_|SELF_SIGNED|UNABLE_TO_(?:GET|VERIFY)|ERR_TLS_CERT|HOSTNAME_MISMATCH)/;

/** How to reach a host that does not speak TLS. */
export function plainHttpHint(url: URL): string {
  return `If it is meant to, allow plain HTTP for it: --plain-http ${url.host}.`;
}

function certificateHint(url: URL): string {
  return `Name its certificate authority with --ca FILE, or accept any certificate with --insecure ${url.host}.`;
}

/**
 * Whether the same request may well succeed a moment later: the peer was silent, gone, busy, or reset
 * the line. A name that does not exist and a certificate that is not trusted stay so.
 */
export function isTransient(error: unknown): boolean {
  if (error instanceof PassingError) return true;
  if (!(error instanceof OciError)) return false;
  if (error.code === 'TIMEOUT') return true;
  return error.code === 'NETWORK' && !lasting.test(errnoOf(error.cause) ?? '');
}

const lasting = new RegExp(
  `^(?:ENOTFOUND$|EPROTO$|ERR_(?!STREAM)|UND_ERR_INVALID_ARG|${certificateErrors.source.slice(1)})`,
);

/** Whether a connection that was kept open turned out to be closed; the request never reached the peer. */
export function isStaleConnection(error: unknown): boolean {
  if (!(error instanceof OciError)) return false;
  return ['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET'].includes(errnoOf(error.cause) ?? '');
}

function causes(error: unknown): readonly unknown[] {
  const chain: unknown[] = [];
  for (let at = error; at !== undefined && chain.length < 8; ) {
    chain.push(at);
    at = at instanceof Error ? at.cause : undefined;
  }
  return chain;
}

/** The first system or library code in an error and what caused it. */
function errnoOf(error: unknown): string | undefined {
  for (const cause of causes(error)) {
    if (cause instanceof Error && 'code' in cause && typeof cause.code === 'string') {
      return cause.code;
    }
  }
  return undefined;
}
