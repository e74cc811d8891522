import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { type Content, type Digest, OciError, type Range } from '@cluster-image/oci';
import type { Request } from './exchange.ts';
import { type Origin, refuseHtml, responseError } from './remote.ts';
import { type HttpResponse, isTransient } from './transport.ts';

/** How often in a row a download may break off without a byte of progress. */
const patience = 5;

/** How often a blob is read again from its start because the server cannot continue in the middle. */
const restarts = 2;

/**
 * A blob of a remote registry as a content. A transfer that breaks off goes on where it stopped, for
 * as long as there is progress. Never more is read than there should be.
 */
export function blobContent(
  origin: Origin,
  request: Request,
  digest: Digest,
  size: number,
): Content {
  return { size, open: (range) => download(origin, request, digest, size, range) };
}

async function* download(
  origin: Origin,
  request: Request,
  digest: Digest,
  size: number,
  { start, end }: Range = { start: 0, end: size },
): AsyncIterable<Uint8Array> {
  const what = `blob ${digest} of ${origin.host}`;
  let at = start;
  let failures = 0;
  let again = 0;
  let canRange = true;
  while (at < end) {
    const before = at;
    try {
      // Asking for all of a blob by range makes some registries hang, so a whole one is asked for plainly.
      const ranged = canRange && (at > 0 || end < size);
      const response = await origin.exchange({
        ...request,
        headers: ranged ? { range: `bytes=${at}-${end - 1}` } : {},
      });
      const from = await startOf(response, at, size, ranged, what);
      if (from === undefined) {
        await response.discard();
        if (!ranged) throw await responseError(origin, response, what);
        canRange = false;
        continue;
      }
      if (from < at && ++again > restarts) {
        throw new OciError('NETWORK', `${what}: the server cannot continue a broken transfer`, {
          hint: 'Try again, or use a mirror that supports range requests.',
        });
      }
      let position = from;
      const most = ranged && from === at ? end : size;
      for await (const chunk of bodyOf(response, size - from, from === 0)) {
        const next = position + chunk.length;
        if (next > most) {
          throw new OciError('SIZE_MISMATCH', `${what}: more than its ${size} bytes were sent`);
        }
        const wanted = chunk.subarray(Math.max(0, at - position), Math.max(0, end - position));
        position = next;
        if (wanted.length > 0) {
          at += wanted.length;
          yield wanted;
        }
        // What lies behind a range is not waited for.
        if (at === end && end < size) return;
      }
      if (at < end) throw new OciError('NETWORK', `${what}: ended after ${at} of ${size} bytes`);
    } catch (error) {
      if (at > before) failures = 0;
      failures += 1;
      if (!isTransient(error) || failures > patience) throw error;
      const wait = at > before ? 0 : Math.min(10_000, 250 * 2 ** failures);
      const reason = error instanceof Error ? error.message : 'broke off';
      origin.context.report({ type: 'retry', host: origin.host, wait, reason });
      await origin.sleep(wait, origin.context.signal);
    }
  }
}

/**
 * The offset at which a body begins; undefined where the answer is of no use. A 206 that is not what
 * was asked for counts as no support for ranges.
 */
async function startOf(
  response: HttpResponse,
  at: number,
  size: number,
  ranged: boolean,
  what: string,
): Promise<number | undefined> {
  if (response.status === 206 && ranged) {
    const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.header('content-range') ?? '');
    const isRight =
      Number(range?.[1]) === at && (range?.[2] === '*' || Number(range?.[2]) === size);
    return isRight ? at : undefined;
  }
  if (response.status !== 200) return undefined;
  refuseHtml(response, what);
  const length = response.header('content-length');
  const isEncoded = response.header('content-encoding') !== undefined;
  if (length !== undefined && Number(length) !== size && !isEncoded) {
    throw new OciError(
      'SIZE_MISMATCH',
      `${what}: ${length} bytes were announced where ${size} were expected`,
    );
  }
  return 0;
}

/**
 * The blob's own bytes. Many servers label a blob that is gzip as encoded with gzip; that label is
 * ignored, since the length shows that it says nothing. Only where the length shows that the blob
 * was really packed for the way is it unpacked.
 */
function bodyOf(
  response: HttpResponse,
  expected: number,
  isWhole: boolean,
): AsyncIterable<Uint8Array> {
  const encoding = response.header('content-encoding');
  const length = response.header('content-length');
  const isPacked =
    isWhole &&
    (encoding === 'gzip' || encoding === 'x-gzip') &&
    length !== undefined &&
    Number(length) !== expected;
  return isPacked ? unpacked(response.body) : response.body;
}

async function* unpacked(body: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  const gunzip = createGunzip();
  const feeding = pipeline(body, gunzip).catch((error: unknown) => {
    gunzip.destroy(error instanceof Error ? error : undefined);
  });
  yield* gunzip;
  await feeding;
}
