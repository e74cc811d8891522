import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse as NodeResponse } from 'node:http';
import { OciError } from '@cluster-image/oci';
import { failed, type Handler, type ServerResponse } from './answers.ts';

export interface ListenOptions {
  /** 0, the default, takes any that is free. */
  readonly port?: number;
  /** Told of every request once it is answered. */
  readonly log?: (line: { method: string; target: string; status: number; bytes: number }) => void;
}

export interface Listening {
  readonly url: URL;
  /** Answers what was asked, for at most that many milliseconds, and ends. */
  close(grace?: number): Promise<void>;
}

/** How long a client may take to send its request's headers, in milliseconds. */
const headersTimeout = 60_000;

/** Serves a handler over HTTP on this machine only (127.0.0.1). */
export async function listen(handler: Handler, options: ListenOptions = {}): Promise<Listening> {
  const server = createServer(
    { maxHeaderSize: 32 * 1024, headersTimeout, requestTimeout: 0 },
    (request, response) => {
      serve(handler, request, response, options).catch(() => response.destroy());
    },
  );
  server.listen(options.port ?? 0, '127.0.0.1');
  try {
    await once(server, 'listening');
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new OciError('NETWORK', `cannot listen on port ${options.port}: ${why}`, {
      cause,
      hint: 'Choose another with --port, or 0 for any.',
    });
  }
  const address = server.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  const closed = new Promise((resolve) => server.once('close', resolve));
  return {
    url: new URL(`http://127.0.0.1:${port}`),
    async close(grace = 10_000) {
      server.close();
      server.closeIdleConnections();
      const timer = setTimeout(() => server.closeAllConnections(), grace);
      await closed;
      clearTimeout(timer);
    },
  };
}

async function serve(
  handler: Handler,
  request: IncomingMessage,
  response: NodeResponse,
  { log }: ListenOptions,
): Promise<void> {
  const { method = '', url: target = '' } = request;
  const headers: Record<string, string | undefined> = {};
  for (const [name, value] of Object.entries(request.headers)) headers[name] = String(value);
  const answer = await handler({
    method,
    target,
    headers,
    body: request.iterator({ destroyOnReturn: false }),
  }).catch(failed);
  // Whatever was not read of the request would hold the connection up.
  request.resume();
  // Bytes that are missing are a failure, not a client that waits for them.
  response.strictContentLength = true;
  response.writeHead(answer.status, answer.headers);
  const bytes = await send(answer, response);
  log?.({ method, target, status: answer.status, bytes });
}

/** Sends a body as fast as the client takes it. One that fails is cut off, never ended as if it were whole. */
async function send({ body }: ServerResponse, response: NodeResponse): Promise<number> {
  let bytes = 0;
  try {
    if (body) {
      for await (const chunk of body.content.open(body.range)) {
        bytes += chunk.length;
        if (!response.write(chunk) && !response.destroyed) await drained(response);
        if (response.destroyed) return bytes;
      }
    }
    response.end();
  } catch {
    response.destroy();
  }
  return bytes;
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
