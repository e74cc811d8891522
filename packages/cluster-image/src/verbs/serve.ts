import { type HandlerOptions, handler, listen } from '@cluster-image/distribution';
import { bytes, isHost, OciError, overlay, select } from '@cluster-image/oci';
import { type DistributionLayout, distributionLayout, saveFile } from '@cluster-image/storage';
import { z } from 'zod';
import { parseDuration } from '../durations.ts';
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
  port: z.int().min(0).max(65535).default(0).describe('Port on 127.0.0.1; 0 for any'),
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
});

type Given = z.infer<typeof options>;

interface Served {
  readonly url: string;
}

export const serveVerb: Verb<typeof options, Served> = {
  name: 'serve',
  summary: 'Serve images as a registry on this machine, or any upstream through its cache',
  positional: ['locations'],
  options,
  run: async (given, environment, context) => {
    checkOptions(given);
    return withWorkspace(environment, given, context, '.', async (workspace) => {
      const { reader, ...rest } = await registryOf(given, workspace);
      const server = await listen(handler(reader, rest), { port: given.port });
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
  lines: () => [],
};

/** Throws USAGE for options that say nothing together. */
function checkOptions({ locations, writable, deletable, proxy, offline, upstream }: Given): void {
  const usage = (why: string, hint: string): OciError => new OciError('USAGE', why, { hint });
  if (locations.length === 0 && !proxy) {
    throw usage('there is nothing to serve', 'Name a location, or pull through with --proxy.');
  }
  if (writable && (proxy || locations.length !== 1)) {
    throw usage('--writable is for one location', 'Name registry:DIR.');
  }
  if (deletable && !writable) throw usage('--deletable is for --writable', 'Give both.');
  if (!proxy && (offline || upstream.length > 0)) {
    throw usage('--offline and --upstream are for --proxy', 'Give --proxy as well.');
  }
}

type Registry = HandlerOptions & { readonly reader: Parameters<typeof handler>[0] };

async function registryOf(given: Given, workspace: Workspace): Promise<Registry> {
  if (given.writable) return writable(given, workspace);
  const others = given.locations.filter((location) => location !== storeLocation);
  const opened = await openRegistries(others, given, workspace);
  const readers = [
    ...opened.map(({ registry }) => registry),
    ...(others.length < given.locations.length
      ? [select(workspace.store.registry, hostNames)]
      : []),
  ];
  if (!given.proxy) return { reader: overlay(...readers) };
  const { registry, namespace } = proxied(
    { ...given, maxAge: parseDuration(given.maxAge) },
    workspace,
  );
  return { reader: overlay(...readers, registry), namespace };
}

function writable(
  { locations: [location = ''], deletable }: Given,
  workspace: Workspace,
): Registry {
  const layout = layoutAt(location, workspace);
  return {
    reader: layout,
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
