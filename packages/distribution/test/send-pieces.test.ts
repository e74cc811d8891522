import { type Handler, listen } from '@cluster-image/distribution';
import {
  bytes,
  digestOf,
  OciError,
  type Range,
  rangeOf,
  type SeekableContent,
} from '@cluster-image/oci';
import { noise } from '@cluster-image/testing';
import { describe, expect, onTestFinished, test } from 'vitest';

/** Larger than several of the pieces that a server reads at a time. */
const body = noise('seekable', 1_500_000);

/** A content in memory that is read like a file; tells how often it was opened and closed. */
function seekable(failAt = Number.POSITIVE_INFINITY) {
  const readers = { opened: 0, closed: 0 };
  const content: SeekableContent = {
    ...bytes(body),
    async seek() {
      readers.opened += 1;
      return {
        async read(into, at) {
          if (at + into.length > failAt) throw new OciError('SIZE_MISMATCH', 'cut off');
          into.set(body.subarray(at, at + into.length));
        },
        async close() {
          readers.closed += 1;
        },
      };
    },
  };
  return { content, readers };
}

async function served(content: SeekableContent, range?: Range): Promise<URL> {
  const { start, end } = rangeOf(content.size, range);
  const handler: Handler = async () => ({
    status: 200,
    headers: { 'content-length': String(end - start) },
    body: { content, ...(range && { range }) },
  });
  const listening = await listen(handler);
  onTestFinished(() => listening.close(0));
  return listening.url;
}

describe('what can be read into given memory is served', () => {
  test.each<[string, Range | undefined]>([
    ['in whole', undefined],
    ['from the middle', { start: 300_001, end: 1_500_000 }],
    ['less than a piece', { start: 5, end: 17 }],
    ['nothing', { start: 7, end: 7 }],
  ])('%s', async (_, range) => {
    const { content, readers } = seekable();
    const response = await fetch(await served(content, range));
    const came = new Uint8Array(await response.arrayBuffer());
    const { start, end } = rangeOf(body.length, range);
    expect([came.length, digestOf(came)]).toEqual([
      end - start,
      digestOf(body.subarray(start, end)),
    ]);
    expect(readers).toEqual({ opened: 1, closed: 1 });
  });

  test('to many at once, none getting the bytes of another', async () => {
    const { content } = seekable();
    const url = await served(content);
    const all = await Promise.all(
      Array.from({ length: 20 }, async () => {
        const response = await fetch(url);
        return digestOf(new Uint8Array(await response.arrayBuffer()));
      }),
    );
    expect(new Set(all)).toEqual(new Set([digestOf(body)]));
  });

  test('and cut off where it fails, never ended as if it were whole', async () => {
    const { content, readers } = seekable(1_000_000);
    const response = await fetch(await served(content));
    await expect(response.arrayBuffer()).rejects.toThrow();
    expect(readers).toEqual({ opened: 1, closed: 1 });
  });

  test('and let go of when the client leaves', async () => {
    const { content, readers } = seekable();
    const controller = new AbortController();
    const response = await fetch(await served(content), { signal: controller.signal });
    await response.body?.getReader().read();
    controller.abort();
    await expect.poll(() => readers).toEqual({ opened: 1, closed: 1 });
  });
});
