import { OciError } from '@cluster-image/oci';

/**
 * Does something with every one, all at once, and waits for all of them. Where some fail, the others
 * are finished first; then the one failure is thrown, or SOME_FAILED with a list of them, each by
 * name.
 */
export async function everyOne<T, R>(
  all: readonly T[],
  nameOf: (one: T) => string,
  job: (one: T) => Promise<R>,
): Promise<readonly R[]> {
  const results = await Promise.allSettled(
    all.map(async (one) => {
      try {
        return await job(one);
      } catch (error) {
        throw named(nameOf(one), error);
      }
    }),
  );
  const failures: unknown[] = [];
  const done: R[] = [];
  for (const result of results) {
    if (result.status === 'fulfilled') done.push(result.value);
    else failures.push(result.reason);
  }
  if (failures.length === 0) return done;
  throw asOne(failures, all.length);
}

/** Several failures as one: the only one, an interruption, or SOME_FAILED with a list of them. */
export function asOne(failures: readonly unknown[], total: number): unknown {
  const [first, ...others] = failures;
  const interrupted = failures.find(isAborted);
  if (interrupted || others.length === 0) return interrupted ?? first;
  return new OciError(
    'SOME_FAILED',
    `${failures.length} of ${total} failed:\n${failures.map((reason) => `  ${messageOf(reason)}`).join('\n')}`,
    {
      cause: new AggregateError(failures),
      hint: first instanceof OciError ? first.hint : undefined,
    },
  );
}

/** Waits for all of them, then throws the first failure: nothing goes on behind the caller's back. */
export async function settled<T>(jobs: readonly Promise<T>[]): Promise<readonly T[]> {
  await Promise.allSettled(jobs);
  return Promise.all(jobs);
}

/** The same failure, saying what it is about. */
export function named(name: string, error: unknown): unknown {
  if (!(error instanceof OciError) || error.code === 'ABORTED') return error;
  const { code, message, hint } = error;
  return new OciError(code, `${name}: ${message}`, { hint, cause: error });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function isAborted(error: unknown): boolean {
  return error instanceof OciError && error.code === 'ABORTED';
}
