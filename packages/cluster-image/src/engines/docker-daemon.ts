import {
  type HttpResponse,
  readText,
  type Transport,
  transport,
} from '@cluster-image/distribution';
import { type Content, type Context, type ErrorCode, jsonOf, OciError } from '@cluster-image/oci';
import { z } from 'zod';
import type { Environment } from '../environment.ts';
import { type DockerEndpoint, dockerEndpoint } from './docker-endpoint.ts';
import type { Engine } from './engine.ts';

/** How long the daemon may be silent, in milliseconds: it gathers a whole image before it sends any of it. */
const patience = 600_000;

/** The most that is read of an error, and of one line of what the daemon tells of its progress, in bytes. */
const textLimit = 64 * 1024;

/**
 * The images of a docker daemon, by its API over its socket (https://docs.docker.com/reference/api/engine/).
 * What can speak that as well, podman's service for one, is as good.
 *
 * Throws NETWORK or TIMEOUT where no daemon answers, DENIED where it may not be asked, NOT_FOUND for
 * an image it does not have, and UPSTREAM for what is no answer of a daemon; each names its address.
 */
export function dockerDaemon(
  environment: Environment,
  { signal }: Context,
  silence = patience,
): Engine {
  let opened: Promise<Daemon> | undefined;

  async function send(request: DaemonRequest): Promise<{ response: HttpResponse; where: string }> {
    opened ??= openDaemon(environment, silence);
    const { endpoint, sender } = await opened;
    const { address, url, insecure = false } = endpoint;
    const where = `the docker daemon at ${address}`;
    const { method, path, query = {}, body } = request;
    const target = new URL(path, url);
    target.search = new URLSearchParams(query).toString();
    const headers = { ...(body && { 'content-type': 'application/x-tar' }) };
    try {
      const sent = { method, url: target, headers, insecure, ...(body && { body }) };
      const response = await sender.send(sent, signal);
      if (response.status === 200) return { response, where };
      throw await refusal(response, where);
    } catch (error) {
      throw unreachable(error, where);
    }
  }

  return {
    async save(name, file) {
      const query = { names: name };
      const { response, where } = await send({ method: 'GET', path: '/images/get', query });
      try {
        await file.append(response.body);
      } catch (error) {
        throw unreachable(error, where);
      }
    },
    // What it came with is forgotten, save where the archive has it.
    manifestOf: async () => ({}),
    async load(archive) {
      // Told of the progress, so that one can tell work from silence.
      const query = { quiet: '0' };
      const request = { method: 'POST', path: '/images/load', query, body: archive } as const;
      const { response, where } = await send(request);
      const failure = await failureIn(response.body);
      if (failure !== undefined) throw new OciError('UPSTREAM', `${where}: ${failure}`);
    },
    async close() {
      await (await opened?.catch(() => undefined))?.sender.close();
    },
  };
}

interface Daemon {
  readonly endpoint: DockerEndpoint;
  readonly sender: Transport;
}

interface DaemonRequest {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: Content;
}

async function openDaemon(environment: Environment, silence: number): Promise<Daemon> {
  const endpoint = await dockerEndpoint(environment);
  const { socketPath, ca, cert, key } = endpoint;
  const sender = transport({
    headersTimeout: silence,
    idleTimeout: silence,
    ...(socketPath && { socketPath }),
    ...(ca && { ca }),
    ...(cert && { cert }),
    ...(key && { key }),
  });
  return { endpoint, sender };
}

const messageSchema = z.looseObject({ message: z.string() });

async function refusal(response: HttpResponse, where: string): Promise<OciError> {
  const text = await readText(response, textLimit);
  const why = messageSchema.safeParse(jsonOf(text)).data?.message.trim();
  const { status } = response;
  // Without a message it may be any server that has no such page.
  if (status === 404 && why !== undefined) {
    return new OciError('NOT_FOUND', `${where} has no such image: ${why}`, { hint: otherMachine });
  }
  const isDenied = status === 401 || status === 403;
  return new OciError(
    isDenied ? 'DENIED' : 'UPSTREAM',
    `${where} answered ${status}${why === undefined ? ', and nothing that a daemon says' : `: ${why}`}`,
  );
}

const otherMachine =
  'Build or pull it on this machine. What other machines are to find as well belongs into a registry or an archive.';

const unreached: Partial<Record<ErrorCode, string>> = {
  NETWORK: `Start docker, or say with DOCKER_HOST where it listens. ${otherMachine}`,
  DENIED:
    'Let the user into the group of the socket (docker), or name the socket of a daemon of its own with DOCKER_HOST.',
  TIMEOUT: 'See whether the daemon still works: docker version.',
};

/** The same failure of the line, told as what it means here. */
function unreachable(error: unknown, where: string): unknown {
  if (!(error instanceof OciError) || error.message.startsWith(where)) return error;
  const hint = unreached[error.code];
  if (hint === undefined) return error;
  return new OciError(error.code, `${where}: ${error.message}`, { cause: error, hint });
}

const progressSchema = z.looseObject({ error: z.string().optional() });

/** What went wrong, of all that a daemon tells while it loads: a line of JSON for each step, and one for a failure. */
async function failureIn(body: AsyncIterable<Uint8Array>): Promise<string | undefined> {
  const decoder = new TextDecoder();
  let failure: string | undefined;
  let isProgress = false;
  let rest = '';
  const read = (line: string): void => {
    const progress = progressSchema.safeParse(jsonOf(line)).data;
    isProgress ||= progress !== undefined;
    failure ??= progress?.error;
  };
  for await (const chunk of body) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = (lines.pop() ?? '').slice(0, textLimit);
    for (const line of lines) read(line);
  }
  read(rest);
  return isProgress ? failure : 'said nothing that a daemon says';
}
