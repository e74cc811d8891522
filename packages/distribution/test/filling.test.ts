import { bytes, digestOf, memory, OciError, readAll, type Spool } from '@cluster-image/oci';
import { noise } from '@cluster-image/testing';
import { expect, test } from 'vitest';
import { filling } from '../src/filling.ts';

const body = noise('filling', 100_000);
const digest = digestOf(body);
const never = new AbortController().signal;

/** A spool in memory whose reads begin only once it was let go of, and find nothing then. */
function lateSpool(): Spool {
  const { promise, resolve } = Promise.withResolvers<void>();
  return {
    async begin() {
      const inner = await memory().begin();
      return {
        get size() {
          return inner.size;
        },
        append: inner.append,
        content: inner.content,
        async *read() {
          await promise;
          yield* bytes('').open();
          throw new OciError('FILE_SYSTEM', 'there is no such file');
        },
        async end() {
          resolve();
        },
      };
    },
  };
}

test('who is about to read what was gathered when it is stored reads what is stored', async () => {
  const started = filling(bytes(body), digest, lateSpool(), async (content) => content, never);
  expect(digestOf(await readAll(started.content, body.length))).toBe(digest);
});

test('who is about to read it when it is given up is told why', async () => {
  const refuse = async (): Promise<never> => {
    throw new OciError('DIGEST_MISMATCH', 'other bytes');
  };
  const started = filling(bytes(body), digest, lateSpool(), refuse, never);
  await expect(readAll(started.content, body.length)).rejects.toMatchObject({
    code: 'DIGEST_MISMATCH',
  });
});
