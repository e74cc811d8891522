import { isIP } from 'node:net';
import {
  type Connector,
  guard,
  type Handler,
  type InterceptOptions,
  type Listening,
  type ListenOptions,
  listen,
  type Metrics,
  metrics,
  parseBasic,
  type Right,
  text,
} from '@cluster-image/distribution';
import { OciError, readText } from '@cluster-image/oci';
import { file } from '@cluster-image/storage';
import { z } from 'zod';
import { readHtpasswd } from './htpasswd.ts';
import type { Workspace } from './workspace.ts';

/** Where a server listens, and who may come in. */
export const doorShape = {
  port: z.int().min(0).max(65535).default(0).describe('Port; 0 for any'),
  host: z
    .string()
    .default('127.0.0.1')
    .describe('Address to listen at; others than this machine need TLS and passwords'),
  name: z
    .array(z.string())
    .default([])
    .describe('Names that clients know this server by, beside those of this machine itself'),
  tlsCert: z.string().optional().describe('File with the certificate to serve with, in PEM'),
  tlsKey: z.string().optional().describe('File with its key, in PEM'),
  htpasswd: z
    .string()
    .optional()
    .describe('File with names and passwords (htpasswd -B) of those who may come in'),
  tokens: z
    .boolean()
    .default(false)
    .describe('With --htpasswd: give out tokens, so that passwords do not come with every request'),
  anonymousPull: z
    .boolean()
    .default(false)
    .describe('With --htpasswd: let everybody pull, and only those in it push'),
  allowAnyone: z
    .boolean()
    .default(false)
    .describe('Let everybody in who reaches the address, without TLS or passwords'),
  accessLog: z.boolean().default(false).describe('Tell of every request'),
};

const doorSchema = z.object(doorShape);

export type Door = z.infer<typeof doorSchema>;

/** What is behind the door, once it is known where that is. */
export type Behind = (url: URL) => {
  readonly registry: Handler;
  /** For people, at `/`. */
  readonly page: Handler;
};

export interface Doorway {
  readonly counted?: Metrics;
  /** What asks who comes in where `behind` does that itself: the option for it, and whether it was given. */
  readonly keeper?: { readonly flag: string; readonly isGiven: boolean };
  /** What answers those who have this server as their HTTPS proxy. */
  readonly connectorOf?: (
    options: Pick<InterceptOptions, 'mayConnect' | 'log'>,
  ) => Promise<Connector>;
}

/**
 * Serves a registry: `/v2/`, a page for people at `/`, `/metrics` and `/healthz`. Throws USAGE where
 * others than this machine could come in and nobody has said that they may.
 */
export async function openDoor(
  door: Door,
  { path, context }: Workspace,
  behind: Behind,
  { counted = metrics(), keeper, connectorOf }: Doorway = {},
): Promise<Listening> {
  requireClosed(door, keeper);
  const tls = await readTls(door, path);
  const rightsOf = door.htpasswd === undefined ? undefined : await rightsIn(path(door.htpasswd));
  const log: NonNullable<ListenOptions['log']> = (request) => {
    counted.count(request);
    if (door.accessLog) context.report({ type: 'request', ...request });
  };
  const mayConnect = rightsOf && ((given: string | undefined) => isKnown(given, rightsOf));
  const connector = await connectorOf?.({ log, ...(mayConnect && { mayConnect }) });
  const options: ListenOptions = {
    port: door.port,
    host: door.host,
    log,
    ...(tls && { tls }),
    ...(connector && { connector }),
    ...(isLoopback(door.host) && { names: door.name }),
  };
  // The address is known only once somebody listens there.
  let answer: Handler = async () => text('not yet\n', 'text/plain');
  const listening = await listen((request) => answer(request), options);
  const url = urlOf(door, listening.url);
  const { registry, page } = behind(url);
  const open: Handler = async (request) => {
    const place = request.target.split('?')[0];
    if (place === '/metrics') return counted.answer();
    return place === '/' ? page(request) : registry(request);
  };
  const guarded = rightsOf
    ? guard(open, {
        rightsOf,
        anyone: door.anonymousPull ? ['pull'] : [],
        ...(door.tokens && { tokens: new URL('/token', url) }),
      })
    : open;
  answer = async (request) =>
    request.target === '/healthz' ? text('ok\n', 'text/plain') : guarded(request);
  return { ...listening, url };
}

/** Under the name that clients know, where there is one. */
function urlOf({ name: [name] }: Door, listening: URL): URL {
  if (name === undefined) return listening;
  const url = new URL(listening);
  url.hostname = name;
  return url;
}

function requireClosed(
  door: Door,
  keeper = { flag: '--htpasswd', isGiven: door.htpasswd !== undefined },
): void {
  const { host, tlsCert, htpasswd, allowAnyone, tokens, anonymousPull, tlsKey } = door;
  if ((tlsCert === undefined) !== (tlsKey === undefined)) {
    throw new OciError('USAGE', '--tls-cert and --tls-key go together', { hint: 'Give both.' });
  }
  if (htpasswd === undefined && (tokens || anonymousPull)) {
    throw new OciError('USAGE', '--tokens and --anonymous-pull are for --htpasswd', {
      hint: 'Name the file with --htpasswd.',
    });
  }
  const isClosed = tlsCert !== undefined && keeper.isGiven;
  if (isLoopback(host) || isClosed || allowAnyone) return;
  throw new OciError('USAGE', `others than this machine can reach ${host}`, {
    hint: `Give --tls-cert, --tls-key and ${keeper.flag}; or --allow-anyone if everybody there may come in.`,
  });
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}

async function readTls(
  { tlsCert, tlsKey }: Door,
  path: Workspace['path'],
): Promise<ListenOptions['tls']> {
  if (tlsCert === undefined || tlsKey === undefined) return undefined;
  return { cert: await textAt(path(tlsCert)), key: await textAt(path(tlsKey)) };
}

/** The most that a file with a key may hold, in bytes. */
const fileLimit = 1024 * 1024;

async function textAt(path: string): Promise<string> {
  const content = await file(path);
  if (!content) throw new OciError('USAGE', `there is no file ${path}`);
  return readText(content, fileLimit);
}

type RightsOf = (user: string, password: string) => Promise<readonly Right[] | undefined>;

/** Whether somebody sends a name and password, as to a proxy, that are known. */
async function isKnown(authorization: string | undefined, rightsOf: RightsOf): Promise<boolean> {
  const known = parseBasic(authorization);
  return known !== undefined && (await rightsOf(known.user, known.password)) !== undefined;
}

async function rightsIn(path: string): Promise<RightsOf> {
  const isRight = await readHtpasswd(path);
  const all: readonly Right[] = ['pull', 'push', 'delete'];
  return async (user, password) => ((await isRight(user, password)) ? all : undefined);
}
