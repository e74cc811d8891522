/** Times deeds by name, as often as they are done, and tells the figures as a table. */
export interface Stopwatch {
  time<T>(name: string, deed: () => Promise<T>): Promise<T>;
  /** Of a name, in seconds; zero for one that was never timed. */
  median(name: string): number;
  lines(): readonly string[];
}

/** @param settle is done before each deed and not timed, so that none pays for what another left to be written */
export function stopwatch(settle: () => Promise<unknown> = async () => {}): Stopwatch {
  const seconds = new Map<string, number[]>();
  return {
    async time(name, deed) {
      await settle();
      const started = performance.now();
      const done = await deed();
      const took = (performance.now() - started) / 1000;
      seconds.set(name, [...(seconds.get(name) ?? []), took]);
      return done;
    },
    median: (name) => median(seconds.get(name) ?? [0]),
    lines: () =>
      [...seconds].map(
        ([name, all]) =>
          `${name.padEnd(44)} ${all.map((value) => value.toFixed(2).padStart(6)).join(' ')}  s`,
      ),
  };
}

export function median(all: readonly number[]): number {
  return [...all].sort((a, b) => a - b)[Math.floor(all.length / 2)] ?? 0;
}

/** What is expected, and what it came to. */
export interface Finding {
  readonly what: string;
  readonly expected: string;
  readonly measured: string;
}

export function times(value: number): string {
  return `${value.toFixed(value < 10 ? 2 : 0)} times`;
}

export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(2)} MB`;
}
