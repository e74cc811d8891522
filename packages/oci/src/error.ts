/**
 * What went wrong, as one word that tests and catches look at. Absence is not an error: it is
 * `undefined`. The command's exit code follows from the code (docs/errors.md).
 */
export type ErrorCode =
  /** A flag, an option or a location is malformed. */
  | 'USAGE'
  /** A file of the context, a configuration or a lockfile is malformed; the message names file and line. */
  | 'INPUT_INVALID'
  /** An image reference, repository name or tag breaks the grammar. */
  | 'REFERENCE_INVALID'
  | 'DIGEST_INVALID'
  | 'PLATFORM_INVALID'
  /** Something that has to be there is not. */
  | 'NOT_FOUND'
  /** The context refers to what the lockfile does not pin, or pins otherwise. */
  | 'LOCK_DRIFT'
  /** Two things claim one name. */
  | 'CONFLICT'
  /** Asked for what this tool deliberately does not do; the hint names the way out. */
  | 'UNSUPPORTED'
  /** Bytes are not what their digest says. */
  | 'DIGEST_MISMATCH'
  /** There are more or fewer bytes than their descriptor says. */
  | 'SIZE_MISMATCH'
  | 'MANIFEST_INVALID'
  | 'ARCHIVE_INVALID'
  | 'UNAUTHORIZED'
  | 'DENIED'
  /** The peer could not be reached or broke off. */
  | 'NETWORK'
  | 'TIMEOUT'
  | 'TOO_MANY_REQUESTS'
  /** The peer answered what a registry does not answer. */
  | 'UPSTREAM'
  | 'NO_SPACE'
  | 'FILE_SYSTEM'
  /** A program this tool calls is missing or failed. */
  | 'TOOL'
  /** Several things failed; `cause` is an AggregateError. */
  | 'SOME_FAILED'
  | 'ABORTED';

/** The one error class of the project. */
export class OciError extends Error {
  override readonly name = 'OciError';
  readonly code: ErrorCode;
  /** The next step for the person who reads the message, as a sentence. */
  readonly hint: string | undefined;

  constructor(code: ErrorCode, message: string, options: { hint?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
  }
}

/** The code of an error, or undefined for one that is not ours. */
export function codeOf(error: unknown): ErrorCode | undefined {
  return error instanceof OciError ? error.code : undefined;
}

/**
 * Whether an error says that something at rest is not what it should be: whoever has another source
 * can do without it, whoever writes can replace it.
 */
export function isDamage(error: unknown): boolean {
  const code = codeOf(error);
  return code !== undefined && damages.includes(code);
}

const damages: readonly ErrorCode[] = [
  'DIGEST_INVALID',
  'DIGEST_MISMATCH',
  'MANIFEST_INVALID',
  'SIZE_MISMATCH',
];

/** Throws ABORTED once the signal has fired. */
export function throwIfAborted(signal: AbortSignal): void {
  if (signal.aborted) throw new OciError('ABORTED', 'interrupted', { cause: signal.reason });
}
