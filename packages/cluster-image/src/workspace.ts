import { X509Certificate } from 'node:crypto';
import { type Network, type NetworkOptions, network } from '@cluster-image/distribution';
import {
  type Context,
  createContext,
  isHost,
  OciError,
  type Platform,
  parsePlatform,
  readText,
} from '@cluster-image/oci';
import { file, openStore, type Store, type Use } from '@cluster-image/storage';
import PQueue from 'p-queue';
import { z } from 'zod';
import { type Configuration, readConfiguration } from './configuration.ts';
import { dockerCredentials } from './docker-credentials.ts';
import { openEarlier } from './earlier.ts';
import { type Engines, engines } from './engines/engines.ts';
import { type Environment, resolvePath, storePath } from './environment.ts';
import { hostsOf } from './mirrors.ts';

/** Whatever else would silently be about no registry at all. */
const host = z.string().refine(isHost, {
  error: 'not a host, as image references name it (HOST[:PORT])',
});

/** The options of every verb that moves images. */
export const commonOptions = z.object({
  store: z
    .string()
    .optional()
    .describe('Directory of the content store; else CLUSTER_IMAGE_STORE, else the cache directory'),
  jobs: z.int().min(1).max(64).default(8).describe('Transfers at a time'),
  plainHttp: z.array(host).default([]).describe('Registry hosts to speak HTTP without TLS to'),
  insecure: z.array(host).default([]).describe('Registry hosts whose certificate is not checked'),
  ca: z.string().optional().describe('File with certificate authorities to trust as well, in PEM'),
});

export type CommonOptions = z.infer<typeof commonOptions>;

/** What only some verbs want of the network. */
export type Asking = Pick<NetworkOptions, 'longestWait' | 'via'>;

/** What a verb works with. */
export interface Workspace {
  readonly environment: Environment;
  readonly configuration: Configuration;
  readonly store: Store;
  readonly network: Network;
  readonly engines: Engines;
  readonly context: Context;
  /** Lets others prune the store, before the job is done; who needs it again uses it anew. */
  letGo(): Promise<void>;
  /** A path that was given by the user, in full. */
  path(given: string): string;
}

/**
 * Opens store and network, runs the job, and closes them again. Nobody prunes the store meanwhile.
 *
 * @param at the directory whose configuration counts, as the user gave it
 */
export async function withWorkspace<T>(
  environment: Environment,
  options: CommonOptions & Asking,
  context: Context,
  at: string,
  job: (workspace: Workspace) => Promise<T>,
): Promise<T> {
  const queue = new PQueue({ concurrency: options.jobs });
  const bounded = createContext({ ...context, transfer: (task) => queue.add(task) });
  const configuration = await readConfiguration(resolvePath(environment, at), environment.cwd);
  const { plainHttp, insecure, jobs, longestWait, via } = options;
  const { variables } = environment;
  const opened = network({
    context: bounded,
    credentials: dockerCredentials(environment, context),
    hosts: hostsOf(configuration, plainHttp, insecure, context),
    others: (configuration.earlier ?? []).map((location) => async () => {
      const { registry } = await openEarlier(location, workspace);
      return registry;
    }),
    connections: jobs,
    longestWait,
    via,
    ...(options.ca !== undefined && { ca: await readPem(resolvePath(environment, options.ca)) }),
    proxy: {
      http: variables.http_proxy ?? variables.HTTP_PROXY,
      https: variables.https_proxy ?? variables.HTTPS_PROXY,
      no: variables.no_proxy ?? variables.NO_PROXY,
    },
  });
  const store = openStore(storePath(environment, options.store));
  const containers = engines(environment, store.scratch, bounded);
  let use: Use | undefined;
  const workspace: Workspace = {
    environment,
    configuration,
    store,
    network: opened,
    engines: containers,
    context: bounded,
    letGo: async () => use?.end(),
    path: (given) => resolvePath(environment, given),
  };
  try {
    use = await store.use(bounded);
    try {
      return await job(workspace);
    } finally {
      await use.end();
    }
  } finally {
    await Promise.all([containers.close(), opened.close()]);
  }
}

/** Throws USAGE for what holds no certificate, which would be passed over in silence. */
async function readPem(path: string): Promise<string> {
  const content = await file(path);
  if (!content) throw new OciError('USAGE', `--ca: there is no file ${path}`);
  const text = await readText(content, 16 * 1024 * 1024);
  const certificates = text.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g);
  if (certificates?.every(isCertificate)) return text;
  throw new OciError('USAGE', `--ca: ${path} does not hold certificates in PEM`);
}

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).subject !== undefined;
  } catch {
    return false;
  }
}

/** The platforms to work for: those that were asked for, else those of the configuration, else linux/amd64. */
export function platformsOf(
  asked: readonly string[],
  { platforms = [] }: Configuration,
): readonly Platform[] {
  const chosen = asked.length > 0 ? asked : platforms;
  const parsed = (chosen.length > 0 ? chosen : ['linux/amd64']).map(parsePlatform);
  return parsed.filter(
    (platform, at) =>
      parsed.findIndex((other) => JSON.stringify(other) === JSON.stringify(platform)) === at,
  );
}
