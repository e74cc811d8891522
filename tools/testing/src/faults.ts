import type { IncomingHttpHeaders } from 'node:http';

/** What a request is about; `elsewhere` is what is no part of a registry. */
export type RequestKind =
  | 'ping'
  | 'catalog'
  | 'tags'
  | 'manifest'
  | 'blob'
  /** What is about a manifest. */
  | 'referrers'
  /** Where an upload begins. */
  | 'uploads'
  /** An upload that has begun. */
  | 'upload'
  /** The token server. */
  | 'token'
  /** Blobs behind signed URLs, where `Authorization` is an error. */
  | 'cdn'
  | 'elsewhere';

/** A request as it came, and what became of it. */
export interface LoggedRequest {
  /** The `Host` header, which tells origins apart. */
  readonly host: string;
  readonly method: string;
  /** Path and query, not decoded. */
  readonly target: string;
  readonly kind: RequestKind;
  readonly repository: string | undefined;
  /** Tag, digest, or the name of an upload. */
  readonly reference: string | undefined;
  readonly headers: IncomingHttpHeaders;
  /** How many bytes of a body came. */
  received: number;
  /** The beginning of the body that came. */
  body: string;
  /** How many bytes of a body were handed to the connection. */
  sent: number;
  /** Undefined where nothing was answered. */
  status: number | undefined;
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
  readonly body: Uint8Array;
}

/** What is wrong with an answer, or comes instead of it. All that are given apply. */
export interface Fault {
  /** The request's body is read up to that many bytes; then the line is reset or goes silent, and nothing is done. */
  readonly receive?: { readonly upTo: number; readonly how: 'rst' | 'silence' };
  /** What was asked for is done, but nothing is answered. */
  readonly drop?: 'rst' | 'fin' | 'silence';
  /** These bytes are the answer, head and all, and the end of the connection. */
  readonly raw?: string;
  /** `ignore` answers with all of the blob, `shifted` with a later part, `lie` with other bytes. */
  readonly range?: 'ignore' | 'shifted' | 'lie';
  /** A status, by itself with an empty body. */
  readonly status?: number;
  readonly redirect?: string | ((request: LoggedRequest) => string);
  readonly body?: string | Uint8Array;
  /** Makes any other answer out of the right one. */
  readonly answer?: (right: Answer, request: LoggedRequest) => Answer | Promise<Answer>;
  /** The offset of a bit that is flipped. */
  readonly corrupt?: number;
  /** As many bytes are missing at the end. */
  readonly short?: number;
  /** As many bytes follow the right ones. */
  readonly extra?: number;
  /** The body is packed for the way, or only said to be; a chain is said to be packed many times. */
  readonly encoding?: 'gzip' | 'mislabel' | 'chain';
  /** The length is not announced, so chunks or the connection's end show it; or another one is. */
  readonly length?: 'chunked' | 'close' | number;
  /** Headers over those of the answer; null takes one away. */
  readonly headers?: Readonly<Record<string, string | readonly string[] | null>>;
  /** Sends so many bytes of the body at a time, and waits for the event loop in between. */
  readonly drip?: number;
  /** The body breaks off after so many bytes. */
  readonly cut?: { readonly at: number; readonly how: 'rst' | 'fin' | 'silence' };
}

export interface FaultRule {
  /** All that is given has to match. */
  readonly match?: {
    readonly method?: string;
    readonly kind?: RequestKind;
    readonly repository?: string;
    readonly host?: string;
    readonly ranged?: boolean;
    /** Only the so-manieth request that the rest matches, from 1. */
    readonly nth?: number;
  };
  readonly fault: Fault;
  /** How often it happens; always by default. */
  readonly times?: number;
}

/** Finds the fault for a request: that of the first rule that matches and is not used up. */
export function faultsOf(rules: readonly FaultRule[]): (request: LoggedRequest) => Fault {
  const counted = rules.map((rule) => ({ rule, matched: 0, used: 0 }));
  return (request) => {
    const matching = counted.filter(({ rule }) => isMatch(rule, request));
    for (const count of matching) count.matched += 1;
    const found = matching.find(
      ({ rule: { match, times }, matched, used }) =>
        used < (times ?? Number.POSITIVE_INFINITY) && (match?.nth ?? matched) === matched,
    );
    if (found) found.used += 1;
    return found?.rule.fault ?? {};
  };
}

function isMatch({ match = {} }: FaultRule, request: LoggedRequest): boolean {
  return (
    (match.method ?? request.method) === request.method &&
    (match.kind ?? request.kind) === request.kind &&
    (match.repository ?? request.repository) === request.repository &&
    (match.host ?? request.host) === request.host &&
    (match.ranged ?? request.headers.range !== undefined) === (request.headers.range !== undefined)
  );
}
