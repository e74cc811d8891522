import type { Digest } from './digest.ts';

/**
 * What happens while work goes on. Events are facts for a reporter to print, never instructions; no
 * code outside a reporter depends on one being seen.
 */
export type Event =
  /** Work on one image; `bytes` is what moved for it, in bytes. */
  | {
      readonly type: 'image';
      readonly reference: string;
      readonly state: 'start' | 'done' | 'failed';
      readonly bytes?: number;
      readonly message?: string;
    }
  /** One blob on its way. `moved` counts the bytes of this step; `present` means none had to move. */
  | {
      readonly type: 'blob';
      readonly repository: string;
      readonly digest: Digest;
      readonly size: number;
      readonly state: 'start' | 'moved' | 'done' | 'present';
      readonly moved?: number;
    }
  /** A stage of the pipeline began; `total` counts what it will go through. */
  | { readonly type: 'stage'; readonly name: string; readonly total?: number }
  /** A request is tried again in `wait` milliseconds. */
  | {
      readonly type: 'retry';
      readonly host: string;
      readonly wait: number;
      readonly reason: string;
    }
  /** A server answers at this URL from now on. */
  | { readonly type: 'listening'; readonly url: string }
  /** A server answers for hosts, to those who trust the certificate authority at a path. */
  | { readonly type: 'authority'; readonly path: string; readonly hosts: readonly string[] }
  /** A server has answered a request; `bytes` is how much of a body it sent. */
  | {
      readonly type: 'request';
      readonly method: string;
      /** Path and query, as they came. */
      readonly target: string;
      readonly status: number;
      readonly bytes: number;
    }
  | { readonly type: 'warning'; readonly message: string; readonly hint?: string };

/** What a caller hands down to work that takes time. */
export interface Context {
  report(event: Event): void;
  readonly signal: AbortSignal;
  /** Runs a transfer when there is room for it; the one place that bounds how many run at once. */
  transfer<T>(job: () => Promise<T>): Promise<T>;
}

/** A context that reports to nobody, is never interrupted and bounds nothing, where not told otherwise. */
export function createContext(given: Partial<Context> = {}): Context {
  return {
    report: given.report ?? (() => {}),
    signal: given.signal ?? new AbortController().signal,
    transfer: given.transfer ?? ((job) => job()),
  };
}
