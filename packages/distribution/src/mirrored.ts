import {
  type Context,
  codeOf,
  OciError,
  type Range,
  type RegistryReader,
} from '@cluster-image/oci';

/**
 * A registry and its mirrors as one, asked in the given order. One that is absent, unreachable,
 * refuses, or breaks off in the middle of a blob is followed by the next; the last one's answer counts.
 */
export function mirrored(
  sources: readonly (() => Promise<RegistryReader>)[],
  host: string,
  context: Context,
): RegistryReader {
  const opened = new Map<number, Promise<RegistryReader>>();
  const open = (index: number): Promise<RegistryReader> => {
    const known = opened.get(index) ?? sources[index]?.();
    if (!known) throw new OciError('NOT_FOUND', `${host} has no source ${index}`);
    opened.set(index, known);
    known.catch(() => opened.delete(index));
    return known;
  };

  async function first<T>(
    ask: (reader: RegistryReader) => Promise<T | undefined>,
  ): Promise<T | undefined> {
    for (let index = 0; index < sources.length - 1; index++) {
      try {
        const found = await ask(await open(index));
        if (found !== undefined) return found;
      } catch (error) {
        passOver(error);
      }
    }
    return ask(await open(sources.length - 1));
  }

  /** Throws what no other source can mend. */
  function passOver(error: unknown): void {
    const code = codeOf(error);
    if (code === undefined || code === 'ABORTED') throw error;
    if (code === 'NOT_FOUND') return;
    const message = error instanceof Error ? error.message : String(error);
    context.report({ type: 'warning', message: `mirror of ${host} passed over: ${message}` });
  }

  return {
    resolve: (repository, reference) => first((reader) => reader.resolve(repository, reference)),
    manifest: (repository, digest) => first((reader) => reader.manifest(repository, digest)),
    async blob(repository, digest, size) {
      if (size === undefined) return first((reader) => reader.blob(repository, digest));
      let reads = 0;
      return { size, open: (range) => read(range, range ? 0 : reads++) };

      /** Whoever reads all of a blob again did not like what it got, and begins with another source. */
      async function* read(
        { start, end }: Range = { start: 0, end: size ?? 0 },
        turn: number,
      ): AsyncIterable<Uint8Array> {
        let at = start;
        for (let tried = 1; ; tried++) {
          const reader = await open((turn + tried - 1) % sources.length);
          try {
            const found = await reader.blob(repository, digest, size);
            if (!found) throw new OciError('NOT_FOUND', `${host}: no blob ${digest}`);
            const isWhole = at === 0 && end === size;
            for await (const chunk of found.open(isWhole ? undefined : { start: at, end })) {
              at += chunk.length;
              yield chunk;
            }
            return;
          } catch (error) {
            if (tried === sources.length) throw error;
            passOver(error);
          }
        }
      }
    },
    async *repositories() {
      yield* (await open(sources.length - 1)).repositories();
    },
    async *tags(repository) {
      yield* (await open(sources.length - 1)).tags(repository);
    },
  };
}
