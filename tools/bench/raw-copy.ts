import { Agent, type IncomingMessage, request } from 'node:http';
import { z } from 'zod';

/** As many as the command itself has by default. */
const atOnce = 8;

interface Blob {
  readonly digest: string;
  readonly url: string;
}

/**
 * Carries every blob of some images from one registry to another, each once: nothing is checked, kept
 * or known. What this takes, on two processors, is the registries' own time.
 */
export async function rawCopy(references: readonly string[], target: string): Promise<void> {
  const blobs = new Map<string, Blob>();
  for (const reference of references) {
    const [, host, repository, tag] = /^([^/]+)\/(.+):(.+)$/.exec(reference) ?? [];
    const layers = await layersOf(host ?? '', repository ?? '', tag ?? '');
    for (const { digest } of layers) {
      blobs.set(digest, { digest, url: `http://${host}/v2/${repository}/blobs/${digest}` });
    }
  }
  const agent = new Agent({ keepAlive: true });
  const queue = [...blobs.values()];
  const work = async (): Promise<void> => {
    for (let blob = queue.pop(); blob; blob = queue.pop()) await carry(blob, target, agent);
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  agent.destroy();
}

/** The layers of an image in a registry. */
export async function layersOf(
  host: string,
  repository: string,
  tag: string,
): Promise<readonly { readonly digest: string }[]> {
  const headers = { accept: 'application/vnd.oci.image.manifest.v1+json' };
  const response = await fetch(`http://${host}/v2/${repository}/manifests/${tag}`, { headers });
  const { layers } = z
    .object({ layers: z.array(z.object({ digest: z.string() })) })
    .parse(await response.json());
  return layers;
}

async function carry({ digest, url }: Blob, target: string, agent: Agent): Promise<void> {
  const opened = await send('POST', `http://${target}/v2/raw/blobs/uploads/`, agent);
  opened.resume();
  const { location = '' } = opened.headers;
  const body = await send('GET', url, agent);
  const done = await send('PUT', `${location}&digest=${digest}`, agent, body);
  done.resume();
  if (done.statusCode !== 201) throw new Error(`${digest}: ${done.statusCode}`);
}

function send(
  method: string,
  url: string,
  agent: Agent,
  body?: IncomingMessage,
): Promise<IncomingMessage> {
  const length = body?.headers['content-length'] ?? '0';
  const headers = method === 'GET' ? {} : { 'content-length': length };
  return new Promise((resolve, reject) => {
    const sending = request(url, { method, agent, headers }, resolve);
    sending.on('error', reject);
    if (body) body.pipe(sending);
    else sending.end();
  });
}
