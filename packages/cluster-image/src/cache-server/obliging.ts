import { setTimeout } from 'node:timers/promises';
import { type Context, OciError } from '@cluster-image/oci';
import type { Artifact, Artifacts, GivenArtifact } from './artifacts.ts';
import { type ArtifactKey, nameOf } from './keys.ts';

/** What became of an artifact that was sent. */
export type Outcome = 'stored' | 'exists' | 'refused';

/** A cache that never fails a build: what cannot be reached is not there, what cannot be stored is refused. */
export interface Obliging {
  /** The first of several that there is, ready to be sent. */
  find(keys: readonly ArtifactKey[]): Promise<Artifact | undefined>;
  put(key: ArtifactKey, given: GivenArtifact): Promise<Outcome>;
  /** The same content once it is known to be right; undefined where it is not, or cannot be read. */
  whole(artifact: Artifact): Promise<Artifact['content'] | undefined>;
}

/** In milliseconds. */
export interface ObligingTimes {
  /** How long one waits for what would be a hit; a build goes on without it. */
  readonly patience: number;
  /** How long what has failed is left alone: every request would wait for it. */
  readonly rest: number;
}

const defaultTimes: ObligingTimes = { patience: 5_000, rest: 30_000 };

export function obliging(
  { find, put }: Artifacts,
  { report }: Pick<Context, 'report'>,
  { patience, rest }: ObligingTimes = defaultTimes,
  now: () => number = Date.now,
): Obliging {
  /** Until when there is no use in asking. */
  const until = { reading: 0, writing: 0 };

  function failed(what: string, error: unknown): void {
    const hint = error instanceof OciError ? error.hint : undefined;
    const why = error instanceof Error ? error.message : String(error);
    report({ type: 'warning', message: `${what}: ${why}`, ...(hint !== undefined && { hint }) });
  }

  return {
    async find(keys) {
      if (now() < until.reading) return undefined;
      for (const key of keys) {
        try {
          const found = await within(patience, find(key));
          if (found) return found;
        } catch (error) {
          failed(`${nameOf(key)} counts as a miss`, error);
          until.reading = until.writing = now() + rest;
          return undefined;
        }
      }
      return undefined;
    },
    async put(key, given) {
      if (now() < until.writing) return 'refused';
      let isBroken = false;
      const body = noticing(given.body, () => {
        isBroken = true;
      });
      try {
        return (await put(key, { ...given, body })) ? 'stored' : 'exists';
      } catch (error) {
        // Who sends and breaks off says nothing about where it is stored.
        if (isBroken) throw error;
        failed(`${nameOf(key)} is not stored`, error);
        until.writing = now() + rest;
        return 'refused';
      }
    },
    async whole(artifact) {
      try {
        return await artifact.whole();
      } catch (error) {
        failed('what is stored counts as a miss', error);
        return undefined;
      }
    },
  };
}

/** Throws TIMEOUT for what takes longer than that many milliseconds; it comes to its end behind one's back. */
async function within<T>(patience: number, work: Promise<T>): Promise<T> {
  const stop = new AbortController();
  const late = setTimeout(patience, undefined, { signal: stop.signal }).then(() => {
    throw new OciError('TIMEOUT', `no answer in ${patience} ms`);
  });
  late.catch(() => {});
  work.catch(() => {});
  try {
    return await Promise.race([work, late]);
  } finally {
    stop.abort();
  }
}

async function* noticing(
  body: AsyncIterable<Uint8Array>,
  broken: () => void,
): AsyncIterable<Uint8Array> {
  const chunks = body[Symbol.asyncIterator]();
  for (;;) {
    const next = await chunks.next().catch((error: unknown) => {
      broken();
      throw error;
    });
    if (next.done) return;
    yield next.value;
  }
}
