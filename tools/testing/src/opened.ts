import { afterEach } from 'vitest';

/** What a contract is run against, and how it is closed. */
export interface OpenedAs<R> {
  readonly registry: R;
  close?(): Promise<void>;
}

/** Opens what one test needs; all of it is closed after the test. To be called once for a contract. */
export function opening<R>(open: () => Promise<OpenedAs<R>>): () => Promise<R> {
  const opened: OpenedAs<R>[] = [];
  afterEach(async () => {
    for (const { close } of opened.splice(0)) await close?.();
  });
  return async () => {
    const found = await open();
    opened.push(found);
    return found.registry;
  };
}
