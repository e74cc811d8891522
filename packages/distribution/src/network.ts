import { setTimeout } from 'node:timers/promises';
import {
  type Context,
  isDigest,
  isHost,
  OciError,
  parseName,
  type RegistryReader,
} from '@cluster-image/oci';
import { authorizer } from './authorizer.ts';
import { anonymous, type Credentials } from './credentials.ts';
import { download } from './download.ts';
import { exchange } from './exchange.ts';
import { mirrored } from './mirrored.ts';
import type { Origin } from './origin.ts';
import { patience } from './patience.ts';
import { recent } from './recent.ts';
import { type RemoteRegistry, remote } from './remote.ts';
import { plainHttpHint, type TransportOptions, transport } from './transport.ts';

/** What is configured about one registry host. */
export interface HostOptions {
  /** Speak HTTP without TLS to it. */
  readonly plainHttp?: boolean;
  /** Accept any certificate of it. */
  readonly insecure?: boolean;
  /** Registries to ask before it, in this order. */
  readonly mirrors?: readonly Mirror[];
  /** Hosts of token servers that may see its credentials, beside those of its own domain. */
  readonly tokenHosts?: readonly string[];
}

/** Where copies of a registry's images are. */
export interface Mirror {
  /** Its URL for images of a host; the path is put before repository names. Asked for when first needed. */
  url(host: string): Promise<URL>;
  /** Whether it has no say in what a tag means. */
  readonly digestOnly?: boolean;
}

export interface NetworkOptions extends TransportOptions {
  readonly context: Context;
  readonly credentials?: Credentials;
  /** Registries to ask after the mirrors of any host, by digest only. */
  readonly others?: readonly (() => Promise<RegistryReader>)[];
  /** By host as references name it. `*` has the mirrors of those that have none of their own, and no more. */
  readonly hosts?: Readonly<Record<string, HostOptions>>;
  /** How long a registry may ask to wait, in milliseconds; two minutes by default. */
  readonly longestWait?: number | undefined;
  /** Waits that many milliseconds; tests do not. */
  readonly sleep?: (milliseconds: number, signal: AbortSignal) => Promise<void>;
  readonly now?: () => number;
}

/** Every registry that can be reached, and what they share: connections, credentials, tokens. */
export interface Network {
  /** One registry, as it is: no mirrors. */
  registry(host: string): RemoteRegistry;
  /** All of them as one, for reading; repositories are named `host/path` and mirrors are asked first. */
  readonly upstream: RegistryReader;
  /**
   * The file at a URL that a web server names, whole; undefined where there is none. Credentials are
   * the server's own and are shown to nobody else; where it leads is bounded as for redirects. Throws
   * UPSTREAM for a file over the limit, and USAGE for a server without TLS that is not configured so.
   */
  download(url: URL, options: DownloadOptions): Promise<Uint8Array | undefined>;
  close(): Promise<void>;
}

export interface DownloadOptions {
  /** Any URL of the server. */
  readonly server: URL;
  /** The most that the file may have, in bytes. */
  readonly limit: number;
}

/** How many hosts are remembered at a time; a server is asked for whatever its clients name. */
const mostHosts = 1_000;

export function network(options: NetworkOptions): Network {
  const { context, credentials = anonymous, sleep = wait, now = Date.now } = options;
  const sender = transport(options);
  const registries = recent<RemoteRegistry>(mostHosts);
  const readers = recent<RegistryReader>(mostHosts);
  const servers = recent<Origin>(mostHosts);

  function optionsOf(host: string): HostOptions {
    return options.hosts?.[host] ?? {};
  }

  function at(url: URL, host: string, prefix: string): Origin {
    const { insecure = false, tokenHosts = [] } = optionsOf(host);
    const origin = new URL(url.origin);
    const waiting = patience({ host, context, sleep, now, longest: options.longestWait });
    const authority = authorizer({
      host,
      origin,
      credentials,
      tokenHosts,
      insecure,
      now,
      asked: waiting.asked,
      send: (request) => sender.send(request, context.signal),
    });
    return {
      host,
      url: origin,
      prefix,
      exchange: exchange({
        origin,
        insecure,
        transport: sender,
        authorizer: authority,
        context,
        patience: waiting,
      }),
      patience: waiting,
      credentials: authority.described,
      context,
    };
  }

  function registry(host: string): RemoteRegistry {
    const known = registries.get(host) ?? remote(at(urlOf(host, optionsOf(host)), host, ''));
    registries.set(host, known);
    return known;
  }

  function reader(host: string): RegistryReader {
    const known = readers.get(host);
    if (known) return known;
    const { mirrors = options.hosts?.['*']?.mirrors ?? [] } = optionsOf(host);
    const created = mirrored(
      [
        ...mirrors.map((mirror) => async () => {
          const url = await mirror.url(host);
          const found = remote(at(url, url.host, url.pathname.replace(/^\/+|\/+$/g, '')));
          return mirror.digestOnly ? byDigest(found) : found;
        }),
        ...(options.others ?? []).map((open) => async () => byDigest(await open())),
        async () => registry(host),
      ],
      host,
      context,
    );
    readers.set(host, created);
    return created;
  }

  const upstream: RegistryReader = {
    async resolve(name, reference) {
      const { host, repository } = parseName(name);
      return reader(host).resolve(repository, reference);
    },
    async manifest(name, digest) {
      const { host, repository } = parseName(name);
      return reader(host).manifest(repository, digest);
    },
    async blob(name, digest, size) {
      const { host, repository } = parseName(name);
      return reader(host).blob(repository, digest, size);
    },
    async *repositories() {
      for (const host of Object.keys(options.hosts ?? {})) {
        if (host === '*') continue;
        for await (const repository of reader(host).repositories()) yield `${host}/${repository}`;
      }
    },
    async *tags(name) {
      const { host, repository } = parseName(name);
      yield* reader(host).tags(repository);
    },
  };

  function server(url: URL): Origin {
    const known = servers.get(url.origin) ?? at(url, url.host, '');
    if (url.protocol === 'http:' && !optionsOf(url.host).plainHttp) {
      throw new OciError('USAGE', `${url.host} would be asked without TLS`, {
        hint: plainHttpHint(url),
      });
    }
    servers.set(url.origin, known);
    return known;
  }

  return {
    registry,
    upstream,
    download: async (url, { server: at, limit }) => download(server(at), url, limit),
    close: () => sender.close(),
  };
}

/** The same registry, which has no say in what a tag means. */
function byDigest(reader: RegistryReader): RegistryReader {
  return {
    ...reader,
    resolve: async (repository, reference) =>
      isDigest(reference) ? reader.resolve(repository, reference) : undefined,
  };
}

/** Docker Hub's registry is not at the host that references name. */
function urlOf(host: string, { plainHttp = false }: HostOptions): URL {
  const authority = host === 'docker.io' ? 'registry-1.docker.io' : host;
  const url = isHost(host) ? URL.parse(`${plainHttp ? 'http' : 'https'}://${authority}`) : null;
  if (url) return url;
  // What stands before an @ may be a password.
  const shown = JSON.stringify(host.slice(host.lastIndexOf('@') + 1));
  throw new OciError('REFERENCE_INVALID', `${shown} is not a registry host`);
}

async function wait(milliseconds: number, signal: AbortSignal): Promise<void> {
  try {
    await setTimeout(milliseconds, undefined, { signal });
  } catch (cause) {
    throw new OciError('ABORTED', 'interrupted', { cause });
  }
}
