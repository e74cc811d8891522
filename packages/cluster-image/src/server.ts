import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import {
  type HandlerOptions,
  handler,
  type Listening,
  type Metrics,
  metrics,
  refuseLoops,
} from '@cluster-image/distribution';
import {
  type Context,
  isHost,
  keepingLists,
  OciError,
  overlay,
  type RegistryReader,
  select,
} from '@cluster-image/oci';
import { type DistributionLayout, distributionLayout } from '@cluster-image/storage';
import { z } from 'zod';
import { type Behind, type Doorway, doorShape, openDoor } from './door.ts';
import { parseDuration } from './durations.ts';
import type { Environment } from './environment.ts';
import { frontPage } from './front-page.ts';
import { authorityName, interceptor } from './intercepting.ts';
import { type Lingering, lingering, renewing } from './lingering.ts';
import { hostNames, proxied } from './proxied.ts';
import { openRegistries } from './registries.ts';
import { platformOption } from './verbs/context-options.ts';
import { endpointShape, withDoor } from './with-door.ts';
import { commonOptions, type Workspace } from './workspace.ts';

/** How the store is named as a registry of its own. */
const storeLocation = 'store:';

/** The options of every verb that serves. */
export const serverOptions = commonOptions.extend({
  ...platformOption.shape,
  jobs: z.int().min(1).max(64).default(32).describe('Connections to one registry at a time'),
  locations: z
    .array(z.string())
    .default([])
    .describe(
      `Contexts, cluster images, registry directories, or ${storeLocation} for the content store, served as one registry`,
    ),
  ...doorShape,
  ...endpointShape,
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
});

export type ServerGiven = z.infer<typeof serverOptions>;

/**
 * Does something while a registry is served, with its URL, and ends it then: what is being answered is
 * answered to the end, for half a minute at most. Throws USAGE for options that say nothing together,
 * and NETWORK where it cannot listen.
 */
export async function withServer<T>(
  given: ServerGiven,
  environment: Environment,
  context: Context,
  job: (url: URL) => Promise<T>,
): Promise<T> {
  checkServerOptions(given);
  const via = `cluster-image-${randomUUID()}`;
  const open = async (workspace: Workspace): Promise<Listening> => {
    const counted = metrics();
    const { using, ...found } = await inUse(
      await registryOf(given, workspace, counted),
      given,
      workspace,
    );
    const { reader, held, ...rest } = found;
    const registry = refuseLoops(handler(reader, rest), via);
    const isProxy = given.proxy;
    const behind: Behind = (url) => ({ registry, page: frontPage(held, { url, isProxy }) });
    const connectorOf = connectorFor(given, rest.namespace, workspace);
    const doorway = { counted, ...(connectorOf && { connectorOf }) };
    const listening = await openDoor(given, workspace, behind, doorway);
    const close: Listening['close'] = async (grace) => {
      await listening.close(grace);
      await using?.end();
    };
    return { ...listening, close };
  };
  return withDoor({ ...given, via }, environment, context, open, job);
}

/** Throws USAGE for options that say nothing together. */
export function checkServerOptions(given: ServerGiven): void {
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

/** How long the store is not pruned after somebody has asked for something in it, in milliseconds. */
const linger = 10_000;

/**
 * The same registry. Where nothing is served but the store, others can prune it while nobody asks for
 * anything: a server may go on for ever.
 */
async function inUse(
  registry: Registry,
  { locations, writable }: ServerGiven,
  { store, context, letGo }: Workspace,
): Promise<Registry & { readonly using?: Lingering }> {
  if (writable || locations.some((location) => location !== storeLocation)) return registry;
  const using = lingering(() => store.use(context), linger);
  await using.renew();
  await letGo();
  const { reader, held, namespace } = registry;
  return {
    ...registry,
    using,
    reader: renewing(reader, using),
    held: renewing(held, using),
    ...(namespace && { namespace: (host) => renewing(namespace(host), using) }),
  };
}

async function registryOf(
  given: ServerGiven,
  workspace: Workspace,
  counted: Metrics,
): Promise<Registry> {
  if (given.writable) return writable(given, workspace);
  const others = given.locations.filter((location) => location !== storeLocation);
  const opened = (await openRegistries(others, given, workspace)).map(({ registry }) => registry);
  const { store } = workspace;
  const isStore = others.length < given.locations.length;
  const readers = [...opened, ...(isStore ? [select(store.registry, hostNames)] : [])];
  // Whoever looks at the page uses no image.
  const seen = select(distributionLayout(store.root), hostNames);
  const held = overlay(...opened, ...(isStore || given.proxy ? [seen] : []));
  if (!given.proxy) return { reader: overlay(...readers), held };
  const { registry, namespace } = proxied(
    { ...given, maxAge: parseDuration(given.maxAge), fetched: counted.fetched },
    workspace,
  );
  return { reader: overlay(...readers, registry), held, namespace };
}

/** What answers for hosts; undefined where there are none to answer for. */
function connectorFor(
  { intercept: hosts, authority, tunnel: tunnels }: ServerGiven,
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
  { locations: [location = ''], deletable }: ServerGiven,
  workspace: Workspace,
): Registry {
  const layout = layoutAt(location, workspace);
  return {
    reader: layout,
    held: layout,
    // docker-registry, which may serve the directory later, knows of lists only.
    pushes: keepingLists(layout),
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
