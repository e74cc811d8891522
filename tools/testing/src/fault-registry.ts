import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { isIP } from 'node:net';
import { gzipSync } from 'node:zlib';
import { memory, type Referring, type Registry } from '@cluster-image/oci';
import { onTestFinished } from 'vitest';
import {
  type Answer,
  type Fault,
  type FaultRule,
  faultsOf,
  type LoggedRequest,
  type RequestKind,
} from './faults.ts';
import { empty, registryAnswers } from './registry-answers.ts';
import { type RegistryAuth, registryGuard } from './registry-auth.ts';

export interface FaultRegistryOptions {
  readonly rules?: readonly FaultRule[];
  readonly auth?: RegistryAuth;
  /** What lies behind it; an empty one in memory by default. */
  readonly registry?: Registry;
  /** What it tells of what is about a manifest; without it, it does not know. */
  readonly referring?: Referring;
  /** How many names a list gives at once; two by default. */
  readonly pageSize?: number;
  /** Speaks HTTPS with this certificate, both in PEM. */
  readonly tls?: { readonly key: string; readonly cert: string };
}

export interface FaultRegistry {
  /** Where it can be put to and looked at without the network. */
  readonly registry: Registry;
  /** `127.0.0.1:port`. */
  readonly host: string;
  /** The same server as another origin: `localhost`, `127.0.0.9` or `[::1]`. */
  hostAt(name: string): string;
  /** Every request in the order in which it came. */
  readonly log: readonly LoggedRequest[];
  /** The requests of the log about something. */
  requests(kind: RequestKind, method?: string): readonly LoggedRequest[];
  /** How many connections were accepted. */
  connections(): number;
  /** Makes every token useless that was given out so far. */
  revoke(): void;
}

/**
 * A registry over HTTP that is closed when the test is over, and that goes wrong where its rules say
 * so. The names of the loopback are origins of their own, so one server plays several parts.
 */
export async function faultRegistry(options: FaultRegistryOptions = {}): Promise<FaultRegistry> {
  const { registry = memory(), rules = [], pageSize = 2, tls, referring } = options;
  const log: LoggedRequest[] = [];
  const answers = registryAnswers({ registry, pageSize, ...(referring && { referring }) });
  const guard = registryGuard(options.auth);
  const faultOf = faultsOf(rules);
  let connections = 0;

  async function rightAnswer(request: LoggedRequest, body: Uint8Array): Promise<Answer> {
    if (request.kind === 'token') return guard.token(request);
    // Storage behind signed URLs knows one way to prove who asks.
    if (request.kind === 'cdn') {
      return request.headers.authorization ? empty(400) : answers(request, body);
    }
    return guard.check(request) ?? answers(request, body);
  }

  async function serve(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const request = logged(incoming);
    log.push(request);
    const fault = faultOf(request);
    const body = await receive(incoming, request, fault);
    if (!body) {
      if (fault.receive?.how === 'rst') incoming.socket.resetAndDestroy();
      return;
    }
    const { range: _, ...unranged } = request.headers;
    const seen = fault.range === 'ignore' ? { ...request, headers: unranged } : request;
    const right = isAnswered(fault) ? empty(200) : await rightAnswer(seen, body);
    if (fault.drop === 'rst') incoming.socket.resetAndDestroy();
    else if (fault.drop === 'fin') incoming.socket.destroy();
    else if (fault.raw !== undefined) incoming.socket.end(fault.raw);
    else if (!fault.drop) await send(await spoilt(right, request, fault), request, response, fault);
  }

  const listener = (incoming: IncomingMessage, response: ServerResponse): void => {
    serve(incoming, response).catch(() => response.destroy());
  };
  const start = async (address: string, port: number): Promise<number> => {
    const server = tls ? createTlsServer(tls, listener) : createServer(listener);
    server.on('connection', () => {
      connections += 1;
    });
    server.listen(port, address);
    await once(server, 'listening');
    onTestFinished(async () => {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    });
    const bound = server.address();
    return typeof bound === 'object' && bound ? bound.port : 0;
  };

  const port = await start('127.0.0.1', 0);
  const others = await Promise.all(
    ['127.0.0.9', '::1'].map(async (address) => {
      const isThere = await start(address, port).catch(() => undefined);
      return isThere && address;
    }),
  );
  return {
    registry,
    host: `127.0.0.1:${port}`,
    hostAt(name) {
      const address = name.replace(/^\[|\]$/g, '');
      if (isIP(address) && ![...others, '127.0.0.1'].includes(address)) {
        throw new Error(`this machine has no ${name} to listen on`);
      }
      return `${name}:${port}`;
    },
    log,
    requests: (kind, method) =>
      log.filter((entry) => entry.kind === kind && (!method || entry.method === method)),
    connections: () => connections,
    revoke: guard.revoke,
  };
}

const routes: readonly (readonly [RequestKind, RegExp])[] = [
  ['ping', /^\/v2\/?$/],
  ['catalog', /^\/v2\/_catalog$/],
  ['token', /^\/token$/],
  ['cdn', /^\/cdn\/(.+)\/blobs\/([^/]+)$/],
  ['referrers', /^\/v2\/(.+)\/referrers\/([^/]+)$/],
  ['tags', /^\/v2\/(.+)\/tags\/list$/],
  ['uploads', /^\/v2\/(.+)\/blobs\/uploads\/$/],
  ['upload', /^\/v2\/(.+)\/blobs\/uploads\/([^/]+)$/],
  ['blob', /^\/v2\/(.+)\/blobs\/([^/]+)$/],
  ['manifest', /^\/v2\/(.+)\/manifests\/([^/]+)$/],
];

function logged({ method = '', url: target = '', headers }: IncomingMessage): LoggedRequest {
  const path = target.replace(/\?.*$/, '');
  const [kind, pattern] = routes.find(([, route]) => route.test(path)) ?? ['elsewhere', /^/];
  const [, repository, reference] = pattern.exec(path) ?? [];
  return {
    host: headers.host ?? '',
    method,
    target,
    kind,
    repository,
    reference,
    headers: { ...headers },
    received: 0,
    body: '',
    sent: 0,
    status: undefined,
  };
}

/** The body of a request; undefined where the fault is not to read all of it. */
async function receive(
  incoming: IncomingMessage,
  request: LoggedRequest,
  { receive: limit }: Fault,
): Promise<Uint8Array | undefined> {
  const chunks: Uint8Array[] = [];
  if (limit?.upTo === 0) return undefined;
  // Iterated by hand: leaving a loop over it would close the connection.
  const body: AsyncIterator<Uint8Array> = incoming[Symbol.asyncIterator]();
  for (let next = await body.next(); !next.done; next = await body.next()) {
    chunks.push(next.value);
    request.received += next.value.length;
    if (limit && request.received >= limit.upTo) return undefined;
  }
  const all = Buffer.concat(chunks);
  request.body = all.subarray(0, 64 * 1024).toString('latin1');
  return all;
}

/** Whether a fault leaves nothing of the right answer. */
function isAnswered({ status, redirect, body }: Fault): boolean {
  return status !== undefined || redirect !== undefined || body !== undefined;
}

async function spoilt(right: Answer, request: LoggedRequest, fault: Fault): Promise<Answer> {
  const { status, redirect, body, corrupt, short = 0, extra = 0, encoding } = fault;
  let answer = right;
  if (redirect !== undefined) {
    const location = typeof redirect === 'string' ? redirect : redirect(request);
    answer = empty(307, { location });
  }
  if (body !== undefined) answer = { ...answer, body: Buffer.from(body) };
  if (status !== undefined) answer = { ...answer, status };
  if (fault.answer) answer = await fault.answer(answer, request);
  const changed = Buffer.from(answer.body.subarray(0, answer.body.length - short));
  if (fault.range === 'shifted' || fault.range === 'lie') changed.reverse();
  if (corrupt !== undefined) changed[corrupt] = (changed[corrupt] ?? 0) ^ 1;
  const padded = extra > 0 ? Buffer.concat([changed, Buffer.alloc(extra, 'x')]) : changed;
  return {
    status: answer.status,
    headers: headersOf(answer, fault),
    body: encoding === 'gzip' ? gzipSync(padded) : padded,
  };
}

function headersOf(answer: Answer, { range, encoding }: Fault): Answer['headers'] {
  const said = String(answer.headers['content-range'] ?? '');
  const shifted = said.replace(/\d+/, (start) => String(Number(start) + 1));
  const labels = { gzip: ['gzip'], mislabel: ['gzip'], chain: new Array(100).fill('gzip') };
  return {
    ...answer.headers,
    ...(range === 'shifted' && { 'content-range': shifted }),
    ...(encoding && { 'content-encoding': labels[encoding] }),
  };
}

/** Bytes are handed to the connection in pieces of this size. */
const piece = 64 * 1024;

async function send(
  { status, headers, body }: Answer,
  request: LoggedRequest,
  response: ServerResponse,
  fault: Fault,
): Promise<void> {
  request.status = status;
  response.statusCode = status;
  const length = fault.length ?? body.length;
  const isBare = status === 204 || status === 304;
  if (typeof length === 'number' && !isBare) response.setHeader('content-length', length);
  if (length === 'close') {
    response.useChunkedEncodingByDefault = false;
    response.setHeader('connection', 'close');
  }
  for (const [name, value] of Object.entries({ ...headers, ...fault.headers })) {
    if (value === null) response.removeHeader(name);
    else response.setHeader(name, value);
  }
  if (request.method === 'HEAD') {
    response.end();
    return;
  }
  response.flushHeaders();
  const end = Math.min(body.length, fault.cut?.at ?? body.length);
  const step = fault.drip ?? piece;
  for (let at = 0; at < end && !response.destroyed; at += step) {
    const part = body.subarray(at, Math.min(end, at + step));
    await new Promise<void>((resolve) => response.write(part, () => resolve()));
    request.sent += part.length;
    if (fault.drip) await new Promise((resolve) => setImmediate(resolve));
  }
  if (!fault.cut) response.end();
  else if (fault.cut.how === 'rst') response.socket?.resetAndDestroy();
  else if (fault.cut.how === 'fin') response.socket?.end();
}
