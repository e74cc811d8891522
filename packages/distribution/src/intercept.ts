import type { IncomingMessage } from 'node:http';
import { createServer } from 'node:https';
import { connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { createSecureContext, type SecureContext } from 'node:tls';
import type { Handler } from './answers.ts';
import { publicLookup } from './dialer.ts';
import { serveRequest } from './serve-request.ts';

export interface InterceptOptions {
  /** What answers for a host, in its stead; undefined for one that is none of ours. */
  handlerFor(host: string): Handler | undefined;
  /** What proves to be that host, in PEM. */
  certificateFor(host: string): { readonly cert: string; readonly key: string };
  /** Whether all other hosts are reached as they are, or refused. */
  readonly tunnels: boolean;
  /** Whether who sends this `Proxy-Authorization` may come in; everybody by default. */
  readonly mayConnect?: (authorization: string | undefined) => Promise<boolean>;
  /** How long a client may be silent in the middle of something, in milliseconds. */
  readonly idle?: number;
  readonly log?: (line: { method: string; target: string; status: number; bytes: number }) => void;
}

/** Answers `CONNECT`. */
export interface Connector {
  /** Takes a connection over, as an HTTP server hands it over. */
  connect(request: IncomingMessage, socket: Duplex, head: Buffer): void;
  /** Ends the connections in which nothing is under way. */
  closeIdle(): void;
}

/**
 * Plays the part of hosts for clients that have this server as their HTTPS proxy and trust its
 * certificates: dockerd mirrors Docker Hub only, but goes through a proxy for every registry.
 * https://www.rfc-editor.org/rfc/rfc9110#section-9.3.6
 */
export function intercept(options: InterceptOptions): Connector {
  const { idle = 60_000 } = options;
  const contexts = new Map<string, SecureContext>();
  const contextOf = (host: string): SecureContext => {
    const context = contexts.get(host) ?? createSecureContext(options.certificateFor(host));
    contexts.set(host, context);
    return context;
  };
  /** Which host a connection is for; what its requests say does not count. */
  const hosts = new WeakMap<object, string>();
  const inner = createServer({
    ALPNProtocols: ['http/1.1'],
    maxHeaderSize: 32 * 1024,
    headersTimeout: idle,
    requestTimeout: 0,
    SNICallback: (name, done) => {
      const isOurs = options.handlerFor(name) !== undefined;
      if (isOurs) done(null, contextOf(name));
      else done(new Error(`${name} is not answered for`));
    },
  });
  inner.on('secureConnection', (socket) => {
    const name = serverName(socket);
    if (name !== undefined) hosts.set(socket, name);
  });
  inner.on('request', (request, response) => {
    const host = hosts.get(request.socket);
    const handler = host === undefined ? undefined : options.handlerFor(host);
    if (!handler) {
      response.writeHead(421).end();
      return;
    }
    const { method = '', url = '' } = request;
    serveRequest(handler, request, response, { idle, isAsking: false }).then(
      (exchanged) => options.log?.({ method, target: `https://${host}${url}`, ...exchanged }),
      () => response.destroy(),
    );
  });

  async function answer(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const [, host = '', port = ''] =
      /^([\w.-]+|\[[0-9a-fA-F:]+\]):(\d{1,5})$/.exec(request.url ?? '') ?? [];
    const authorization = request.headers['proxy-authorization'];
    if (options.mayConnect && !(await options.mayConnect(authorization))) {
      refuse(
        socket,
        '407 Proxy Authentication Required',
        'Proxy-Authenticate: Basic realm="cluster-image"\r\n',
      );
      return;
    }
    if (host === '') refuse(socket, '400 Bad Request');
    else if (options.handlerFor(host) && port === '443') {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      if (head.length > 0) socket.unshift(head);
      inner.emit('connection', socket);
    } else if (options.tunnels && port === '443') tunnel(host, Number(port), socket, head);
    else refuse(socket, '403 Forbidden');
  }

  return {
    connect(request, socket, head) {
      socket.on('error', () => socket.destroy());
      answer(request, socket, head).catch(() => socket.destroy());
    },
    closeIdle: () => inner.closeIdleConnections(),
  };
}

/** The host that a client asked for in the handshake. https://nodejs.org/api/tls.html#tlssocketservername */
function serverName(socket: object): string | undefined {
  const name = 'servername' in socket ? socket.servername : undefined;
  return typeof name === 'string' ? name : undefined;
}

function refuse(socket: Duplex, status: string, headers = ''): void {
  socket.end(`HTTP/1.1 ${status}\r\n${headers}Content-Length: 0\r\nConnection: close\r\n\r\n`);
}

/** Hands everything on as it is, to hosts that anybody can reach. */
function tunnel(host: string, port: number, client: Duplex, head: Buffer): void {
  const upstream: Socket = connect({ host, port, lookup: publicLookup });
  upstream.once('connect', () => {
    client.write('HTTP/1.1 200 Connection established\r\n\r\n');
    upstream.write(head);
    client.pipe(upstream).pipe(client);
  });
  upstream.once('error', () => {
    if (upstream.connecting || upstream.pending) refuse(client, '502 Bad Gateway');
    else client.destroy();
  });
  client.once('close', () => upstream.destroy());
  upstream.once('close', () => client.destroy());
}
