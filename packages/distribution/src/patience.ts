import { type Context, OciError } from '@cluster-image/oci';
import type { HttpResponse } from './transport.ts';

/** How long a server may ask to wait by default, in milliseconds. */
const defaultLongest = 120_000;

/** A refusal that may be over in a moment. */
export class PassingError extends OciError {
  /** How long the peer asks to wait, in milliseconds, if it does. */
  readonly wait: number | undefined;

  constructor(error: OciError, wait: number | undefined) {
    super(error.code, error.message, { hint: error.hint, cause: error.cause });
    this.wait = wait;
  }
}

export interface PatienceOptions {
  /** For messages. */
  readonly host: string;
  readonly context: Context;
  /** Waits that many milliseconds. */
  readonly sleep: (milliseconds: number, signal: AbortSignal) => Promise<void>;
  readonly now: () => number;
  /** How long a server may ask to wait, in milliseconds; two minutes by default. */
  readonly longest?: number | undefined;
}

/** How long one waits for one host. */
export interface Patience {
  /**
   * Waits before what failed is tried again: as long as the peer asks, else longer with every attempt.
   * Throws TOO_MANY_REQUESTS where the peer asks for too much.
   *
   * @param failure what failed, or the answer that was a refusal
   */
  pause(attempt: number, failure: unknown): Promise<void>;
  /** How long an answer asks to wait, in milliseconds. */
  asked(response: HttpResponse): number | undefined;
  /** Milliseconds since the epoch. */
  now(): number;
}

export function patience(options: PatienceOptions): Patience {
  const { host, context, sleep, now, longest = defaultLongest } = options;
  return {
    async pause(attempt, failure) {
      const asked = failure instanceof PassingError ? failure.wait : undefined;
      // Who asks for no wait at all is not taken at their word: they would be asked all at once.
      const wait = asked || backoff(attempt);
      if (asked !== undefined && asked > longest) {
        const why = `${host} asked to wait ${Math.round(asked / 1000)} s`;
        const hint = 'Try again then, log in for a higher limit, or configure a mirror.';
        throw new PassingError(new OciError('TOO_MANY_REQUESTS', why, { hint }), asked);
      }
      const reason = failure instanceof Error ? failure.message : 'failed';
      context.report({ type: 'retry', host, wait, reason });
      await sleep(wait, context.signal);
    },
    asked: (response) => retryAfter(response.header('retry-after'), now()),
    now,
  };
}

/** Whether the same request may well be answered otherwise a moment later. */
export function isPassing(status: number): boolean {
  return status === 408 || status === 429 || (status >= 500 && status !== 501);
}

/**
 * How long a `Retry-After` asks to wait, in milliseconds; undefined where it does not say.
 * https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3
 */
export function retryAfter(header: string | undefined, now: number): number | undefined {
  const text = header?.trim();
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
