import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { command, run } from './run.ts';

/** A server that a test started; it is ended by its own pid. */
export interface Server {
  readonly stop: () => Promise<void>;
  /** What it has printed so far. */
  readonly log: () => string;
  /** The process that serves. */
  readonly pid: () => number;
}

/** How long a server may take to come up, in milliseconds. */
const patience = 30_000;

/** No server outlives the tests by more than this, in seconds, whatever becomes of them. */
const lifetime = 900;

/** Where a server runs, if that matters. */
export interface Surroundings {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
}

async function start(
  program: string,
  args: readonly string[],
  isUp: () => Promise<boolean>,
  { cwd, env }: Surroundings = {},
): Promise<Server> {
  const log: Buffer[] = [];
  const child = spawn('timeout', [String(lifetime), program, ...args], {
    stdio: 'pipe',
    cwd,
    env: { ...process.env, ...env },
  });
  child.stdout.on('data', (chunk: Buffer) => log.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => log.push(chunk));
  const deadline = Date.now() + patience;
  while (!(await isUp())) {
    if (Date.now() > deadline || child.exitCode !== null) {
      child.kill();
      throw new Error(`${program} did not come up:\n${Buffer.concat(log)}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return {
    stop: () => stop(child),
    log: () => Buffer.concat(log).toString(),
    // `timeout` has one child.
    pid: () => Number(readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8')),
  };
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'close');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 15_000);
  await ended;
  clearTimeout(timer);
}

export interface RegistryServer extends Server {
  /** `127.0.0.1:port` */
  readonly host: string;
  readonly config: string;
  /** What it keeps its images in. */
  readonly directory: string;
}

/** Debian's docker-registry over a directory. */
export async function dockerRegistry(
  directory: string,
  work: string,
  options: {
    readonly readonly?: boolean;
    readonly accessLog?: boolean;
    /** The registry it pulls through from, as a URL. */
    readonly upstream?: string;
  } = {},
): Promise<RegistryServer> {
  const port = await freePort();
  const config = join(work, `registry-${port}.yml`);
  await mkdir(directory, { recursive: true });
  const maintenance = options.readonly ? ', maintenance: {readonly: {enabled: true}}' : '';
  await writeFile(
    config,
    `version: 0.1
log: {level: error, accesslog: {disabled: ${!options.accessLog}}}
storage: {filesystem: {rootdirectory: ${directory}}, delete: {enabled: true}${maintenance}}
http: {addr: "127.0.0.1:${port}"}
${options.upstream === undefined ? '' : `proxy: {remoteurl: "${options.upstream}"}`}
`,
  );
  const host = `127.0.0.1:${port}`;
  const server = await start('docker-registry', ['serve', config], () =>
    answers(`http://${host}/v2/`),
  );
  return { ...server, host, config, directory };
}

/** A request that `docker-registry` tells of in its access log. */
export interface LoggedRequest {
  readonly method: string;
  readonly path: string;
  readonly status: number;
  /** Of the body that was sent, in bytes. */
  readonly size: number;
}

/** What a registry with an access log was asked since its log had that length. */
export function requestsSince({ log }: Server, length: number): readonly LoggedRequest[] {
  return [
    ...log()
      .slice(length)
      .matchAll(/"(\w+) (\S+) HTTP[^"]*" (\d+) (\d+)/g),
  ].map(([, method = '', path = '', status, size]) => ({
    method,
    path,
    status: Number(status),
    size: Number(size),
  }));
}

/** A docker daemon of its own, as root without a bridge. Its clients are told where by DOCKER_HOST. */
export async function dockerDaemon(
  work: string,
  options: readonly string[] = [],
  surroundings: Surroundings = {},
): Promise<Server & { readonly address: string }> {
  const at = (name: string): string => join(work, 'docker', name);
  await mkdir(join(work, 'docker'), { recursive: true });
  const address = `unix://${at('sock')}`;
  const isUp = async (): Promise<boolean> =>
    (await run('docker', ['version'], { env: { DOCKER_HOST: address } })).code === 0;
  const server = await start(
    'dockerd',
    [
      ...['--data-root', at('data'), '--exec-root', at('exec'), '-H', address],
      ...['--pidfile', at('pid'), '--iptables=false', '--ip6tables=false', '--bridge=none'],
      ...['--storage-driver', 'vfs', ...options],
    ],
    isUp,
    surroundings,
  );
  return {
    ...server,
    address,
    async stop() {
      await server.stop();
      // The daemon leaves its network namespace mounted, and its directory could not be removed.
      await run('umount', [at('exec/netns/default')]);
    },
  };
}

export async function containerDaemon(
  work: string,
): Promise<Server & { readonly address: string }> {
  const at = (name: string): string => join(work, 'containerd', name);
  await mkdir(join(work, 'containerd'), { recursive: true });
  const address = at('sock');
  const isUp = async (): Promise<boolean> =>
    (await run('ctr', ['--address', address, 'version'])).code === 0;
  const server = await start(
    'containerd',
    ['--root', at('root'), '--state', at('state'), '--address', address],
    isUp,
  );
  return { ...server, address };
}

/** This project's own server over a location. */
export function serveCommand(
  locations: readonly string[],
  work: string,
  options: readonly string[] = [],
  surroundings: Surroundings = {},
): Promise<Server & { readonly host: string }> {
  return serving(['serve', ...locations, ...options], work, surroundings);
}

/** This project's remote cache, kept at a location. */
export function cacheServer(
  location: string,
  work: string,
  options: readonly string[] = [],
): Promise<Server & { readonly host: string }> {
  const env = { CLUSTER_IMAGE_STORE: join(work, 'cache-server-store') };
  return serving(['cache-server', location, ...options], work, { env });
}

async function serving(
  call: readonly string[],
  work: string,
  surroundings: Surroundings,
): Promise<Server & { readonly host: string }> {
  const endpoint = join(work, `endpoint-${await freePort()}`);
  const read = (): Promise<string> => readFile(endpoint, 'utf8').catch(() => '');
  const args = [command, ...call, '--endpoint-file', endpoint];
  const isUp = async (): Promise<boolean> => (await read()) !== '';
  const server = await start(process.execPath, args, isUp, surroundings);
  return { ...server, host: new URL(await read()).host };
}

export async function answers(url: string): Promise<boolean> {
  try {
    return (await fetch(url)).ok;
  } catch {
    return false;
  }
}

/** A port that was free a moment ago; for servers that cannot tell which one they took. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  if (typeof address !== 'object' || !address) throw new Error('no port');
  return address.port;
}
