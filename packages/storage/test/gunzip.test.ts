import { gzipSync } from 'node:zlib';
import { bytes, type Content, codeOf, readAll } from '@cluster-image/oci';
import { gunzip } from '@cluster-image/storage';
import { noise } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';

const body = noise('body', 100_000);
const packed = gzipSync(body);

/** Delivers bytes in chunks of a size. */
function chunked(data: Uint8Array, size: number): Content {
  return {
    size: data.length,
    async *open() {
      for (let at = 0; at < data.length; at += size) yield data.subarray(at, at + size);
    },
  };
}

test.each([1000, 100_000, 1_000_000])(
  'what was compressed is there again, in chunks of %d bytes',
  async (size) => {
    const content = await gunzip(chunked(packed, size), body.length, 'x.gz');
    expect(content.size).toBe(body.length);
    expect(Buffer.from(await readAll(content, 1e6)).equals(body)).toBe(true);
  },
);

test('T06: members after one another are one file', async () => {
  const both = Buffer.concat([gzipSync('one '), gzipSync(''), gzipSync('two')]);
  for (const size of [1, 7, 1000]) {
    const content = await gunzip(chunked(both, size), 100, 'x.gz');
    expect(Buffer.from(await readAll(content, 100)).toString()).toBe('one two');
  }
});

test('T06: zeros at the end are padding', async () => {
  const padded = Buffer.concat([gzipSync('x'), Buffer.alloc(100)]);
  expect((await gunzip(bytes(padded), 100, 'x.gz')).size).toBe(1);
});

describe('what is ARCHIVE_INVALID, naming the file', () => {
  test.each([
    ['nothing', Buffer.alloc(0)],
    ['no gzip', Buffer.from('no gzip')],
    ['T06: garbage at the end', Buffer.concat([packed, Buffer.from('garbage')])],
    ['T06: a member that is cut off', packed.subarray(0, -20)],
    ['a checksum that is wrong', Buffer.concat([packed.subarray(0, -8), Buffer.alloc(8, 1)])],
    ['a bit that flipped', Buffer.from(packed.map((byte, at) => (at === 5000 ? byte ^ 1 : byte)))],
  ])('%s', async (_, data) => {
    for (const size of [1000, 1_000_000]) {
      const failure = await gunzip(chunked(data, size), 1e6, 'chart.tgz').catch((error) => error);
      expect(codeOf(failure)).toBe('ARCHIVE_INVALID');
      expect(String(failure)).toContain('chart.tgz');
    }
  });

  test('T07: more than the limit, which is not inflated further', async () => {
    const bomb = gzipSync(noise('bomb', 4_000_000));
    let read = 0;
    const counted: Content = {
      size: bomb.length,
      async *open() {
        for await (const chunk of chunked(bomb, 10_000).open()) {
          read += chunk.length;
          yield chunk;
        }
      },
    };
    const failure = await gunzip(counted, 10_000, 'chart.tgz').catch((error) => error);
    expect(codeOf(failure)).toBe('ARCHIVE_INVALID');
    expect(String(failure)).toContain('over 10000 bytes');
    expect(read).toBeLessThan(bomb.length / 2);
  });
});
