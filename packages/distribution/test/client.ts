import {
  type Network,
  type NetworkOptions,
  network,
  type RemoteRegistry,
} from '@cluster-image/distribution';
import {
  bytes,
  type Content,
  createContext,
  type Digest,
  digestOf,
  type Event,
  OciError,
} from '@cluster-image/oci';
import {
  type Fault,
  type FaultRegistry,
  type FaultRegistryOptions,
  faultRegistry,
  noise,
} from '@cluster-image/testing';
import { expect, onTestFinished } from 'vitest';

export interface Client {
  /** The registry at a host; that of the fault registry by default. */
  registry(host?: string): RemoteRegistry;
  readonly download: Network['download'];
  readonly events: readonly Event[];
  /** The waits between attempts in milliseconds, none of which was waited. */
  readonly waits: readonly number[];
}

/** A client of a fault registry under all its names, over plain HTTP, that never waits. */
export function clientOf(
  server: Pick<FaultRegistry, 'host'>,
  options: Partial<NetworkOptions> = {},
): Client {
  const events: Event[] = [];
  const waits: number[] = [];
  const port = server.host.replace(/^.*:/, '');
  const names = ['127.0.0.1', '127.0.0.9', 'localhost', '[::1]'].map((name) => `${name}:${port}`);
  const created = network({
    context: createContext({ report: (event) => events.push(event) }),
    sleep: async (milliseconds) => {
      waits.push(milliseconds);
    },
    ...options,
    hosts: {
      ...Object.fromEntries(names.map((name) => [name, { plainHttp: true }])),
      ...options.hosts,
    },
  });
  onTestFinished(() => created.close());
  const { download } = created;
  return { registry: (host = server.host) => created.registry(host), download, events, waits };
}

/** Times in which silence is told where a rule makes some, and no busy machine is taken for a silent one elsewhere. */
export function patienceFor(...faults: readonly Fault[]): Partial<NetworkOptions> {
  const isSilent = ({ drop, receive, cut }: Fault): boolean =>
    [drop, receive?.how, cut?.how].includes('silence');
  return faults.some(isSilent) ? { headersTimeout: 500, idleTimeout: 500 } : {};
}

export interface BlobFixture extends Client {
  readonly server: FaultRegistry;
  readonly body: Uint8Array;
  readonly digest: Digest;
  /** The blob as the client has it, its size being known. */
  readonly content: Content;
}

export interface BlobFixtureOptions extends FaultRegistryOptions {
  readonly body?: Uint8Array;
  readonly client?: Partial<NetworkOptions>;
}

const blob = noise('blob', 300_000);

/** A fault registry with one blob of 300,000 bytes in `team/app`, and a client of it. */
export async function blobFixture(options: BlobFixtureOptions = {}): Promise<BlobFixture> {
  const { body = blob } = options;
  const digest = digestOf(body);
  const server = await faultRegistry(options);
  await server.registry.putBlob('team/app', digest, bytes(body));
  const client = clientOf(server, options.client);
  const content = await client.registry().blob('team/app', digest, body.length);
  if (!content) throw new Error('no content');
  return { ...client, server, body, digest, content };
}

/** All of a content. */
export async function read(content: Content | undefined): Promise<Buffer> {
  if (!content) throw new Error('no content');
  return Buffer.concat(await Array.fromAsync(content.open()));
}

/** What a promise fails with; a failure of the test where it does not. */
export async function failureOf(promise: Promise<unknown>): Promise<OciError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(OciError);
  if (error instanceof OciError) return error;
  throw new Error('not an OciError');
}
