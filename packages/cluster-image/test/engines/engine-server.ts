import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { temporaryDirectory } from '@cluster-image/testing';
import { onTestFinished } from 'vitest';

/** What a docker daemon is to us, over a Unix socket of its own. */
export interface EngineServer {
  /** For DOCKER_HOST. */
  readonly address: string;
  /** What it has, by the names it is asked by. */
  readonly images: Map<string, Uint8Array>;
  /** Requests so far: method and URL. */
  readonly log: string[];
  /** Archives that it was given. */
  readonly loaded: Buffer[];
}

export type Answer = (request: IncomingMessage, response: ServerResponse) => unknown;

/** @param answer what is answered to every request, in place of what a daemon would */
export async function engineServer(answer?: Answer): Promise<EngineServer> {
  const path = join(await temporaryDirectory(), 'docker.sock');
  const images = new Map<string, Uint8Array>();
  const log: string[] = [];
  const loaded: Buffer[] = [];

  const daemon: Answer = async (request, response) => {
    const url = new URL(request.url ?? '', 'http://docker');
    const json = (status: number, body: unknown): unknown =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    if (request.method === 'GET' && url.pathname === '/images/get') {
      const image = images.get(url.searchParams.get('names') ?? '');
      if (!image) return json(404, { message: 'reference does not exist' });
      return response.writeHead(200, { 'content-type': 'application/x-tar' }).end(image);
    }
    if (request.method === 'POST' && url.pathname === '/images/load') {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk);
      // Docker takes a body of another type for a form.
      if (request.headers['content-type'] === 'application/x-tar') {
        loaded.push(Buffer.concat(chunks));
      }
      return json(200, { stream: 'Loaded image: app:1\n' });
    }
    return json(404, { message: 'page not found' });
  };

  const server = createServer((request, response) => {
    log.push(`${request.method} ${request.url}`);
    void (answer ?? daemon)(request, response);
  });
  server.listen(path);
  await once(server, 'listening');
  onTestFinished(async () => {
    server.closeAllConnections();
    server.close();
  });
  return { address: `unix://${path}`, images, log, loaded };
}
