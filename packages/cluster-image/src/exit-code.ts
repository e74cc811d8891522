import { type ErrorCode, OciError } from '@cluster-image/oci';

const codes: Readonly<Partial<Record<ErrorCode, number>>> = {
  USAGE: 2,
  REFERENCE_INVALID: 2,
  PLATFORM_INVALID: 2,
  DIGEST_MISMATCH: 3,
  SIZE_MISMATCH: 3,
  DIGEST_INVALID: 3,
  MANIFEST_INVALID: 3,
  ARCHIVE_INVALID: 3,
  UNAUTHORIZED: 4,
  DENIED: 4,
  NETWORK: 5,
  TIMEOUT: 5,
  TOO_MANY_REQUESTS: 5,
  UPSTREAM: 5,
  ABORTED: 130,
};

/** What a process exits with after failures of that kind. */
export function exitCodeOf(code: ErrorCode): number {
  return codes[code] ?? 1;
}

/** What a process that fails like this exits with; docs/errors.md has the table. */
export function exitCode(error: unknown): number {
  if (!(error instanceof OciError)) return 1;
  if (error.code !== 'SOME_FAILED' || !(error.cause instanceof AggregateError)) {
    return exitCodeOf(error.code);
  }
  // Several failures of one kind are that kind.
  const [first, ...others] = error.cause.errors.map(exitCode);
  return first !== undefined && others.every((other) => other === first) ? first : 1;
}
