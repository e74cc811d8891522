import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { type Content, type Digest, OciError, type Range } from '@cluster-image/oci';
import type { Request } from './exchange.ts';
import { type Origin, refuseHtml, responseError } from './origin.ts';
import { type HttpResponse, isTransient } from './transport.ts';

/** How often in a row a download may break off without a byte of progress. */
const patience = 5;

/** How often a blob is read again from its start because the server cannot continue in the middle. */
const restarts = 2;

/** A transfer that brings fewer bytes than this in that many milliseconds of waiting is as good as broken off. */
const trickle = { bytes: 3_000, window: 30_000 };

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
  const blob: Blob = { origin, request, size, what: `blob ${digest} of ${origin.host}` };
  return { size, open: (range) => download(blob, range) };
}

interface Blob {
  readonly origin: Origin;
  readonly request: Request;
  /** In bytes. */
  readonly size: number;
  /** For messages. */
  readonly what: string;
}

async function* download(
  blob: Blob,
  { start, end }: Range = { start: 0, end: blob.size },
): AsyncIterable<Uint8Array> {
  const { origin, request, size, what } = blob;
  let at = start;
  let failures = 0;
  let again = 0;
  let canRange = true;
  while (at < end) {
    const before = at;
    // Asking for all of a blob by range makes some registries hang, so a whole one is asked for plainly.
    const range = canRange && (at > 0 || end < size) ? { start: at, end } : undefined;
    const response = await origin.exchange({
      ...request,
      headers: range ? { range: `bytes=${at}-${end - 1}` } : {},
    });
    const answered = await rangeOf(blob, response, range);
    if (!answered) {
      canRange = false;
      continue;
    }
    if (answered.start < at && ++again > restarts) {
      await response.discard();
      throw new OciError('NETWORK', `${what}: the server cannot continue a broken transfer`, {
        hint: 'Try again, or use a mirror that supports range requests.',
      });
    }
    try {
      let position = answered.start;
      for await (const chunk of bodyOf(blob, response, answered)) {
        const wanted = chunk.subarray(Math.max(0, at - position), Math.max(0, end - position));
        position += chunk.length;
        if (position > answered.end) {
          throw new OciError('SIZE_MISMATCH', `${what}: more than its ${size} bytes were sent`);
        }
        if (wanted.length > 0) {
          at += wanted.length;
          yield wanted;
        }
        // What lies behind a range is not waited for.
        if (at === end && end < size) return;
      }
      if (at < end) throw new OciError('NETWORK', `${what}: ended after ${at} of ${size} bytes`);
    } catch (error) {
      if (!isTransient(error)) throw error;
      if (at > before) {
        failures = 0;
        const reason = error instanceof Error ? error.message : 'broke off';
        origin.context.report({ type: 'retry', host: origin.host, wait: 0, reason });
      } else {
        failures += 1;
        if (failures > patience) throw error;
        await origin.patience.pause(failures, error);
      }
    }
  }
}

/**
 * The part of the blob that an answer holds; undefined where the server cannot give ranges. A 206
 * that is not what was asked for, and a refusal that may be about the range, count as that.
 */
async function rangeOf(
  { origin, size, what }: Blob,
  response: HttpResponse,
  asked: Range | undefined,
): Promise<Range | undefined> {
  if (asked && [206, 400, 403, 416, 501].includes(response.status)) {
    if (response.status === 206 && isRange(response, asked, size)) return asked;
    await response.discard();
    return undefined;
  }
  if (response.status !== 200) throw await responseError(origin, response, what);
  await refuseHtml(response, what);
  const length = response.header('content-length');
  if (length !== undefined && Number(length) !== size && !isPacked(response)) {
    await response.discard();
    throw new OciError(
      'SIZE_MISMATCH',
      `${what}: ${length} bytes were announced where ${size} were expected`,
    );
  }
  return { start: 0, end: size };
}

/** Whether a 206 begins where it should, goes no further, is not packed, and is of a blob of the right size. */
function isRange(response: HttpResponse, asked: Range, size: number): boolean {
  const header = response.header('content-range') ?? '';
  const [, start, last, total] = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(header) ?? [];
  if (Number(start) !== asked.start || Number(last) >= asked.end) return false;
  const length = Number(last) + 1 - asked.start;
  const isPlain = Number(response.header('content-length') ?? length) === length;
  return isPlain && (total === '*' || Number(total) === size);
}

function isPacked(response: HttpResponse): boolean {
  const encodings = response.headers('content-encoding');
  return encodings.length === 1 && /^\s*(?:x-)?gzip\s*$/i.test(encodings[0] ?? '');
}

/**
 * The blob's own bytes. Many servers label a blob that is gzip as encoded with gzip; that label is
 * ignored, since the length shows that it says nothing. Only where the length shows that the blob
 * was really packed for the way is it unpacked.
 */
function bodyOf(
  { origin, size, what }: Blob,
  response: HttpResponse,
  { start, end }: Range,
): AsyncIterable<Uint8Array> {
  const body = flowing(response.body, origin.patience.now, what);
  const length = response.header('content-length');
  const isWhole = start === 0 && end === size;
  const isOther = length !== undefined && Number(length) !== size;
  return isWhole && isOther && isPacked(response) ? unpacked(body, what) : body;
}

/** The same body, given up with TIMEOUT once it only trickles. */
export async function* flowing(
  body: AsyncIterable<Uint8Array>,
  now: () => number,
  what: string,
): AsyncIterable<Uint8Array> {
  let waited = 0;
  let received = 0;
  let since = now();
  for await (const chunk of body) {
    // Time that the reader takes is not the sender's fault.
    waited += now() - since;
    received += chunk.length;
    if (waited >= trickle.window) {
      if (received < trickle.bytes) {
        throw new OciError('TIMEOUT', `${what}: only ${received} bytes in ${waited} ms`);
      }
      waited = 0;
      received = 0;
    }
    yield chunk;
    since = now();
  }
}

async function* unpacked(body: AsyncIterable<Uint8Array>, what: string): AsyncIterable<Uint8Array> {
  const gunzip = createGunzip();
  const feeding = pipeline(body, gunzip).catch((error: unknown) => {
    gunzip.destroy(error instanceof Error ? error : undefined);
  });
  try {
    yield* gunzip;
    await feeding;
  } catch (error) {
    if (error instanceof OciError) throw error;
    // Half a stream looks like this where the line ends without saying that it broke.
    const isCut = error instanceof Error && 'code' in error && error.code === 'Z_BUF_ERROR';
    throw new OciError(isCut ? 'NETWORK' : 'UPSTREAM', `${what}: sent as gzip that is none`, {
      cause: error,
    });
  }
}
