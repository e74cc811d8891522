import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { isIPv6 } from 'node:net';
import type { Duplex } from 'node:stream';
import { OciError } from '@cluster-image/oci';
import { type Handler, refusal } from './answers.ts';
import { isMeant } from './host-names.ts';
import type { Connector } from './intercept.ts';
import { serveRequest } from './serve-request.ts';

export interface ListenOptions {
  /** 0, the default, takes any that is free. */
  readonly port?: number;
  /** The address to listen at: 127.0.0.1, which is this machine only, unless another is given. */
  readonly host?: string;
  /** Serves HTTPS, with the certificate (and those up to its authority) and its key as PEM. */
  readonly tls?: { readonly cert: string; readonly key: string };
  /**
   * Refuses requests that are not for this machine by its own names (`localhost`, 127.0.0.0/8, `::1`)
   * or by one of these. Without it any name will do.
   */
  readonly names?: readonly string[];
  readonly limits?: Partial<ListenLimits>;
  /** Answers `CONNECT`; without it such connections are closed. */
  readonly connector?: Connector;
  /** Told of every request once it is answered. */
  readonly log?: (line: { method: string; target: string; status: number; bytes: number }) => void;
}

export interface ListenLimits {
  /** How long a client may take to send its request's headers, in milliseconds. */
  readonly headers: number;
  /** How long a client may neither send nor take anything of a body, in milliseconds. */
  readonly idle: number;
  /** How many connections there may be at a time; more are closed at once. */
  readonly connections: number;
}

export interface Listening {
  readonly url: URL;
  /** Answers what was asked, for at most that many milliseconds, and ends. */
  close(grace?: number): Promise<void>;
}

const defaultLimits: ListenLimits = { headers: 60_000, idle: 60_000, connections: 4096 };

/**
 * Serves a handler over HTTP or HTTPS. Throws NETWORK where it cannot listen, and INPUT_INVALID for a
 * certificate or key that is none.
 */
export async function listen(handler: Handler, options: ListenOptions = {}): Promise<Listening> {
  const { host = '127.0.0.1', names, log, connector } = options;
  const limits = { ...defaultLimits, ...options.limits };
  const guarded: Handler = async (request) => {
    if (!names || isMeant(request.headers.host, names)) return handler(request);
    return refusal(421, 'DENIED', `this registry is not ${request.headers.host}`);
  };
  const answer =
    (isAsking: boolean): RequestListener =>
    (request, response) => {
      const { method = '', url: target = '' } = request;
      serveRequest(guarded, request, response, { idle: limits.idle, isAsking }).then(
        (exchanged) => log?.({ method, target, ...exchanged }),
        () => response.destroy(),
      );
    };
  const server = create(options, limits).on('request', answer(false));
  server.on('checkContinue', answer(true));
  // These are no connections of the server's own any more.
  const handedOver = new Set<Duplex>();
  if (connector) {
    server.on('connect', (request, socket, head) => {
      handedOver.add(socket);
      socket.once('close', () => handedOver.delete(socket));
      connector.connect(request, socket, head);
    });
  }
  server.listen(options.port ?? 0, host);
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
    url: new URL(
      `${options.tls ? 'https' : 'http'}://${isIPv6(host) ? `[${host}]` : host}:${port}`,
    ),
    async close(grace = 10_000) {
      server.close();
      // Clients keep connections that have been answered on.
      const closeIdle = (): void => {
        server.closeIdleConnections();
        connector?.closeIdle();
      };
      closeIdle();
      const sweeping = setInterval(closeIdle, 50);
      const timer = setTimeout(() => {
        server.closeAllConnections();
        for (const socket of handedOver) socket.destroy();
      }, grace);
      await closed;
      clearInterval(sweeping);
      clearTimeout(timer);
    },
  };
}

function create({ tls }: ListenOptions, { headers, connections }: ListenLimits): Server {
  const settings = {
    maxHeaderSize: 32 * 1024,
    headersTimeout: headers,
    handshakeTimeout: headers,
    // How long a whole request may take depends on what is pushed.
    requestTimeout: 0,
    connectionsCheckingInterval: Math.min(headers, 30_000),
  };
  const server = tls ? createTls({ ...settings, ...tls }) : createServer(settings);
  server.maxConnections = connections;
  return server;
}

function createTls(settings: Parameters<typeof createTlsServer>[0]): Server {
  try {
    return createTlsServer(settings);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new OciError('INPUT_INVALID', `cannot serve with this certificate and key: ${why}`, {
      cause,
      hint: 'Both have to be PEM, and the key that of the certificate.',
    });
  }
}
