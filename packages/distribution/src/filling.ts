import {
  type Content,
  type Digest,
  type Range,
  rangeOf,
  type Spool,
  sizeMismatch,
  throwIfAborted,
} from '@cluster-image/oci';

/** A blob on its way from an upstream into a registry, which any number of readers follow. */
export interface Filling {
  /** The blob, as far as it has come; who reads on waits for more. */
  readonly content: Content;
  /** Returns once the blob is stored; throws why it was not. */
  readonly done: Promise<void>;
}

/**
 * Brings a blob from its upstream once, however many ask for it, and goes on when they have all left.
 * Readers get bytes as they come, but the last byte only once all of them were checked and stored: what
 * is wrong never looks whole.
 *
 * @param store keeps the bytes, which it checks, and gives them back
 */
export function filling(
  source: Content,
  digest: Digest,
  spool: Spool,
  store: (content: Content) => Promise<Content>,
  signal: AbortSignal,
): Filling {
  const { size } = source;
  let available = 0;
  let readSpooled: ((range: Range) => AsyncIterable<Uint8Array>) | undefined;
  let stored: Content | undefined;
  let failure: { readonly reason: unknown } | undefined;
  let grown = Promise.withResolvers<void>();

  const done = fill().catch((reason: unknown) => {
    failure = { reason };
    grow();
    throw reason;
  });
  // Readers tell of it; there may be none.
  done.catch(() => {});

  function grow(): void {
    const { resolve } = grown;
    grown = Promise.withResolvers();
    resolve();
  }

  async function fill(): Promise<void> {
    const spooled = await spool.begin();
    readSpooled = spooled.read;
    try {
      for await (const chunk of source.open()) {
        throwIfAborted(signal);
        await spooled.append(only(chunk));
        available = spooled.size;
        if (available > size) break;
        grow();
      }
      if (available !== size) throw sizeMismatch('blob', digest, size, available);
      stored = await store(await spooled.content());
      grow();
    } finally {
      await spooled.end();
    }
  }

  async function* read({ start, end }: Range): AsyncIterable<Uint8Array> {
    for (let at = start; at < end; ) {
      if (failure) throw failure.reason;
      if (stored) {
        yield* stored.open({ start: at, end });
        return;
      }
      const { promise } = grown;
      const upTo = Math.min(end, available, size - 1);
      if (upTo <= at || !readSpooled) {
        await promise;
        continue;
      }
      try {
        for await (const chunk of readSpooled({ start: at, end: upTo })) {
          at += chunk.length;
          yield chunk;
        }
      } catch (error) {
        // What was gathered is gone once it is stored, or given up; then there is better to read, or to say.
        if (!stored && !failure) throw error;
      }
    }
  }

  return { content: { size, open: (range) => read(rangeOf(size, range)) }, done };
}

async function* only(chunk: Uint8Array): AsyncIterable<Uint8Array> {
  yield chunk;
}
