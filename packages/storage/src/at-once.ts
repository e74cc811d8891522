/**
 * Does something with every one, so many at a time, and gives what came of each in their order. Where
 * one fails no more are begun, and its failure is thrown when those under way are done.
 */
export async function atOnce<T, R>(
  limit: number,
  all: readonly T[],
  job: (one: T) => Promise<R>,
): Promise<readonly R[]> {
  const results: R[] = new Array(all.length);
  const failures: unknown[] = [];
  const queue = all.entries();
  const work = async (): Promise<void> => {
    for (const [at, one] of queue) {
      if (failures.length > 0) return;
      try {
        results[at] = await job(one);
      } catch (error) {
        failures.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: limit }, work));
  if (failures.length > 0) throw failures[0];
  return results;
}
