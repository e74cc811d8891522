import { join } from 'node:path';
import { type HandlerOptions, handler, type Metrics, metrics } from '@cluster-image/distribution';
import { bytes, isHost, OciError, overlay, type RegistryReader, select } from '@cluster-image/oci';
import { type DistributionLayout, distributionLayout, saveFile } from '@cluster-image/storage';
import { z } from 'zod';
import { type ClientConfig, type ClientName, clientConfig, clientNames } from '../client-config.ts';
import { type Behind, type Doorway, doorShape, openDoor } from '../door.ts';
import { parseDuration } from '../durations.ts';
import { frontPage } from '../front-page.ts';
import { authorityName, interceptor } from '../intercepting.ts';
import { hostNames, proxied } from '../proxied.ts';
import { openRegistries } from '../registries.ts';
import { commonOptions, type Workspace, withWorkspace } from '../workspace.ts';
import { platformOption } from './context-options.ts';
import type { Verb } from './verb.ts';

/** How the store is named as a registry of its own. */
const storeLocation = 'store:';

const options = commonOptions.extend({
  ...platformOption.shape,
  locations: z
    .array(z.string())
    .default([])
    .describe(
      `Contexts, cluster images, registry directories, or ${storeLocation} for the content store, served as one registry`,
    ),
  ...doorShape,
  endpointFile: z.string().optional().describe('File to write the URL to once it is being served'),
  writable: z
    .boolean()
    .default(false)
    .describe('Take what is pushed; into one location, registry:DIR'),
  deletable: z.boolean().default(false).describe('With --writable: delete what clients delete'),
  proxy: z
    .boolean()
    .default(false)
    .describe('Pull through from any upstream what is not there, and keep it in the store'),
  defaultUpstream: z
    .string()
    .refine(isHost, { error: 'not a host' })
    .default('docker.io')
    .describe('With --proxy: the registry that names without a host are of'),
  upstream: z
    .array(z.string())
    .default([])
    .describe('With --proxy: the only hosts to ask, * for any part; else all with public names'),
  offline: z.boolean().default(false).describe('With --proxy: ask no upstream for anything'),
  maxAge: z
    .string()
    .default('0')
    .describe('With --proxy: how long a tag is believed, as 30s or 10m; 0 looks every time'),
  intercept: z
    .array(z.string().refine(isHost, { error: 'not a host' }))
    .default([])
    .describe(
      'With --proxy: hosts to answer for, for clients that have this server as their HTTPS proxy, as dockerd may',
    ),
  authority: z
    .string()
    .optional()
    .describe(
      'With --intercept: directory of the certificate authority that clients are to trust; else one beside the store',
    ),
  tunnel: z
    .boolean()
    .default(false)
    .describe('With --intercept: reach other hosts as they are, instead of refusing them'),
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
  run: async (given, environment, context) => {
    checkOptions(given);
    if (given.printConfig !== undefined) return configured(given, given.printConfig);
    return withWorkspace(environment, given, context, '.', async (workspace) => {
      const counted = metrics();
      const { reader, held, ...rest } = await registryOf(given, workspace, counted);
      const registry = handler(reader, rest);
      const isProxy = given.proxy;
      const behind: Behind = (url) => ({ registry, page: frontPage(held, { url, isProxy }) });
      const connectorOf = connectorFor(given, rest.namespace, workspace);
      const server = await openDoor(given, workspace, behind, {
        counted,
        ...(connectorOf && { connectorOf }),
      });
      const url = server.url.origin;
      try {
        if (given.endpointFile !== undefined) {
          await saveFile(workspace.path(given.endpointFile), bytes(`${url}\n`));
        }
        context.report({ type: 'listening', url });
        await new Promise<void>((resolve) => {
          if (context.signal.aborted) resolve();
          context.signal.addEventListener('abort', () => resolve(), { once: true });
        });
      } finally {
        await server.close();
      }
      return { url };
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
  const url = new URL(`${tlsCert === undefined ? 'http' : 'https'}://${name[0] ?? host}:${port}`);
  const hosts = upstream.filter((host) => !host.includes('*'));
  return { url: url.origin, config: clientConfig(client, { url, isProxy, hosts }) };
}

/** Throws USAGE for options that say nothing together. */
function checkOptions(given: Given): void {
  const { locations, writable, deletable, proxy, offline, upstream } = given;
  const { intercept, authority, tunnel } = given;
  const usage = (why: string, hint: string): OciError => new OciError('USAGE', why, { hint });
  if (locations.length === 0 && !proxy) {
    throw usage('there is nothing to serve', 'Name a location, or pull through with --proxy.');
  }
  if (writable && (proxy || locations.length !== 1)) {
    throw usage('--writable is for one location', 'Name registry:DIR.');
  }
  if (deletable && !writable) throw usage('--deletable is for --writable', 'Give both.');
  if (!proxy && (offline || upstream.length > 0 || intercept.length > 0)) {
    const flags = '--offline, --upstream and --intercept';
    throw usage(`${flags} are for --proxy`, 'Give --proxy as well.');
  }
  if (intercept.length === 0 && (authority !== undefined || tunnel)) {
    throw usage('--authority and --tunnel are for --intercept', 'Name the hosts to answer for.');
  }
}

interface Registry extends HandlerOptions {
  readonly reader: RegistryReader;
  /** The same, as far as it is there and no upstream has to be asked. */
  readonly held: RegistryReader;
}

async function registryOf(given: Given, workspace: Workspace, counted: Metrics): Promise<Registry> {
  if (given.writable) return writable(given, workspace);
  const others = given.locations.filter((location) => location !== storeLocation);
  const opened = await openRegistries(others, given, workspace);
  const store = select(workspace.store.registry, hostNames);
  const isStore = others.length < given.locations.length;
  const readers = [...opened.map(({ registry }) => registry), ...(isStore ? [store] : [])];
  const held = overlay(...readers, ...(given.proxy ? [store] : []));
  if (!given.proxy) return { reader: held, held };
  const { registry, namespace } = proxied(
    { ...given, maxAge: parseDuration(given.maxAge), fetched: counted.fetched },
    workspace,
  );
  return { reader: overlay(...readers, registry), held, namespace };
}

/** What answers for hosts; undefined where there are none to answer for. */
function connectorFor(
  { intercept: hosts, authority, tunnel: tunnels }: Given,
  namespace: HandlerOptions['namespace'],
  { store, path, context }: Workspace,
): Doorway['connectorOf'] {
  if (hosts.length === 0 || !namespace) return undefined;
  const directory = authority === undefined ? `${store.root}-authority` : path(authority);
  return (options) => {
    context.report({ type: 'authority', path: join(directory, authorityName), hosts });
    return interceptor({ ...options, hosts, directory, tunnels }, namespace);
  };
}

function writable(
  { locations: [location = ''], deletable }: Given,
  workspace: Workspace,
): Registry {
  const layout = layoutAt(location, workspace);
  return {
    reader: layout,
    held: layout,
    pushes: layout,
    referring: layout,
    ...(deletable && { deletes: layout }),
  };
}

function layoutAt(location: string, workspace: Workspace): DistributionLayout {
  const [, path] = /^registry:(.+)$/.exec(location) ?? [];
  if (path !== undefined) return distributionLayout(workspace.path(path));
  throw new OciError('USAGE', `${location} cannot be pushed into`, {
    hint: 'Name registry:DIR.',
  });
}
