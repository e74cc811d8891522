import { OciError } from '@cluster-image/oci';

/**
 * Does something with every one, all at once, and waits for all of them. Where some fail, the others
 * are finished first; then the one failure is thrown, or SOME_FAILED with a list of them.
 */
export async function everyOne<T, R>(
  all: readonly T[],
  nameOf: (one: T) => string,
  job: (one: T) => Promise<R>,
): Promise<readonly R[]> {
  const results = await Promise.allSettled(all.map(job));
  const done: R[] = [];
  const failures: { name: string; reason: unknown }[] = [];
  for (const [at, result] of results.entries()) {
    const one = all[at];
    if (result.status === 'fulfilled') done.push(result.value);
    else if (one !== undefined) failures.push({ name: nameOf(one), reason: result.reason });
  }
  const [first] = failures;
  if (!first) return done;
  const interrupted = failures.find(({ reason }) => isAborted(reason));
  if (interrupted) throw interrupted.reason;
  if (failures.length === 1) throw first.reason;
  const lines = failures.map(({ name, reason }) => {
    const message = reason instanceof Error ? reason.message : String(reason);
    return `  ${message.includes(name) ? message : `${name}: ${message}`}`;
  });
  throw new OciError(
    'SOME_FAILED',
    `${failures.length} of ${all.length} failed:\n${lines.join('\n')}`,
    {
      cause: new AggregateError(failures.map(({ reason }) => reason)),
      hint: hintOf(first.reason),
    },
  );
}

function isAborted(error: unknown): boolean {
  return error instanceof OciError && error.code === 'ABORTED';
}

function hintOf(error: unknown): string | undefined {
  return error instanceof OciError ? error.hint : undefined;
}
