import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { jsonOf, OciError, readText } from '@cluster-image/oci';
import { file } from '@cluster-image/storage';
import { z } from 'zod';
import { type Environment, homeOf } from '../environment.ts';

/** Where docker's daemon listens, and how to speak to it. */
export interface DockerEndpoint {
  /** As a user knows it: `unix:///var/run/docker.sock`. */
  readonly address: string;
  /** What requests are relative to. */
  readonly url: URL;
  readonly socketPath?: string;
  /** Certificate authority, own certificate and key, in PEM. */
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  /** Accepts any certificate. */
  readonly insecure?: boolean;
}

const usualAddress = 'unix:///var/run/docker.sock';

/** The most that a file of docker's configuration may hold, in bytes. */
const fileLimit = 1024 * 1024;

const configSchema = z.looseObject({ currentContext: z.string().optional() });

/** https://github.com/docker/cli/blob/master/cli/context/store/metadatastore.go */
const contextSchema = z.looseObject({
  Endpoints: z.looseObject({
    docker: z.looseObject({ Host: z.string(), SkipTLSVerify: z.boolean().optional() }),
  }),
});

/**
 * The daemon that `docker` itself would speak to: that of DOCKER_HOST, else of the context that is
 * chosen, else the machine's own. Throws USAGE for an address that cannot be spoken to, and
 * INPUT_INVALID where docker's configuration is not what it should be.
 */
export async function dockerEndpoint(environment: Environment): Promise<DockerEndpoint> {
  const { variables } = environment;
  const home = homeOf(environment);
  const directory = variables.DOCKER_CONFIG || (home && join(home, '.docker'));
  if (!variables.DOCKER_HOST && directory) {
    const name = variables.DOCKER_CONTEXT || (await currentContext(directory));
    if (name && name !== 'default') return endpointOfContext(name, directory);
  }
  const address = variables.DOCKER_HOST || usualAddress;
  const certificates = variables.DOCKER_CERT_PATH || directory;
  const isSecure = Boolean(variables.DOCKER_TLS_VERIFY);
  return endpointAt(address, isSecure ? certificates : undefined, isSecure);
}

async function currentContext(directory: string): Promise<string | undefined> {
  const path = join(directory, 'config.json');
  const text = await textOf(path);
  if (text === undefined) return undefined;
  return parsed(configSchema, text, path).currentContext;
}

async function endpointOfContext(name: string, directory: string): Promise<DockerEndpoint> {
  const id = createHash('sha256').update(name).digest('hex');
  const path = join(directory, 'contexts/meta', id, 'meta.json');
  const text = await textOf(path);
  if (text === undefined) {
    throw new OciError('USAGE', `docker has no context ${JSON.stringify(name)}`, {
      hint: 'Choose one with `docker context use`, or set DOCKER_HOST.',
    });
  }
  const { Host, SkipTLSVerify } = parsed(contextSchema, text, path).Endpoints.docker;
  const certificates = join(directory, 'contexts/tls', id, 'docker');
  const isSecure = (await file(join(certificates, 'ca.pem'))) !== undefined;
  const endpoint = await endpointAt(Host, certificates, isSecure || SkipTLSVerify === true);
  return { ...endpoint, ...(SkipTLSVerify && { insecure: true }) };
}

async function endpointAt(
  address: string,
  certificates: string | undefined,
  isSecure: boolean,
): Promise<DockerEndpoint> {
  const [, kind, rest = ''] = /^(unix|tcp|https?):\/\/(.+)$/.exec(address) ?? [];
  if (kind === 'unix') return { address, url: new URL('http://docker'), socketPath: rest };
  const url = URL.parse(`${isSecure || kind === 'https' ? 'https' : 'http'}://${rest}`);
  if (kind === undefined || !url || url.username || url.password) {
    const shown = JSON.stringify(address.replace(/\/\/.*@/, '//'));
    throw new OciError('USAGE', `docker's daemon cannot be reached at ${shown}`, {
      hint: 'Set DOCKER_HOST to unix:///PATH or tcp://HOST:PORT; a daemon behind ssh is reached by a forwarded socket: ssh -L /tmp/docker.sock:/var/run/docker.sock HOST.',
    });
  }
  // As docker has it; any other port is said.
  if (kind === 'tcp' && !/:\d+(\/|$)/.test(rest)) url.port = isSecure ? '2376' : '2375';
  const pem = async (name: string): Promise<string | undefined> =>
    certificates === undefined ? undefined : textOf(join(certificates, name));
  const [ca, cert, key] = await Promise.all(['ca.pem', 'cert.pem', 'key.pem'].map(pem));
  return { address, url, ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) };
}

async function textOf(path: string): Promise<string | undefined> {
  const content = await file(path);
  return content && (await readText(content, fileLimit));
}

function parsed<T extends z.ZodType>(schema: T, text: string, path: string): z.infer<T> {
  const result = schema.safeParse(jsonOf(text));
  if (result.success) return result.data;
  throw new OciError('INPUT_INVALID', `${path}: ${z.prettifyError(result.error)}`, {
    hint: 'Mend it, or set DOCKER_HOST.',
  });
}
