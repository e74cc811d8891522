/** Runs jobs, each name's once at a time: whoever asks meanwhile gets what comes of the one that runs. */
export function onlyOnce<T>(): (name: string, job: () => Promise<T>) => Promise<T> {
  const running = new Map<string, Promise<T>>();
  return (name, job) => {
    const known = running.get(name);
    if (known) return known;
    const started = job().finally(() => running.delete(name));
    running.set(name, started);
    return started;
  };
}
