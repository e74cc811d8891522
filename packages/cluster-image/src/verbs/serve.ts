import { isIPv6 } from 'node:net';
import { OciError } from '@cluster-image/oci';
import { z } from 'zod';
import { type ClientConfig, type ClientName, clientConfig, clientNames } from '../client-config.ts';
import { checkServerOptions, serverOptions, withServer } from '../server.ts';
import { aborted, serverGrace } from '../with-door.ts';
import type { Verb } from './verb.ts';

const options = serverOptions.extend({
  printConfig: z
    .enum(clientNames)
    .optional()
    .describe('Serve nothing; print what makes a client use this registry'),
});

type Given = z.infer<typeof options>;

interface Served {
  readonly url: string;
  /** What makes a client use the registry, where that was asked for. */
  readonly config?: ClientConfig;
}

export const serveVerb: Verb<typeof options, Served> = {
  name: 'serve',
  summary: 'Serve images as a registry on this machine, or any upstream through its cache',
  positional: ['locations'],
  options,
  grace: serverGrace,
  run: async (given, environment, context) => {
    if (given.printConfig !== undefined) {
      checkServerOptions(given);
      return configured(given, given.printConfig);
    }
    return withServer(given, environment, context, async (url) => {
      await aborted(context.signal);
      return { url: url.origin };
    });
  },
  lines: ({ config }) => [
    ...(config?.files.flatMap(({ path, text }) => [`# ${path}`, ...text.split('\n')]) ?? []),
    ...(config?.next.map((step) => `# ${step}`) ?? []),
  ],
};

/** Throws USAGE where it would not be known where the registry is. */
function configured(given: Given, client: ClientName): Served {
  const { port, host, name, tlsCert, proxy: isProxy, upstream } = given;
  if (port === 0) {
    throw new OciError('USAGE', '--print-config needs the port', { hint: 'Give --port.' });
  }
  const url = new URL(
    `${tlsCert === undefined ? 'http' : 'https'}://${name[0] ?? (isIPv6(host) ? `[${host}]` : host)}:${port}`,
  );
  const hosts = upstream.filter((host) => !host.includes('*'));
  return { url: url.origin, config: clientConfig(client, { url, isProxy, hosts }) };
}
