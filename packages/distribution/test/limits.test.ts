import { once } from 'node:events';
import { type Handler, handler, type Listening } from '@cluster-image/distribution';
import { digestOf, memory, type Registry, type Spool } from '@cluster-image/oci';
import { noise } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { dial, ended, next, raw, rest, serving } from './server.ts';

const start = '/v2/team/app/blobs/uploads/';

interface Written {
  readonly listening: Listening;
  readonly registry: Registry & Spool;
}

async function writable(limits = {}): Promise<Written> {
  const registry = memory();
  const listening = await serving(handler(registry, { pushes: registry }), { limits });
  return { listening, registry };
}

/** Begins an upload and returns where it goes on. */
async function begun(listening: Listening): Promise<string> {
  const answer = await raw(listening, head('POST', start, 'Content-Length: 0'));
  return /^location: (\S+)/im.exec(answer)?.[1] ?? '';
}

/** A request up to its body, of a client that asks nothing more. */
function head(method: string, target: string, ...headers: readonly string[]): string {
  return headOfOne(method, target, ...headers, 'Connection: close');
}

/** A request up to its body, of a client that asks more. */
function headOfOne(method: string, target: string, ...headers: readonly string[]): string {
  return [`${method} ${target} HTTP/1.1`, 'Host: registry', ...headers, '', ''].join('\r\n');
}

describe('S11 a client', () => {
  test('that never ends its headers is let go', async () => {
    const { listening } = await writable({ headers: 50 });
    const silent = dial(listening);
    const slow = dial(listening);
    slow.write('GET /v2/ HTTP/1.1\r\nHost: x\r\n');
    const drip = setInterval(() => slow.write('X-A: b\r\n'), 10);
    const answers = await Promise.all([rest(silent), rest(slow)]);
    clearInterval(drip);
    expect(answers.every((answer) => /^(HTTP\/1.1 408 .*)?/.test(answer))).toBe(true);
    expect(answers[1]).toMatch(/^HTTP\/1.1 408 /);
    expect(await raw(listening, head('GET', '/v2/'))).toMatch(/^HTTP\/1.1 200 /);
  });

  test('that stops in the middle of a chunk is let go, and what came counts', async () => {
    const { listening } = await writable({ idle: 50 });
    const at = await begun(listening);
    const socket = dial(listening);
    socket.write(head('PATCH', at, 'Content-Length: 1000') + 'x'.repeat(400));
    await ended(socket);
    const state = await raw(listening, head('GET', at));
    expect(state).toMatch(/^HTTP\/1.1 204 /);
    expect(state).toMatch(/^range: 0-399\r$/im);
  });

  test('that sends slowly, but does, may take its time', async () => {
    const { listening, registry } = await writable({ idle: 1_000 });
    const at = await begun(listening);
    const digest = digestOf(Buffer.from('x'.repeat(8)));
    const socket = dial(listening);
    socket.write(head('PUT', `${at}?digest=${digest}`, 'Content-Length: 8'));
    const answer = rest(socket);
    for (let left = 8; left > 0; left--) {
      await new Promise((resolve) => setTimeout(resolve, 200));
      socket.write('x');
    }
    expect(await answer).toMatch(/^HTTP\/1.1 201 /);
    expect((await registry.blob('team/app', digest))?.size).toBe(8);
  });

  test('that takes nothing of what it asked for is let go', async () => {
    const left = Promise.withResolvers<void>();
    const endless: Handler = async () => ({
      status: 200,
      headers: { 'content-length': '1000000000000' },
      body: {
        content: {
          size: 1e12,
          async *open() {
            try {
              for (;;) yield noise('endless', 100_000);
            } finally {
              left.resolve();
            }
          },
        },
      },
    });
    const listening = await serving(endless, { limits: { idle: 50 } });
    const socket = dial(listening);
    socket.write(head('GET', '/v2/'));
    await once(socket, 'data');
    socket.pause();
    await left.promise;
  });

  test('waits as long as its answer takes to make', async () => {
    const slow: Handler = async () => {
      await new Promise((resolve) => setTimeout(resolve, 300));
      return { status: 200, headers: { 'content-length': '0' } };
    };
    const listening = await serving(slow, { limits: { idle: 50 } });
    expect(await raw(listening, head('GET', '/v2/'))).toMatch(/^HTTP\/1.1 200 /);
  });
});

describe('S11 connections', () => {
  test('are bounded, and whoever comes when they are free again is served', async () => {
    const { listening } = await writable({ connections: 20 });
    const sockets = Array.from({ length: 200 }, () => dial(listening).resume());
    await expect.poll(() => sockets.filter(({ closed }) => closed).length).toBe(180);
    for (const socket of sockets) socket.destroy();
    await expect.poll(() => raw(listening, head('GET', '/v2/'))).toMatch(/^HTTP\/1.1 200 /);
  });
});

describe('S11 a request that two could read in two ways', () => {
  const smuggled = 'GET /v2/_catalog HTTP/1.1\r\nHost: x\r\n\r\n';

  test.each([
    ['a length and chunks', 'Content-Length: 4\r\nTransfer-Encoding: chunked', '0\r\n\r\n'],
    ['chunks and a length', 'Transfer-Encoding: chunked\r\nContent-Length: 4', '0\r\n\r\n'],
    ['two lengths', 'Content-Length: 0\r\nContent-Length: 40', ''],
    ['a list of lengths', 'Content-Length: 0, 40', ''],
    ['a signed length', 'Content-Length: +0', ''],
    ['a hexadecimal length', 'Content-Length: 0x28', ''],
    ['a negative length', 'Content-Length: -1', ''],
    ['a length no computer has', `Content-Length: ${'9'.repeat(30)}`, ''],
    ['chunks that are none', 'Transfer-Encoding: xchunked', '0\r\n\r\n'],
    ['chunks within chunks', 'Transfer-Encoding: chunked, identity', '0\r\n\r\n'],
    ['a space before the colon', 'Transfer-Encoding : chunked', '0\r\n\r\n'],
    ['a folded header', 'X: y\r\n Transfer-Encoding: chunked', '0\r\n\r\n'],
    ['a bare line feed', 'X: y\nTransfer-Encoding: chunked', '0\r\n\r\n'],
    ['a chunk of no size', 'Transfer-Encoding: chunked', 'zz\r\n\r\n'],
    ['a chunk longer than it says', 'Transfer-Encoding: chunked', '1\r\nab\r\n0\r\n\r\n'],
    ['a size no computer has', 'Transfer-Encoding: chunked', `${'f'.repeat(20)}\r\n`],
    ['no host', 'Connection: close', ''],
  ])('because it has %s is refused, and nothing after it is read', async (what, headers, body) => {
    const { listening } = await writable();
    const host = what === 'no host' ? '' : 'Host: x\r\n';
    const request = `POST ${start} HTTP/1.1\r\n${host}${headers}\r\n\r\n${body}${smuggled}`;
    const answer = await raw(listening, request);
    expect(answer).not.toContain('repositories');
    // Where a body is not wanted its faults are only seen once the request was answered.
    const statuses = answer.match(/(?<=HTTP\/1.1 )\d+/g);
    expect(statuses?.filter((status) => status !== '202')).toEqual(['400']);
  });

  test('is none when it comes after another: each is answered, in order', async () => {
    const { listening } = await writable();
    const first = headOfOne('GET', '/v2/');
    const answer = await raw(listening, first + first + head('GET', '/v2/_catalog'));
    expect(answer.match(/HTTP\/1.1 200/g)).toHaveLength(3);
    expect(answer).toMatch(/"repositories":\[\]}$/);
  });
});

describe('a client that asks before it sends', () => {
  const expecting = ['Expect: 100-continue', 'Content-Length: 1000'];

  test('is told to where its body is wanted', async () => {
    const { listening } = await writable();
    const at = await begun(listening);
    const socket = dial(listening);
    socket.write(head('PATCH', at, ...expecting));
    expect(await next(socket)).toBe('HTTP/1.1 100 Continue\r\n\r\n');
    socket.write('x'.repeat(1000));
    expect(await rest(socket)).toMatch(/^HTTP\/1.1 202 [\s\S]*range: 0-999\r\n/i);
  });

  test.each([
    ['PATCH', `${start}none`, 404],
    ['PUT', '/v2/team/app/manifests/latest', 413],
    ['PUT', '/v2/Team/manifests/latest', 400],
    ['DELETE', '/v2/team/app/manifests/latest', 405],
  ])('is answered at once where it is not: %s %s', async (method, target, status) => {
    const { listening } = await writable();
    const large = ['Expect: 100-continue', 'Content-Length: 5000000', 'Connection: keep-alive'];
    const answer = await raw(listening, head(method, target, ...large));
    expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    expect(answer).toMatch(/^connection: close\r$/im);
  });

  test('for anything else is refused', async () => {
    const { listening } = await writable();
    const answer = await raw(listening, head('PUT', start, 'Expect: 200-ok', 'Content-Length: 0'));
    expect(answer).toMatch(/^HTTP\/1.1 417 /);
  });
});

describe('S05 what nobody wants of a request', () => {
  test('is not read to its end', async () => {
    const { listening } = await writable();
    const socket = dial(listening);
    let sent = 0;
    const target = '/v2/team/app/manifests/latest';
    socket.write(headOfOne('PUT', target, 'Content-Length: 1000000000'));
    const answer = next(socket);
    const chunk = Buffer.alloc(100_000);
    const flooding = setInterval(() => {
      while (!socket.closed && socket.write(chunk)) sent += chunk.length;
    }, 1);
    expect(await answer).toMatch(/^HTTP\/1.1 413 /);
    await ended(socket);
    clearInterval(flooding);
    expect(sent).toBeLessThan(50_000_000);
  });

  test('does not stand in the way of the next where it is little', async () => {
    const { listening } = await writable();
    const first = headOfOne('PATCH', `${start}none`, 'Content-Length: 100000');
    const answer = await raw(listening, first + 'x'.repeat(100_000) + head('GET', '/v2/'));
    expect(answer.match(/HTTP\/1.1 \d+/g)).toEqual(['HTTP/1.1 404', 'HTTP/1.1 200']);
  });
});

describe('HTTP/1.0', () => {
  test('is answered, without a host, and the connection ends', async () => {
    const { listening } = await writable();
    const answer = await raw(listening, 'GET /v2/ HTTP/1.0\r\n\r\n');
    expect(answer).toMatch(/^HTTP\/1.1 200 /);
    expect(answer).toMatch(/^connection: close\r$/im);
    expect(answer).toMatch(/\r\n\r\n\{\}$/);
  });

  test('can push', async () => {
    const { listening, registry } = await writable();
    const digest = digestOf(Buffer.from('hello'));
    const request = `POST ${start}?digest=${digest} HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello`;
    expect(await raw(listening, request)).toMatch(/^HTTP\/1.1 201 /);
    expect((await registry.blob('team/app', digest))?.size).toBe(5);
  });
});
