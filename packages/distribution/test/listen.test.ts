import { once } from 'node:events';
import { connect } from 'node:net';
import { type Handler, handler, type Listening, listen } from '@cluster-image/distribution';
import { bytes, type Content, digestOf, memory, OciError } from '@cluster-image/oci';
import { imageFixture, noise, putFixture } from '@cluster-image/testing';
import { describe, expect, onTestFinished, test } from 'vitest';
import { failureOf } from './client.ts';
import { dial, serving as listeningTo, raw } from './server.ts';

const image = imageFixture();

async function served(given?: Handler): Promise<Listening> {
  const registry = memory();
  await putFixture(registry, 'team/app', image, '1.0');
  return listeningTo(given ?? handler(registry));
}

/** A handler whose every answer is this content. */
function serving(content: Content): Handler {
  return async () => ({
    status: 200,
    headers: { 'content-length': String(content.size) },
    body: { content },
  });
}

function get(target: string): string {
  return `GET ${target} HTTP/1.1\r\nHost: registry\r\nConnection: close\r\n\r\n`;
}

describe('S01 a path as it is on the wire', () => {
  test.each([
    ['/v2/../../etc/passwd', 404],
    ['/v2/a/../../etc/passwd', 404],
    ['/v2/../../../../etc/passwd/manifests/latest', 400],
    ['/v2/%2e%2e/%2e%2e/etc/passwd', 404],
    ['/v2/%2e%2e/manifests/latest', 400],
    ['/v2/..%2f..%2fetc/manifests/latest', 400],
    ['/v2/team%5c..%5capp/manifests/1.0', 400],
    ['/v2/team\\app/manifests/1.0', 400],
    ['/v2/team/app%00/manifests/1.0', 400],
    ['//registry/x', 404],
    ['//registry/v2/team/app/manifests/1.0', 404],
    ['http://registry/v2/team/app/manifests/1.0', 404],
    ['/v2/team/./app/manifests/1.0', 400],
    ['/v2/team//app/manifests/1.0', 400],
    [`/v2/${'a/'.repeat(8_000)}manifests/1.0`, 404],
    ['/v2/team/app/manifests/1.0', 200],
  ])('%j is answered with %i', async (target, status) => {
    const answer = await raw(await served(), get(target));
    expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    const body: unknown = JSON.parse(answer.split('\r\n\r\n')[1] ?? '');
    expect(body).toHaveProperty(status === 200 ? 'config' : 'errors');
  });

  test.each([
    ['40 KiB', get(`/v2/${'a/'.repeat(20_000)}manifests/1.0`), 431],
    ['a NUL', get('/v2/team/app\0/manifests/1.0'), 400],
    ['no HTTP', 'hello\r\n\r\n', 400],
    [
      'two lengths',
      'GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      400,
    ],
  ])('S11 with %s is not HTTP', async (_, request, status) => {
    const answer = await raw(await served(), request);
    expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    expect(answer.match(/^HTTP/gm)).toHaveLength(1);
  });

  test('S11 with a header of 31 KiB is answered', async () => {
    const request = get('/v2/').replace(
      'Host',
      `Authorization: Bearer ${'x'.repeat(31_000)}\r\nHost`,
    );
    expect(await raw(await served(), request)).toMatch(/^HTTP\/1.1 200 /);
  });
});

describe('S09 a body', () => {
  const whole = noise('body', 200_000);

  test('that fails on its way is cut off, never ended', async () => {
    const failing: Content = {
      size: whole.length,
      async *open() {
        yield whole.subarray(0, 100_000);
        throw new OciError('NETWORK', 'upstream is gone');
      },
    };
    const answer = await raw(await served(serving(failing)), get('/'));
    expect(answer).toMatch(/^HTTP\/1.1 200 /);
    expect(answer.length).toBeLessThan(whole.length);
  });

  test('that is shorter than was said is cut off, never left open', async () => {
    const short = { size: whole.length, open: () => bytes(whole.subarray(1)).open() };
    const listening = await served(serving(short));
    const answer = await raw(listening, 'GET / HTTP/1.1\r\nHost: registry\r\n\r\n');
    expect(answer.length).toBeLessThan(whole.length + 200);
  });

  test('that its client leaves is let go', async () => {
    const left = Promise.withResolvers<void>();
    const endless: Content = {
      size: 1e12,
      async *open() {
        try {
          for (;;) yield whole;
        } finally {
          left.resolve();
        }
      },
    };
    const socket = dial(await served(serving(endless)));
    socket.write(get('/'));
    await once(socket, 'data');
    socket.destroy();
    await left.promise;
  });
});

describe('a server', () => {
  test('whose handler fails says so, and nothing of how', async () => {
    const failing: Handler = async () => {
      throw new TypeError('canary in /home/me');
    };
    const answer = await raw(await served(failing), get('/v2/'));
    expect(answer).toMatch(/^HTTP\/1.1 500 /);
    expect(answer).not.toContain('canary');
  });

  test('S13 listens to this machine only', async () => {
    const { url } = await served();
    expect(url.hostname).toBe('127.0.0.1');
    const socket = connect(Number(url.port), '127.0.0.9');
    const [error] = await once(socket, 'error');
    expect(error).toMatchObject({ code: 'ECONNREFUSED' });
  });

  test('S15 on a port that is taken is NETWORK', async () => {
    const { url } = await served();
    const second = listen(handler(memory()), { port: Number(url.port) });
    expect((await failureOf(second)).code).toBe('NETWORK');
  });

  test('S15 that is closed answers what was asked, and nothing after', async () => {
    const [asked, answered] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const listening = await served(async () => {
      asked.resolve();
      await answered.promise;
      return { status: 200, headers: { 'content-length': '2' }, body: { content: bytes('ok') } };
    });
    const first = raw(listening, get('/v2/'));
    await asked.promise;
    const closing = listening.close();
    answered.resolve();
    expect(await first).toMatch(/ok$/);
    await closing;
    await listening.close();
    expect(await raw(listening, get('/v2/'))).toBe('');
  });

  test('S15 that is closed cuts off who takes too long', async () => {
    const asked = Promise.withResolvers<void>();
    const listening = await served(() => {
      asked.resolve();
      return new Promise(() => {});
    });
    const first = raw(listening, get('/v2/'));
    await asked.promise;
    await listening.close(20);
    expect(await first).toBe('');
  });

  test('tells of every request', async () => {
    const registry = memory();
    await putFixture(registry, 'team/app', image, '1.0');
    const lines: unknown[] = [];
    const listening = await listen(handler(registry), { log: (line) => lines.push(line) });
    onTestFinished(() => listening.close(0));
    const digest = digestOf(noise('image layer 0', 1000));
    const target = `/v2/team/app/blobs/${digest}`;
    await raw(listening, get(target).replace('Host', 'Range: bytes=10-19\r\nHost'));
    await raw(listening, get(target).replace('GET', 'HEAD'));
    expect(lines).toEqual([
      { method: 'GET', target, status: 206, bytes: 10 },
      { method: 'HEAD', target, status: 200, bytes: 0 },
    ]);
  });
});
