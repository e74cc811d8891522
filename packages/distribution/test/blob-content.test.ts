import { createContext, verified } from '@cluster-image/oci';
import { type Fault, type FaultRule, noise } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { type BlobFixture, blobFixture, failureOf, patienceFor, read } from './client.ts';

const size = 300_000;

/** The ranges that a blob was asked for in turn; undefined stands for all of it. */
function rangesOf({ server }: BlobFixture): readonly (string | undefined)[] {
  return server.requests('blob').map(({ headers }) => headers.range);
}

function sentBy({ server }: BlobFixture): number {
  return server.log.reduce((sum, { sent }) => sum + sent, 0);
}

/** A blob whose first transfer breaks off in the middle. */
function broken(...then: readonly FaultRule[]): readonly FaultRule[] {
  return [
    { match: { kind: 'blob', nth: 1 }, fault: { cut: { at: 100_000, how: 'fin' } } },
    ...then,
  ];
}

describe('a transfer', () => {
  test.each(['rst', 'fin', 'silence'] as const)(
    'C01 C12 that breaks off (%s) goes on where it stopped',
    async (how) => {
      const positions: number[] = [];
      let received = 0;
      const fault = { cut: { at: 100_000, how } };
      const fixture = await blobFixture({
        rules: [{ match: { kind: 'blob', nth: 1 }, fault }],
        client: {
          ...patienceFor(fault),
          context: createContext({
            report: ({ type }) => type === 'retry' && positions.push(received),
          }),
        },
      });
      const chunks: Uint8Array[] = [];
      for await (const chunk of fixture.content.open()) {
        chunks.push(chunk);
        received += chunk.length;
      }
      expect(Buffer.concat(chunks).equals(fixture.body)).toBe(true);
      const [position = 0] = positions;
      expect(position).toBeGreaterThan(0);
      expect(rangesOf(fixture)).toEqual([undefined, `bytes=${position}-${size - 1}`]);
      expect(sentBy(fixture)).toBe(100_000 + size - position);
      expect(fixture.waits).toEqual([]);
    },
  );

  test('C01 C04 is never asked for from its first byte by range', async () => {
    const fixture = await blobFixture();
    await read(fixture.content);
    await Array.fromAsync(fixture.content.open({ start: 0, end: size }));
    expect(rangesOf(fixture)).toEqual([undefined, undefined]);
  });

  test('P3 over a line that breaks every 256 KiB is complete, and nothing much is sent twice', async () => {
    const body = noise('large', 2 * 1024 * 1024);
    const fixture = await blobFixture({
      body,
      rules: [{ fault: { cut: { at: 256 * 1024, how: 'fin' } } }],
    });
    expect((await read(fixture.content)).equals(body)).toBe(true);
    expect(sentBy(fixture)).toBeLessThan(body.length * 1.5);
  });

  test('C01 without any progress fails after five patient attempts', async () => {
    const fixture = await blobFixture({ rules: [{ fault: { cut: { at: 0, how: 'fin' } } }] });
    expect((await failureOf(read(fixture.content))).code).toBe('NETWORK');
    expect(fixture.server.log).toHaveLength(6);
    expect(fixture.waits).toHaveLength(5);
  });

  test('C12 that only trickles is broken off and goes on where it stopped', async () => {
    let clock = 0;
    const body = noise('small', 2_000);
    const fixture = await blobFixture({
      body,
      rules: [{ match: { kind: 'blob', nth: 1 }, fault: { drip: 1 } }],
      client: {
        now: () => {
          clock += 5_000;
          return clock;
        },
      },
    });
    expect((await read(fixture.content)).equals(body)).toBe(true);
    const [, range] = rangesOf(fixture);
    const start = Number(/^bytes=(\d+)-1999$/.exec(range ?? '')?.[1]);
    expect(start).toBeGreaterThan(0);
    expect(start).toBeLessThan(2_000);
    expect(fixture.server.log).toHaveLength(2);
  });

  test('that is interrupted fails at once, and nothing more is asked', async () => {
    const interrupt = new AbortController();
    const fixture = await blobFixture({
      rules: [{ fault: { cut: { at: 100_000, how: 'silence' } } }],
      client: { context: createContext({ signal: interrupt.signal }) },
    });
    const reading = failureOf(
      (async () => {
        for await (const _ of fixture.content.open()) interrupt.abort(new Error('enough'));
      })(),
    );
    expect((await reading).code).toBe('ABORTED');
    expect(fixture.server.log).toHaveLength(1);
  });

  test('that its reader leaves early gives its connection back', async () => {
    const fixture = await blobFixture({ client: { connections: 1 } });
    for await (const _ of fixture.content.open()) break;
    expect((await read(fixture.content)).equals(fixture.body)).toBe(true);
  });

  test('of a part is not held up by what lies behind it', async () => {
    const fixture = await blobFixture({
      rules: [{ fault: { range: 'ignore', cut: { at: 200_000, how: 'silence' } } }],
    });
    const part = await Array.fromAsync(fixture.content.open({ start: 1_000, end: 2_000 }));
    expect(Buffer.concat(part).equals(fixture.body.subarray(1_000, 2_000))).toBe(true);
  });
});

describe('a server without ranges', () => {
  test('C02 sends all of it again, and what is there already is passed over', async () => {
    const fixture = await blobFixture({
      rules: broken({ match: { ranged: true }, fault: { range: 'ignore' } }),
    });
    expect((await read(fixture.content)).equals(fixture.body)).toBe(true);
    expect(fixture.server.log).toHaveLength(2);
    expect(sentBy(fixture)).toBe(100_000 + size);
  });

  test('C02 is asked for all of it at most twice again', async () => {
    const fixture = await blobFixture({
      rules: [{ fault: { range: 'ignore', cut: { at: 100_000, how: 'fin' } } }],
    });
    expect((await failureOf(read(fixture.content))).code).toBe('NETWORK');
    expect(fixture.server.log).toHaveLength(4);
  });

  test.each([
    ['begins elsewhere', { range: 'shifted' }],
    ['does not say where it begins', { headers: { 'content-range': null } }],
    [
      'has several parts',
      { headers: { 'content-range': null, 'content-type': 'multipart/byteranges; boundary=x' } },
    ],
    [
      'is of a blob of another size',
      { headers: { 'content-range': 'bytes 100000-299999/300001' } },
    ],
    ['goes on too far', { extra: 1, headers: { 'content-range': 'bytes 100000-300000/*' } }],
    ['says nonsense', { headers: { 'content-range': 'bytes */300000' } }],
  ] satisfies [string, Fault][])(
    'C05 is one whose 206 %s: all of it is asked for plainly',
    async (_, fault) => {
      const fixture = await blobFixture({
        rules: broken({ match: { ranged: true }, fault }),
      });
      expect((await read(fixture.content)).equals(fixture.body)).toBe(true);
      expect(rangesOf(fixture)).toEqual([undefined, expect.stringMatching(/^bytes=\d/), undefined]);
    },
  );

  test.each([400, 403, 416])(
    'C03 is one whose signed URL answers %i to a range: the registry is asked for another',
    async (status) => {
      const { server, ...fixture } = await blobFixture({
        rules: [
          {
            match: { kind: 'blob' },
            fault: {
              redirect: ({ host, target }) =>
                `http://${host.replace('127.0.0.1', 'localhost')}${target.replace('/v2/', '/cdn/')}`,
            },
          },
          { match: { kind: 'cdn', nth: 1 }, fault: { cut: { at: 100_000, how: 'fin' } } },
          { match: { kind: 'cdn', ranged: true }, fault: { status } },
        ],
      });
      expect((await read(fixture.content)).equals(fixture.body)).toBe(true);
      const range = expect.stringMatching(/^bytes=\d/);
      expect(server.log.map(({ kind, headers }) => [kind, headers.range])).toEqual([
        ['blob', undefined],
        ['cdn', undefined],
        ['blob', range],
        ['cdn', range],
        ['blob', undefined],
        ['cdn', undefined],
      ]);
    },
  );

  test('C03 is not one that is merely busy: its refusal counts', async () => {
    const fixture = await blobFixture({
      rules: broken({ match: { ranged: true }, fault: { status: 503 } }),
    });
    expect((await failureOf(read(fixture.content))).code).toBe('UPSTREAM');
    expect(fixture.server.log).toHaveLength(1 + 5);
  });

  test('C06 is one whose 206 lies: it is found out, and read again from the start it is right', async () => {
    const fixture = await blobFixture({
      rules: broken({ match: { ranged: true }, fault: { range: 'lie' } }),
    });
    const checked = verified(fixture.content, fixture.digest, 'blob');
    expect((await failureOf(read(checked))).code).toBe('DIGEST_MISMATCH');
    expect((await read(checked)).equals(fixture.body)).toBe(true);
    expect(rangesOf(fixture)).toEqual([undefined, expect.stringMatching(/^bytes=\d/), undefined]);
  });
});

describe('a body', () => {
  test.each(['chunked', 'close'] as const)(
    'C07 that does not end (%s) is broken off after the first byte too much',
    async (length) => {
      const fixture = await blobFixture({
        rules: [{ fault: { extra: 24 * 1024 * 1024, length } }],
      });
      expect((await failureOf(read(fixture.content))).code).toBe('SIZE_MISMATCH');
      expect(fixture.server.log).toHaveLength(1);
      // What the connection holds on its way was sent, but not read.
      expect(sentBy(fixture)).toBeLessThan(12 * 1024 * 1024);
    },
  );

  test.each(['chunked', 'close'] as const)(
    'C08 that ends early and clean (%s) goes on where it stopped',
    async (length) => {
      const fixture = await blobFixture({
        rules: [{ match: { nth: 1 }, fault: { short: 1_000, length } }],
      });
      expect((await read(fixture.content)).equals(fixture.body)).toBe(true);
      expect(rangesOf(fixture)).toEqual([undefined, 'bytes=299000-299999']);
      expect(sentBy(fixture)).toBe(size);
    },
  );

  test.each(['chunked', 'close'] as const)(
    'C08 that always ends early and clean (%s) is an error',
    async (length) => {
      const fixture = await blobFixture({ rules: [{ fault: { short: 1_000, length } }] });
      expect((await failureOf(read(fixture.content))).code).toBe('NETWORK');
    },
  );

  test.each([size - 10, size + 10])(
    'C09 that is announced with %i bytes is refused unread',
    async (length) => {
      const fixture = await blobFixture({ rules: [{ fault: { length } }] });
      let chunks = 0;
      const reading = async () => {
        for await (const _ of fixture.content.open()) chunks += 1;
      };
      expect((await failureOf(reading())).code).toBe('SIZE_MISMATCH');
      expect(chunks).toBe(0);
      expect(fixture.server.log).toHaveLength(1);
    },
  );

  test('C09 that is refused unread gives its connection back', async () => {
    const fixture = await blobFixture({
      rules: [{ fault: { length: size - 1 }, times: 5 }],
      client: { connections: 1 },
    });
    for (let attempt = 1; attempt <= 5; attempt++) {
      expect((await failureOf(read(fixture.content))).code).toBe('SIZE_MISMATCH');
    }
    expect((await read(fixture.content)).equals(fixture.body)).toBe(true);
  });

  test('C09 with two lengths is not HTTP', async () => {
    const fixture = await blobFixture({
      rules: [
        {
          fault: {
            raw: `HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
          },
        },
      ],
    });
    expect((await failureOf(read(fixture.content))).code).toBe('UPSTREAM');
    expect(fixture.server.log).toHaveLength(1);
  });

  test('C10 that is labelled as packed but is not is taken as it is', async () => {
    const fixture = await blobFixture({ rules: [{ fault: { encoding: 'mislabel' } }] });
    expect((await read(fixture.content)).equals(fixture.body)).toBe(true);
    expect(fixture.server.log).toHaveLength(1);
  });

  test('C10 that was packed for the way is unpacked', async () => {
    const fixture = await blobFixture({ rules: [{ fault: { encoding: 'gzip' } }] });
    expect((await read(fixture.content)).equals(fixture.body)).toBe(true);
    expect(fixture.server.log).toHaveLength(1);
  });

  test('C10 that was packed and breaks off is begun anew', async () => {
    const fixture = await blobFixture({
      rules: [
        { match: { nth: 1 }, fault: { encoding: 'gzip', cut: { at: 100_000, how: 'fin' } } },
        { fault: { encoding: 'gzip' } },
      ],
    });
    expect((await read(fixture.content)).equals(fixture.body)).toBe(true);
  });

  test('C10 that was packed much too large is broken off', async () => {
    const fixture = await blobFixture({
      rules: [{ fault: { encoding: 'gzip', extra: 24 * 1024 * 1024 } }],
    });
    expect((await failureOf(read(fixture.content))).code).toBe('SIZE_MISMATCH');
    expect(fixture.server.log).toHaveLength(1);
  });

  test('C10 that is labelled as packed and is of another size, but no gzip, is refused', async () => {
    const fixture = await blobFixture({ rules: [{ fault: { encoding: 'mislabel', short: 1 } }] });
    expect((await failureOf(read(fixture.content))).code).toBe('UPSTREAM');
    expect(fixture.server.log).toHaveLength(1);
  });

  test('C11 that is said to be packed a hundred times is never unpacked', async () => {
    const fixture = await blobFixture({ rules: [{ fault: { encoding: 'chain' }, times: 1 }] });
    expect((await read(fixture.content)).equals(fixture.body)).toBe(true);
    const other = await blobFixture({ rules: [{ fault: { encoding: 'chain', short: 1 } }] });
    expect((await failureOf(read(other.content))).code).toBe('SIZE_MISMATCH');
    expect(other.server.log).toHaveLength(1);
  });

  test('C16 that is a web page is not from a registry', async () => {
    const page = { body: `<html>${'x'.repeat(500_000)}`, headers: { 'content-type': 'text/html' } };
    const fixture = await blobFixture({ rules: [{ fault: page }], client: { connections: 1 } });
    for (let attempt = 1; attempt <= 3; attempt++) {
      expect((await failureOf(read(fixture.content))).code).toBe('UPSTREAM');
    }
    expect(fixture.server.log).toHaveLength(3);
  });

  test('C18 P2 with a flipped bit is found out', async () => {
    const fixture = await blobFixture({ rules: [{ fault: { corrupt: 1234 } }] });
    const checked = verified(fixture.content, fixture.digest, 'blob');
    expect((await failureOf(read(checked))).code).toBe('DIGEST_MISMATCH');
  });

  test('that is absent is NOT_FOUND once it is opened', async () => {
    const fixture = await blobFixture({ rules: [{ fault: { status: 404 } }] });
    expect((await failureOf(read(fixture.content))).code).toBe('NOT_FOUND');
    expect(fixture.server.log).toHaveLength(1);
  });
});
