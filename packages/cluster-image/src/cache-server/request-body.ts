import type { ServerRequest } from '@cluster-image/distribution';

/** What comes with a request, for several to read one after another: who gives up leaves the rest to the next. */
export function bodyOf({ body }: ServerRequest): AsyncIterable<Uint8Array> {
  const chunks = body?.[Symbol.asyncIterator]();
  const none: IteratorResult<Uint8Array> = { done: true, value: undefined };
  return { [Symbol.asyncIterator]: () => ({ next: async () => chunks?.next() ?? none }) };
}

/**
 * Takes in what nobody wants. Clients that are answered before they have sent everything may find
 * their connection closed instead of an answer.
 */
export async function drain(body: AsyncIterable<Uint8Array>): Promise<void> {
  try {
    for await (const _ of body);
  } catch {
    // It was broken off, and there is nobody to answer.
  }
}

/** How many bytes a request brings; undefined where it does not say. */
export function lengthOf({ headers }: ServerRequest): number | undefined {
  const text = headers['content-length'] ?? '';
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}
