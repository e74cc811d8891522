import type { IncomingMessage, ServerResponse as NodeResponse } from 'node:http';
import type { Socket } from 'node:net';
import { isSeekable, type Range, rangeOf, type SeekableContent } from '@cluster-image/oci';
import { failed, type Handler, type ServerResponse } from './answers.ts';

export interface Exchanged {
  readonly status: number;
  /** Of the body that was sent. */
  readonly bytes: number;
}

/** What a client may still send of what nobody wants, so that it comes to read the answer, in bytes. */
const leftoverLimit = 1024 * 1024;

/**
 * Hands a request to a handler and its answer to the client.
 *
 * @param idle how long the client may neither send nor take anything of a body, in milliseconds
 * @param isAsking whether it sends a body only once that is asked for (`Expect: 100-continue`)
 */
export async function serveRequest(
  handler: Handler,
  request: IncomingMessage,
  response: NodeResponse,
  { idle, isAsking }: { readonly idle: number; readonly isAsking: boolean },
): Promise<Exchanged> {
  const { method = '', url: target = '' } = request;
  const headers: Record<string, string | undefined> = {};
  for (const [name, value] of Object.entries(request.headers)) headers[name] = String(value);
  let isAwaited = isAsking;
  async function* body(): AsyncIterable<Uint8Array> {
    if (isAwaited) response.writeContinue();
    isAwaited = false;
    yield* received(request, idle);
  }
  const answer = await handler({ method, target, headers, body: body() }).catch(failed);
  // Who was not asked for a body sends none, or does: what comes next cannot be told.
  const end = isAwaited && { connection: 'close' };
  if (!isAwaited) void discard(request, idle);
  // Bytes that are missing are a failure, not a client that waits for them.
  response.strictContentLength = true;
  response.writeHead(answer.status, { ...answer.headers, ...end });
  return { status: answer.status, bytes: await send(answer, response, request.socket, idle) };
}

/** What a client sends. It is cut off when it sends nothing for too long. */
async function* received(request: IncomingMessage, idle: number): AsyncIterable<Uint8Array> {
  const chunks: AsyncIterator<Uint8Array> = request.iterator({ destroyOnReturn: false });
  try {
    for (;;) {
      const next = await stirring(request.socket, idle, chunks.next());
      if (next.done) return;
      yield next.value;
    }
  } finally {
    await chunks.return?.();
  }
}

/** Takes in what was not read of a request, because it would hold the connection up; cuts off what is long. */
async function discard(request: IncomingMessage, idle: number): Promise<void> {
  if (request.complete) {
    request.resume();
    return;
  }
  let left = leftoverLimit;
  try {
    for await (const chunk of received(request, idle)) {
      left -= chunk.length;
      if (left < 0) request.destroy();
    }
  } catch {
    // It was cut off, by whichever side.
  }
}

/** Sends a body as fast as the client takes it. One that fails is cut off, never ended as if it were whole. */
async function send(
  { body }: ServerResponse,
  response: NodeResponse,
  socket: Socket,
  idle: number,
): Promise<number> {
  let bytes = 0;
  const sent = (count: number): void => {
    bytes += count;
  };
  const wait: Wait = (moving) => stirring(socket, idle, moving);
  try {
    if (body && isSeekable(body.content)) {
      const range = rangeOf(body.content.size, body.range);
      await sendPieces(body.content, range, response, wait, sent);
    } else if (body) await sendChunks(body, response, wait, sent);
    // Until the last byte is taken.
    socket.setTimeout(idle);
    response.end();
  } catch {
    response.destroy();
  }
  return bytes;
}

type Body = NonNullable<ServerResponse['body']>;
type Wait = (moving: Promise<void>) => Promise<void>;
type Sent = (bytes: number) => void;

async function sendChunks(
  { content, range }: Body,
  response: NodeResponse,
  wait: Wait,
  sent: Sent,
): Promise<void> {
  for await (const chunk of content.open(range)) {
    sent(chunk.length);
    if (!response.write(chunk) && !response.destroyed) await wait(drained(response));
    if (response.destroyed) return;
  }
}

/** How much is read and written at a time, in bytes; two such pieces are in use. */
const pieceSize = 256 * 1024;

/** Sends a content by two pieces of memory, one of which is filled while the other is on its way. */
async function sendPieces(
  content: SeekableContent,
  { start, end }: Range,
  response: NodeResponse,
  wait: Wait,
  sent: Sent,
): Promise<void> {
  const reader = await content.seek();
  const size = Math.min(pieceSize, end - start);
  let [filled, writing] = [Buffer.allocUnsafeSlow(size), Buffer.allocUnsafeSlow(size)];
  let written = Promise.resolve();
  try {
    for (let at = start; at < end && !response.destroyed; at += filled.length) {
      [filled, writing] = [writing, filled];
      const piece = filled.subarray(0, end - at);
      await reader.read(piece, at);
      await wait(written);
      sent(piece.length);
      written = writtenTo(response, piece);
    }
    await wait(written);
  } finally {
    await reader.close();
  }
}

/** Returns once the memory is free again, or nobody wants it any more. */
function writtenTo(response: NodeResponse, piece: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    response.once('close', resolve);
    response.write(piece, () => {
      response.off('close', resolve);
      resolve();
    });
  });
}

/** Waits for a client, whose connection is closed when nothing moves on it for too long. */
async function stirring<T>(socket: Socket, idle: number, wait: Promise<T>): Promise<T> {
  socket.setTimeout(idle);
  try {
    return await wait;
  } finally {
    socket.setTimeout(0);
  }
}

async function drained(response: NodeResponse): Promise<void> {
  await new Promise<void>((resolve) => {
    const done = (): void => {
      response.off('drain', done);
      response.off('close', done);
      resolve();
    };
    response.on('drain', done);
    response.on('close', done);
  });
}
