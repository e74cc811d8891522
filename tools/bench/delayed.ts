import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

export interface Delayed {
  /** `127.0.0.1:port` */
  readonly host: string;
  close(): Promise<void>;
}

/** A host as it would be further away: what goes there and what comes back takes so many milliseconds longer. */
export async function delayed(host: string, delay: number): Promise<Delayed> {
  const [name = '', port = ''] = host.split(':');
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(Number(port), name);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      from.on('data', (chunk) => setTimeout(() => to.writable && to.write(chunk), delay));
      from.on('end', () => setTimeout(() => to.end(), delay));
      from.on('error', () => to.destroy());
      from.on('close', () => sockets.delete(from));
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (typeof address !== 'object' || !address) throw new Error('no port');
  return {
    host: `127.0.0.1:${address.port}`,
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
