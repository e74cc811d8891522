import { OciError } from '@cluster-image/oci';
import { flowing } from './blob-content.ts';
import { isAllowed } from './exchange.ts';
import { type Origin, refuseHtml, responseError } from './origin.ts';
import { type HttpResponse, isTransient } from './transport.ts';

/** How often a transfer that breaks off is begun again. */
const attempts = 5;

/**
 * The file at a URL that a web server names, in memory; undefined where there is none. The server's
 * own credentials go to its own origin only.
 *
 * Throws UPSTREAM where the server leads to what it may not, or to more than `limit` bytes, and as
 * registries do.
 */
export async function download(
  origin: Origin,
  url: URL,
  limit: number,
): Promise<Uint8Array | undefined> {
  // What follows the path may be a signature that opens it.
  const what = `${url.host}${url.pathname}`;
  if (!isAllowed(url, origin.url)) {
    const where = `${url.protocol}//${url.host}`;
    throw new OciError('UPSTREAM', `${origin.host} leads to ${where}: not HTTPS`);
  }
  for (let attempt = 1; ; attempt++) {
    const response = await origin.exchange({ method: 'GET', url, scopes: [] });
    if (response.status === 404) {
      await response.discard();
      return undefined;
    }
    if (response.status !== 200) throw await responseError(origin, response, what);
    await refuseHtml(response, what);
    try {
      return await whole(origin, response, limit, what);
    } catch (error) {
      if (attempt >= attempts || !isTransient(error)) throw error;
      await origin.patience.pause(attempt, error);
    }
  }
}

async function whole(
  { patience }: Origin,
  response: HttpResponse,
  limit: number,
  what: string,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  const tooLarge = (): OciError => new OciError('UPSTREAM', `${what} has over ${limit} bytes`);
  if (Number(response.header('content-length') ?? 0) > limit) {
    await response.discard();
    throw tooLarge();
  }
  for await (const chunk of flowing(response.body, patience.now, what)) {
    size += chunk.length;
    if (size > limit) throw tooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, size);
}
