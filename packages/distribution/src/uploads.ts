import { randomUUID } from 'node:crypto';
import {
  type Content,
  codeOf,
  type Digest,
  OciError,
  type Registry,
  type Spool,
  type Spooled,
} from '@cluster-image/oci';
import { empty, refusal, type ServerRequest, type ServerResponse } from './answers.ts';
import { formatRoute, type Route } from './route.ts';

/** How long an upload may lie idle, in milliseconds, and how many may be under way. */
const idleLimit = 60 * 60_000;
const mostUploads = 2_000;

interface Upload {
  readonly repository: string;
  readonly spooled: Spooled;
  /** Somebody is adding to it. */
  isBusy: boolean;
  touched: number;
}

type Uploads = Route & { readonly kind: 'uploads' };
type Named = Route & { readonly kind: 'upload' };

/**
 * Takes in blobs, at once or in chunks. An upload belongs to this process and is forgotten with it, or
 * after an hour in which nothing came.
 * https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pushing-blobs
 */
export function uploads(registry: Registry, spool: Spool, now: () => number = Date.now) {
  const all = new Map<string, Upload>();
  let beginning = 0;
  return { begin, continued };

  /** `POST …/blobs/uploads/`: a mount, a whole blob, or the beginning of an upload. */
  async function begin(route: Uploads, request: ServerRequest): Promise<ServerResponse> {
    const { repository, mount, from, digest } = route;
    if (mount !== undefined && (await isMounted(repository, mount, from))) {
      return created(repository, mount);
    }
    await forgetIdle();
    if (all.size + beginning >= mostUploads) {
      const wait = { 'retry-after': '60' };
      return refusal(429, 'TOOMANYREQUESTS', 'too many uploads are under way', wait);
    }
    const id = randomUUID();
    const upload = await opened(repository, id);
    if (digest === undefined) return progress(202, repository, id, upload.spooled.size);
    try {
      const whole = { kind: 'upload', repository, id, digest } as const;
      return await alone(upload, whole, () => end(upload, whole, request));
    } finally {
      // Whoever sent all of it at once does not know of an upload to go on with.
      await drop(id);
    }
  }

  async function opened(repository: string, id: string): Promise<Upload> {
    beginning += 1;
    try {
      const upload = { repository, spooled: await spool.begin(), isBusy: false, touched: now() };
      all.set(id, upload);
      return upload;
    } finally {
      beginning -= 1;
    }
  }

  /** What can be done with an upload that has begun. */
  async function continued(route: Named, request: ServerRequest): Promise<ServerResponse> {
    const { repository, id } = route;
    const upload = all.get(id);
    if (upload?.repository !== repository) return unknown(id);
    switch (request.method) {
      case 'GET':
      case 'HEAD':
        return progress(204, repository, id, upload.spooled.size);
      case 'PATCH':
        return alone(upload, route, async () => {
          const refused = await add(upload, route, request);
          return refused ?? progress(202, repository, id, upload.spooled.size);
        });
      case 'PUT':
        return alone(upload, route, () => end(upload, route, request));
      case 'DELETE':
        await drop(id);
        return empty(204);
      default:
        return refusal(405, 'UNSUPPORTED', `an upload knows no ${request.method}`, {
          allow: 'GET, HEAD, PATCH, PUT, DELETE',
        });
    }
  }

  /** Of two who would add to an upload at a time the second one comes too late. */
  async function alone(
    upload: Upload,
    route: Named,
    work: () => Promise<ServerResponse>,
  ): Promise<ServerResponse> {
    if (upload.isBusy) return outOfOrder(upload, route, 'another request adds to this upload');
    upload.isBusy = true;
    try {
      return await work();
    } finally {
      upload.isBusy = false;
      upload.touched = now();
    }
  }

  /** Adds a chunk; returns why it cannot be added. */
  async function add(
    upload: Upload,
    route: Named,
    { headers, body }: ServerRequest,
  ): Promise<ServerResponse | undefined> {
    const { spooled } = upload;
    const { id } = route;
    const range = headers['content-range'];
    const [, first, last] = /^(?:bytes[ =])?(\d+)-(\d+)(?:\/\S+)?$/.exec(range ?? '') ?? [];
    if (range !== undefined && Number(first) !== spooled.size) {
      const why = `the upload has ${spooled.size} bytes, and ${range} does not follow them`;
      return outOfOrder(upload, route, why);
    }
    const length = headers['content-length'];
    const isOdd = last !== undefined && Number(last) - Number(first) + 1 !== Number(length);
    if (isOdd && length !== undefined) {
      return refusal(400, 'SIZE_INVALID', `${range} is not ${length} bytes`);
    }
    try {
      if (body) await spooled.append(body);
    } catch (error) {
      if (!all.has(id)) return unknown(id);
      // What is on the disk may be less than what was counted.
      if (isOfDisk(error)) await drop(id);
      throw error;
    }
    // Somebody may have cancelled it meanwhile.
    return all.has(id) ? undefined : unknown(id);
  }

  /** Adds what comes with the request, and stores all of it. */
  async function end(
    upload: Upload,
    route: Named,
    request: ServerRequest,
  ): Promise<ServerResponse> {
    const { repository, id, digest } = route;
    if (digest === undefined) {
      return refusal(400, 'DIGEST_INVALID', 'an upload ends with the digest of the blob');
    }
    const refused = await add(upload, route, request);
    if (refused) return refused;
    // From here on it is whole; whoever else meant to add to it is too late.
    all.delete(id);
    try {
      await registry.putBlob(repository, digest, await upload.spooled.content());
    } catch (error) {
      if (codeOf(error) !== 'DIGEST_MISMATCH') throw error;
      return refusal(400, 'DIGEST_INVALID', `what was uploaded is not ${digest}`);
    } finally {
      await upload.spooled.end();
    }
    return created(repository, digest);
  }

  async function isMounted(
    repository: string,
    digest: Digest,
    from: string | undefined,
  ): Promise<boolean> {
    const own = await registry.blob(repository, digest);
    if (own) return true;
    const found: Content | undefined =
      from === undefined ? undefined : await registry.blob(from, digest);
    if (found) await registry.putBlob(repository, digest, found, from);
    return found !== undefined;
  }

  async function forgetIdle(): Promise<void> {
    for (const [id, { touched, isBusy }] of all) {
      if (!isBusy && now() - touched > idleLimit) await drop(id);
    }
  }

  async function drop(id: string): Promise<void> {
    const upload = all.get(id);
    all.delete(id);
    await upload?.spooled.end();
  }
}

function outOfOrder({ spooled }: Upload, { repository, id }: Named, why: string): ServerResponse {
  return refusal(416, 'BLOB_UPLOAD_INVALID', why, placeOf(repository, id, spooled.size));
}

function isOfDisk(error: unknown): boolean {
  return error instanceof OciError && ['NO_SPACE', 'FILE_SYSTEM'].includes(error.code);
}

function unknown(id: string): ServerResponse {
  return refusal(404, 'BLOB_UPLOAD_UNKNOWN', `there is no upload ${id}`);
}

function created(repository: string, digest: Digest): ServerResponse {
  return empty(201, {
    location: formatRoute({ kind: 'blob', repository, digest }),
    'docker-content-digest': digest,
  });
}

function progress(status: number, repository: string, id: string, size: number): ServerResponse {
  return empty(status, placeOf(repository, id, size));
}

function placeOf(repository: string, id: string, size: number): Readonly<Record<string, string>> {
  return {
    location: formatRoute({ kind: 'upload', repository, id }),
    'docker-upload-uuid': id,
    range: `0-${Math.max(size - 1, 0)}`,
  };
}
