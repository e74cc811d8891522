import { bytes, type Content, type ErrorCode, OciError, type Range } from '@cluster-image/oci';
import { PassingError } from './patience.ts';

/** A request as it came: the target is path and query, not decoded; header names are lower-case. */
export interface ServerRequest {
  readonly method: string;
  readonly target: string;
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** What comes with it, to be read once; absent where nothing can. Throws where it breaks off. */
  readonly body?: AsyncIterable<Uint8Array>;
}

export interface ServerResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** Absent for HEAD and where there is none. */
  readonly body?: { readonly content: Content; readonly range?: Range };
}

/** Answers requests. Needs no port: tests and other servers call it as it is. */
export type Handler = (request: ServerRequest) => Promise<ServerResponse>;

export function json(
  value: unknown,
  headers: Readonly<Record<string, string>> = {},
): ServerResponse {
  return text(JSON.stringify(value), 'application/json', headers);
}

/** An answer that is a text of some media type. */
export function text(
  body: string,
  mediaType: string,
  headers: Readonly<Record<string, string>> = {},
): ServerResponse {
  const content = bytes(body);
  return {
    status: 200,
    headers: { 'content-type': mediaType, 'content-length': String(content.size), ...headers },
    body: { content },
  };
}

/** An answer without a body. */
export function empty(
  status: number,
  headers: Readonly<Record<string, string>> = {},
): ServerResponse {
  return { status, headers: { ...headers, ...(status !== 204 && { 'content-length': '0' }) } };
}

/** https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#error-codes */
export function refusal(
  status: number,
  code: string,
  message: string,
  headers: Readonly<Record<string, string>> = {},
): ServerResponse {
  return { ...json({ errors: [{ code, message }] }, headers), status };
}

/** What a failure behind the handler looks like from outside. */
export function failed(error: unknown): ServerResponse {
  if (!(error instanceof OciError)) return refusal(500, 'UNKNOWN', 'internal error');
  const [status, code] = failures[error.code] ?? [500, 'UNKNOWN'];
  return refusal(status, code, error.message, retryAfter(error));
}

/** When whoever is behind the handler wants to be asked again. */
function retryAfter(error: OciError): Readonly<Record<string, string>> {
  const wait = error instanceof PassingError ? error.wait : undefined;
  return wait === undefined ? {} : { 'retry-after': String(Math.ceil(wait / 1000)) };
}

/** What is wrong further on, where a registry fetches from others. */
const failures: Readonly<Partial<Record<ErrorCode, readonly [status: number, code: string]>>> = {
  REFERENCE_INVALID: [400, 'NAME_INVALID'],
  NOT_FOUND: [404, 'NAME_UNKNOWN'],
  // Who asks here has no part in how this registry proves itself to others.
  UNAUTHORIZED: [403, 'DENIED'],
  DENIED: [403, 'DENIED'],
  TOO_MANY_REQUESTS: [429, 'TOOMANYREQUESTS'],
  NETWORK: [502, 'UNKNOWN'],
  UPSTREAM: [502, 'UNKNOWN'],
  TIMEOUT: [504, 'UNKNOWN'],
};
