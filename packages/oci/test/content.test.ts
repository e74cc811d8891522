import {
  bytes,
  type Content,
  codeOf,
  concat,
  digestContent,
  digestOf,
  partAt,
  rangeOf,
  readAll,
  readVerified,
  slice,
  verified,
} from '@cluster-image/oci';
import { noise } from '@cluster-image/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

async function read(content: Content, range?: { start: number; end: number }): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(content.open(range)));
}

/** Delivers the given chunks whatever its size says. */
function chunked(chunks: readonly Uint8Array[], size = Buffer.concat(chunks).length): Content {
  return {
    size,
    async *open() {
      yield* chunks;
    },
  };
}

describe('any range of contents made of others is what a slice of all their bytes is', () => {
  const parts = fc.array(fc.uint8Array({ maxLength: 12 }), { maxLength: 8 });

  test('a concatenation', async () => {
    await fc.assert(
      fc.asyncProperty(parts, fc.nat(100), fc.nat(100), async (parts, a, b) => {
        const all = Buffer.concat(parts);
        const content = concat(parts.map(bytes));
        const [start, end] = inside(all.length, a, b);
        expect(content.size).toBe(all.length);
        expect(await read(content)).toEqual(all);
        expect(await read(content, { start, end })).toEqual(all.subarray(start, end));
      }),
    );
  });

  test('a slice of a slice of a concatenation', async () => {
    const number = fc.nat(100);
    await fc.assert(
      fc.asyncProperty(
        parts,
        fc.tuple(number, number, number, number),
        async (parts, [a, b, c, d]) => {
          const all = Buffer.concat(parts);
          const [start, end] = inside(all.length, a, b);
          const [from, to] = inside(end - start, c, d);
          const part = slice(concat(parts.map(bytes)), { start, end });
          expect(part.size).toBe(end - start);
          expect(await read(part)).toEqual(all.subarray(start, end));
          const expected = all.subarray(start, end).subarray(from, to);
          expect(await read(part, { start: from, end: to })).toEqual(expected);
          expect(await read(slice(part, { start: from, end: to }))).toEqual(expected);
        },
      ),
    );
  });

  test('a concatenation of concatenations', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(parts, { maxLength: 4 }), async (groups) => {
        const content = concat(groups.map((group) => concat(group.map(bytes))));
        expect(await read(content)).toEqual(Buffer.concat(groups.flat()));
      }),
    );
  });

  function inside(size: number, a: number, b: number): [number, number] {
    const [start, end] = [a % (size + 1), b % (size + 1)];
    return start < end ? [start, end] : [end, start];
  }
});

test('bytes beyond the end are an error, never fewer bytes or those of a neighbour', async () => {
  const all = bytes('0123456789');
  const contents = [
    all,
    concat([bytes('01234'), bytes('56789')]),
    slice(concat([all, all]), { start: 5, end: 15 }),
  ];
  for (const content of contents) {
    for (const range of [
      { start: 0, end: 11 },
      { start: 11, end: 11 },
      { start: -1, end: 5 },
      { start: 6, end: 5 },
      { start: Number.NaN, end: 5 },
    ]) {
      await expect(async () => read(content, range)).rejects.toMatchObject({
        code: 'SIZE_MISMATCH',
      });
    }
  }
  expect(() => slice(all, { start: 5, end: 11 })).toThrow('no bytes 5 to 11 in 10 bytes');
  expect(rangeOf(10)).toEqual({ start: 0, end: 10 });
});

test('only the parts that a range touches are opened, in order, and only when they are read', async () => {
  const opened: string[] = [];
  const part = (name: string, size: number): Content => ({
    size,
    open(range) {
      opened.push(`${name} ${range?.start}-${range?.end}`);
      return bytes(name.repeat(size)).open(range);
    },
  });
  const content = concat([part('a', 3), part('b', 0), part('c', 4), part('d', 3)]);
  const stream = content.open({ start: 2, end: 7 });
  expect(opened).toEqual([]);
  expect(Buffer.concat(await Array.fromAsync(stream)).toString()).toBe('acccc');
  expect(opened).toEqual(['a 2-3', 'c 0-4']);
  await read(content, { start: 4, end: 4 });
  expect(opened).toHaveLength(2);
});

test('a reader that leaves early releases what was held', async () => {
  let released = 0;
  const held: Content = {
    size: 20,
    async *open() {
      try {
        yield noise('a', 10);
        yield noise('b', 10);
      } finally {
        released += 1;
      }
    },
  };
  for (const content of [concat([held, held]), slice(held, { start: 0, end: 20 })]) {
    for await (const chunk of content.open()) {
      expect(chunk).toHaveLength(10);
      break;
    }
  }
  const right = digestOf(Buffer.concat([noise('a', 10), noise('b', 10)]));
  for await (const chunk of verified(held, right, 'x').open()) {
    expect(chunk).toHaveLength(10);
    break;
  }
  expect(released).toBe(3);
});

test('the part of an offset is the first that ends after it', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(5)), fc.nat(50), (sizes, offset) => {
      const ends = sizes.map((_, at) =>
        sizes.slice(0, at + 1).reduce((sum, size) => sum + size, 0),
      );
      const expected = ends.findIndex((end) => end > offset);
      expect(partAt(ends, offset)).toBe(expected < 0 ? ends.length : expected);
    }),
  );
});

describe('a verified content', () => {
  const chunks = fc.array(fc.uint8Array({ maxLength: 6 }), { minLength: 1, maxLength: 6 });

  test('hands over right bytes as they are, however they are cut', async () => {
    await fc.assert(
      fc.asyncProperty(chunks, fc.constantFrom('sha256', 'sha512'), async (chunks, algorithm) => {
        const all = Buffer.concat(chunks);
        const content = verified(chunked(chunks), digestOf(all, algorithm), 'blob');
        expect(content.size).toBe(all.length);
        expect(await read(content)).toEqual(all);
        expect(await read(content, { start: 0, end: all.length })).toEqual(all);
      }),
    );
  });

  test('never hands over the last chunk of wrong bytes', async () => {
    await fc.assert(
      fc.asyncProperty(chunks, fc.nat(), fc.nat(7), async (chunks, at, bit) => {
        const right = Buffer.concat(chunks);
        fc.pre(right.length > 0);
        const digest = digestOf(right);
        const wrong = chunks.map((chunk) => Buffer.from(chunk));
        let offset = at % right.length;
        for (const chunk of wrong) {
          if (offset < chunk.length) {
            chunk[offset] = (chunk[offset] ?? 0) ^ (1 << bit);
            break;
          }
          offset -= chunk.length;
        }
        const { got, failure } = await drain(verified(chunked(wrong), digest, 'blob'));
        expect(codeOf(failure)).toBe('DIGEST_MISMATCH');
        expect(got).toBeLessThan(right.length);
      }),
    );
  });

  test('never hands over all of what is too short or too long', async () => {
    await fc.assert(
      fc.asyncProperty(chunks, fc.integer({ min: -5, max: 5 }), async (chunks, off) => {
        const all = Buffer.concat(chunks);
        fc.pre(off !== 0 && all.length + off >= 0);
        const lying = chunked(chunks, all.length + off);
        const { got, failure } = await drain(verified(lying, digestOf(all), 'blob'));
        expect(codeOf(failure)).toBe('SIZE_MISMATCH');
        expect(got).toBeLessThanOrEqual(Math.max(0, lying.size));
        expect(got).toBeLessThan(Math.max(1, all.length));
      }),
    );
  });

  test('C07: stops reading as soon as there is more than there should be', async () => {
    let delivered = 0;
    const endless: Content = {
      size: 100,
      async *open() {
        for (;;) {
          delivered += 40;
          yield noise('endless', 40);
        }
      },
    };
    const { failure } = await drain(verified(endless, digestOf(noise('x', 100)), 'blob of x'));
    expect(failure).toMatchObject({ code: 'SIZE_MISMATCH' });
    expect(String(failure)).toContain('blob of x');
    expect(delivered).toBe(120);
  });

  test('passes a range through as it is', async () => {
    const content = verified(bytes('0123456789'), digestOf(Buffer.from('other')), 'blob');
    expect((await read(content, { start: 2, end: 5 })).toString()).toBe('234');
  });

  async function drain(content: Content): Promise<{ got: number; failure: unknown }> {
    let got = 0;
    try {
      for await (const chunk of content.open()) got += chunk.length;
    } catch (failure) {
      return { got, failure };
    }
    return { got, failure: undefined };
  }
});

describe('a content in memory', () => {
  test('is refused before a byte is read where it is larger than the limit', async () => {
    const content: Content = {
      size: 2 ** 40,
      open() {
        throw new Error('opened');
      },
    };
    await expect(readAll(content, 1024)).rejects.toMatchObject({ code: 'SIZE_MISMATCH' });
  });

  test.each([
    ['too few bytes', ['abc'], 4],
    ['too many bytes', ['abcd', 'e'], 4],
    ['too many bytes in one chunk', ['abcde'], 4],
    ['bytes where there are none', ['a'], 0],
  ])('%s are SIZE_MISMATCH', async (_, texts, size) => {
    const content = chunked(
      texts.map((text) => Buffer.from(text)),
      size,
    );
    await expect(readAll(content, 10)).rejects.toMatchObject({ code: 'SIZE_MISMATCH' });
    const digest = digestOf(Buffer.from(texts.join('')).subarray(0, size));
    await expect(readVerified(content, digest, 10, 'x')).rejects.toMatchObject({
      code: 'SIZE_MISMATCH',
    });
  });

  test('is checked against its digest', async () => {
    const body = noise('body', 1000);
    for (const algorithm of ['sha256', 'sha512'] as const) {
      const digest = digestOf(body, algorithm);
      expect(await readVerified(bytes(body), digest, 1000, 'x')).toEqual(body);
      await expect(
        readVerified(bytes(noise('other', 1000)), digest, 1000, 'x'),
      ).rejects.toMatchObject({
        code: 'DIGEST_MISMATCH',
      });
    }
    expect(await digestContent(bytes(body))).toBe(digestOf(body));
  });
});
