import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { digestOf } from '@cluster-image/oci';
import { distributionLayout } from '@cluster-image/storage';
import { noise } from '@cluster-image/testing';
import { describe, expect, test, vi } from 'vitest';
import { type RegistryServer, registryServer } from './registry-server.ts';

const start = 'conformance/faults/blobs/uploads/';
const body = noise('faults', 500_000);
const digest = digestOf(body);
const blob = `conformance/faults/blobs/${digest}`;

async function begin({ ask }: RegistryServer): Promise<string> {
  return (await ask('POST', start)).headers.get('location') ?? '';
}

/** Sends the head of a request and part of its body, and cuts the connection once that has arrived. */
async function cutOff(
  server: RegistryServer,
  method: string,
  target: string,
  sent: number,
): Promise<void> {
  const { listening } = server;
  const socket = connect(Number(listening.url.port), listening.url.hostname);
  await once(socket, 'connect');
  const length = `Content-Length: ${body.length}`;
  socket.write(`${method} ${target} HTTP/1.1\r\nHost: localhost\r\n${length}\r\n\r\n`);
  await new Promise((resolve) => socket.write(body.subarray(0, sent), resolve));
  // Whoever goes on has to find the bytes that were sent, so that they may not be lost with the connection.
  socket.end();
  socket.destroySoon();
  await once(socket, 'close');
}

/** The size of an upload that one may go on with, once whoever was at it has left. */
async function settled({ ask }: RegistryServer, location: string, size: number): Promise<void> {
  const range = async (): Promise<unknown> => (await ask('GET', location)).headers.get('range');
  await expect.poll(range).toBe(`0-${size - 1}`);
}

async function expectBlob({ ask }: RegistryServer): Promise<void> {
  const answer = await ask('GET', blob);
  expect([answer.status, answer.body.equals(body)]).toEqual([200, true]);
}

describe('S07 a client that dies', () => {
  test.each(['PATCH', 'PUT'])('in the middle of a %s goes on where it was', async (method) => {
    const server = await registryServer();
    const location = await begin(server);
    const target = method === 'PUT' ? `${location}?digest=${digest}` : location;
    await cutOff(server, method, target, 123_456);
    await settled(server, location, 123_456);
    const replayed = { body: body.subarray(0, 123_456), headers: { 'content-range': '0-123455' } };
    expect((await server.ask('PATCH', location, replayed)).status).toBe(416);
    const rest = { body: body.subarray(123_456), headers: { 'content-range': '123456-499999' } };
    const ended = await server.ask('PUT', `${location}?digest=${digest}`, rest);
    expect(ended.status).toBe(201);
    await expectBlob(server);
  });

  test('in the middle of its one request leaves nothing', async () => {
    const server = await registryServer();
    await cutOff(server, 'POST', `/v2/${start}?digest=${digest}`, 123_456);
    await vi.waitFor(() => server.expectNoTrace(digest), 30_000);
    const all = { body };
    expect((await server.ask('POST', `${start}?digest=${digest}`, all)).status).toBe(201);
    await expectBlob(server);
  });

  test('again and again gets there', async () => {
    const server = await registryServer();
    const location = await begin(server);
    for (let at = 0; at < body.length; at += 100_000) {
      const { listening } = server;
      const socket = connect(Number(listening.url.port), listening.url.hostname);
      await once(socket, 'connect');
      socket.write(
        `PATCH ${location} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n186a0\r\n`,
      );
      await new Promise<void>((resolve) => socket.end(body.subarray(at, at + 100_000), resolve));
      await settled(server, location, at + 100_000);
      socket.destroy();
    }
    expect((await server.ask('PUT', `${location}?digest=${digest}`)).status).toBe(201);
    await expectBlob(server);
  });
});

describe('S07 many', () => {
  test('uploads of one blob at once, right and wrong, come out right', async () => {
    const server = await registryServer();
    const wrong = noise('wrong', 500_000);
    const answers = await Promise.all(
      Array.from({ length: 16 }, async (_, at) => {
        const location = await begin(server);
        const sent = at % 4 === 3 ? wrong : body;
        return server.ask('PUT', `${location}?digest=${digest}`, { body: sent });
      }),
    );
    const expected = Array.from({ length: 16 }, (_, at) => (at % 4 === 3 ? 400 : 201));
    expect(answers.map(({ status }) => status)).toEqual(expected);
    await expectBlob(server);
    expect(await server.layout.content(digestOf(wrong))).toBeUndefined();
  });

  test('writers of one upload are one writer', async () => {
    const server = await registryServer();
    const location = await begin(server);
    const answers = await Promise.all(
      Array.from({ length: 8 }, () =>
        server.ask('PATCH', location, { body, headers: { 'content-range': '0-499999' } }),
      ),
    );
    const statuses = answers.map(({ status }) => status).sort();
    expect(statuses).toEqual([202, ...Array.from({ length: 7 }, () => 416)]);
    expect((await server.ask('PUT', `${location}?digest=${digest}`)).status).toBe(201);
    await expectBlob(server);
  });
});

test('S07 what a server that was killed had gathered is swept away by the next', async () => {
  const server = await registryServer();
  const { disk } = server.layout;
  const location = await begin(server);
  await server.ask('PATCH', location, { body });
  const staging = disk.path('.staging');
  const [name = ''] = await readdir(staging);
  // As if it were of a process that is gone, and whose number is in use again.
  const left = join(staging, name.replace(/~(\d+)~\d+~([^~]+)$/, '~$1~1~$2'));
  await disk.fs.rename(join(staging, name), left);
  const next = distributionLayout(disk.root);
  const spooled = await next.begin();
  await spooled.end();
  expect(await readdir(staging)).toEqual([]);
});
