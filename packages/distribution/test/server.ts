import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import {
  type Handler,
  handler,
  type Listening,
  type ListenOptions,
  listen,
} from '@cluster-image/distribution';
import { memory } from '@cluster-image/oci';
import { onTestFinished } from 'vitest';

/** A server that is closed when the test is over; over an empty registry that takes everything by default. */
export async function serving(given?: Handler, options: ListenOptions = {}): Promise<Listening> {
  const registry = memory();
  const all = { pushes: registry, deletes: registry, referring: registry };
  const listening = await listen(given ?? handler(registry, all), options);
  onTestFinished(() => listening.close(0));
  return listening;
}

/** A connection that is gone when the test is over. */
export function dial({ url }: Listening): Socket {
  const socket = connect(Number(url.port), url.hostname);
  socket.on('error', () => {});
  onTestFinished(() => void socket.destroy());
  return socket;
}

/** Everything that comes back for bytes sent as they are, up to the end of the connection. */
export async function raw(listening: Listening, request: string): Promise<string> {
  const socket = dial(listening);
  socket.write(request, 'latin1');
  return rest(socket);
}

/** Everything that comes on a connection, up to its end. */
export async function rest(socket: Socket): Promise<string> {
  const chunks: Uint8Array[] = [];
  socket.on('data', (chunk: Uint8Array) => chunks.push(chunk));
  await ended(socket);
  return Buffer.concat(chunks).toString('latin1');
}

/** Returns once a connection is closed, whatever it is closed for. */
export async function ended(socket: Socket): Promise<void> {
  socket.resume();
  if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve));
}

/** What comes next on a connection. */
export async function next(socket: Socket): Promise<string> {
  const [chunk] = await once(socket, 'data');
  return String(chunk);
}
