import { connect } from 'node:net';
import type { HostOptions, Mirror } from '@cluster-image/distribution';
import { type Context, OciError, readText, slice, throwIfAborted } from '@cluster-image/oci';
import { file } from '@cluster-image/storage';
import { type Configuration, registryUrl } from './configuration.ts';
import { configurationName } from './configuration-file.ts';
import { hostPath } from './host-path.ts';

type Registries = NonNullable<Configuration['registries']>;
type ConfiguredMirror = NonNullable<Registries[string]['mirrors']>[number];

/** How long a registry that runs beside the build may take to come up, in milliseconds. */
const defaultPatience = 20_000;

/** The most that is read of a file that holds a URL, in bytes. */
const urlLimit = 4096;

/** How often one looks whether it has, in milliseconds. */
const lookEvery = 100;

/**
 * What the configuration and the command line say of registry hosts, for the network.
 *
 * @param patience how long registries that run beside the build are waited for, in milliseconds
 */
export function hostsOf(
  { registries = {} }: Configuration,
  plainHttp: readonly string[],
  insecure: readonly string[],
  context: Context,
  patience = defaultPatience,
): Readonly<Record<string, HostOptions>> {
  const hosts = new Set([...Object.keys(registries), ...plainHttp, ...insecure]);
  return Object.fromEntries(
    [...hosts].map((host) => {
      const { mirrors, ...options } = registries[host] ?? {};
      return [
        host,
        {
          ...options,
          ...(mirrors && { mirrors: mirrors.map((mirror) => mirrorOf(mirror, context, patience)) }),
          ...(plainHttp.includes(host) && { plainHttp: true }),
          ...(insecure.includes(host) && { insecure: true }),
        },
      ];
    }),
  );
}

function mirrorOf(configured: ConfiguredMirror, context: Context, patience: number): Mirror {
  if (typeof configured === 'string') {
    return mirrorOf({ url: configured, digestOnly: false }, context, patience);
  }
  if ('url' in configured) {
    const { url, digestOnly } = configured;
    return {
      url: async (host) => urlOf(url.replaceAll('{host}', hostPath(host)), configurationName),
      digestOnly,
    };
  }
  const { endpointFile, path } = configured;
  let deadline: number | undefined;
  return {
    async url(host) {
      // One wait is enough to know that nothing comes, however many ask.
      deadline ??= Date.now() + patience;
      const endpoint = await waitForEndpoint(endpointFile, deadline, context.signal);
      return new URL(path.replaceAll('{host}', hostPath(host)).replace(/^\/+/, ''), endpoint);
    },
  };
}

/** Throws INPUT_INVALID, without repeating what may hold a password. */
function urlOf(text: string, where: string): URL {
  const url = registryUrl(text);
  if (url) return url;
  throw new OciError('INPUT_INVALID', `${where} does not hold the URL of a registry`, {
    hint: 'It begins with http:// or https:// and holds no credentials; those come from docker login.',
  });
}

/**
 * The URL in a file, once something listens there. A registry that is started beside the build (a
 * continuous task) may need a moment, and the file may still be that of an earlier one.
 */
async function waitForEndpoint(path: string, deadline: number, signal: AbortSignal): Promise<URL> {
  for (;;) {
    throwIfAborted(signal);
    const content = await file(path);
    if (content) {
      const head = slice(content, { start: 0, end: Math.min(content.size, urlLimit) });
      const text = (await readText(head, urlLimit)).trim();
      // Whoever writes it may not be done.
      if (text !== '' && (await isListening(urlOf(text, path)))) return urlOf(text, path);
    }
    if (Date.now() > deadline) {
      throw new OciError('NETWORK', `no registry came up at ${path}`, {
        hint: `Start it, for instance with cluster-image serve … --endpoint-file ${path}.`,
      });
    }
    await new Promise((resolve) => setTimeout(resolve, lookEvery));
  }
}

function isListening(url: URL): Promise<boolean> {
  const port = Number(url.port) || (url.protocol === 'https:' ? 443 : 80);
  return new Promise((resolve) => {
    const socket = connect({ host: url.hostname.replace(/^\[|\]$/g, ''), port });
    const finish = (isOpen: boolean): void => {
      socket.destroy();
      resolve(isOpen);
    };
    socket.setTimeout(2_000, () => finish(false));
    socket.once('connect', () => finish(true));
    socket.once('error', () => finish(false));
  });
}
