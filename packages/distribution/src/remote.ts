import {
  type Content,
  type Context,
  type Descriptor,
  type Digest,
  digestOf,
  isDigest,
  jsonOf,
  type Manifest,
  manifestLimit,
  manifestMediaTypes,
  OciError,
  parseDigest,
  parseManifest,
  type Registry,
} from '@cluster-image/oci';
import { z } from 'zod';
import { blobContent } from './blob-content.ts';
import type { Exchange } from './exchange.ts';
import { formatRoute, type Page, type Route } from './route.ts';
import { type HttpResponse, readText } from './transport.ts';
import { uploadBlob } from './upload.ts';

/** What requests about one repository, or none, need to be allowed. */
export function scopesOf(repository: string, actions: 'pull' | 'pull,push'): readonly string[] {
  return [`repository:${repository}:${actions}`];
}

export interface Origin {
  /** The registry as references name it, for messages. */
  readonly host: string;
  /** Where its requests go, without a path. */
  readonly url: URL;
  /** What stands before every repository name there, as mirrors have it; empty, or without a slash at its end. */
  readonly prefix: string;
  readonly exchange: Exchange;
  /** Which credentials are used, for messages. */
  credentials(): Promise<string>;
  readonly context: Context;
  readonly sleep: (milliseconds: number, signal: AbortSignal) => Promise<void>;
}

/** More pages than any listing has. */
const mostPages = 10_000;

/**
 * A remote registry, by the distribution protocol.
 * https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md
 *
 * Errors: NOT_FOUND (or no access: registries do not tell apart), UNAUTHORIZED, DENIED, NETWORK,
 * TIMEOUT, TOO_MANY_REQUESTS, UPSTREAM, and what bytes can be guilty of (DIGEST_MISMATCH,
 * SIZE_MISMATCH, MANIFEST_INVALID).
 */
export function remote(origin: Origin): Registry {
  const { exchange } = origin;
  const inner = (repository: string): string =>
    origin.prefix ? `${origin.prefix}/${repository}` : repository;
  const urlOf = (route: Route): URL => new URL(formatRoute(route), origin.url);
  const accept = manifestMediaTypes.join(', ');

  async function askManifest(
    method: 'GET' | 'HEAD',
    repository: string,
    reference: string,
  ): Promise<HttpResponse> {
    const name = inner(repository);
    return exchange({
      method,
      url: urlOf({ kind: 'manifest', repository: name, reference }),
      headers: { accept },
      scopes: scopesOf(name, 'pull'),
    });
  }

  async function getManifest(repository: string, reference: string): Promise<Manifest | undefined> {
    const response = await askManifest('GET', repository, reference);
    if (response.status === 404) return absent(response);
    const what = `${origin.host}/${repository}`;
    if (response.status !== 200) throw await failure(response, `manifest ${reference} of ${what}`);
    refuseHtml(response, what);
    const body = await readManifest(response, what);
    const digest = isDigest(reference) ? reference : undefined;
    const manifest = parseManifest(body, what, digest, response.header('content-type'));
    const said = response.header('docker-content-digest');
    // What a tag means is decided by the bytes; a registry that contradicts itself is not believed.
    if (said && !digest && said.startsWith('sha256:') && said !== manifest.digest) {
      throw new OciError(
        'DIGEST_MISMATCH',
        `${what}:${reference}: the registry says ${said}, but what it sent is ${manifest.digest}`,
      );
    }
    return manifest;
  }

  async function resolve(repository: string, reference: string): Promise<Descriptor | undefined> {
    const response = await askManifest('HEAD', repository, reference);
    await response.discard();
    const found = response.status === 200 ? descriptorOf(response) : undefined;
    if (found) return found;
    // Some registries do not know HEAD, or answer it without a digest. Whether a digest is there is
    // asked often and answered by 404 alone.
    if (response.status === 404 && isDigest(reference)) return undefined;
    const manifest = await getManifest(repository, reference);
    return (
      manifest && {
        mediaType: manifest.mediaType,
        digest: manifest.digest,
        size: manifest.size,
      }
    );
  }

  async function headBlob(repository: string, digest: Digest): Promise<number | undefined> {
    const name = inner(repository);
    const response = await exchange({
      method: 'HEAD',
      url: urlOf({ kind: 'blob', repository: name, digest }),
      scopes: scopesOf(name, 'pull'),
    });
    await response.discard();
    if (response.status === 404) return undefined;
    const size = Number(response.header('content-length'));
    if (response.status === 200 && Number.isSafeInteger(size)) return size;
    throw await failure(response, `blob ${digest} of ${origin.host}/${repository}`);
  }

  async function failure(response: HttpResponse, what: string): Promise<OciError> {
    return responseError(origin, response, what);
  }

  return {
    resolve,
    manifest: getManifest,
    async blob(repository, digest, size): Promise<Content | undefined> {
      const known = size ?? (await headBlob(repository, digest));
      if (known === undefined) return undefined;
      const name = inner(repository);
      return blobContent(
        origin,
        {
          method: 'GET',
          url: urlOf({ kind: 'blob', repository: name, digest }),
          scopes: scopesOf(name, 'pull'),
        },
        digest,
        known,
      );
    },
    async *repositories() {
      const prefix = origin.prefix ? `${origin.prefix}/` : '';
      const scopes = ['registry:catalog:*'];
      const page = (page: Page): Route => ({ kind: 'catalog', page });
      for await (const name of listing(origin, page, scopes, catalogSchema)) {
        if (name.startsWith(prefix)) yield name.slice(prefix.length);
      }
    },
    async *tags(repository) {
      const name = inner(repository);
      const page = (page: Page): Route => ({ kind: 'tags', repository: name, page });
      const tags = listing(origin, page, scopesOf(name, 'pull'), tagsSchema);
      // Not every registry sorts them.
      yield* (await Array.fromAsync(tags)).sort();
    },
    async putBlob(repository, digest, content, mountFrom) {
      const known = await headBlob(repository, digest);
      if (known === content.size) return;
      await uploadBlob(origin, inner(repository), digest, content, mountFrom && inner(mountFrom));
    },
    async putManifest(repository, manifest, tag) {
      const name = inner(repository);
      const reference = tag ?? manifest.digest;
      const what = `manifest ${reference} to ${origin.host}/${repository}`;
      const response = await exchange({
        method: 'PUT',
        url: urlOf({ kind: 'manifest', repository: name, reference }),
        headers: { 'content-type': manifest.mediaType },
        body: {
          size: manifest.size,
          async *open() {
            yield manifest.bytes;
          },
        },
        scopes: scopesOf(name, 'pull,push'),
      });
      if (response.status < 200 || response.status > 299) throw await failure(response, what);
      await response.discard();
      const said = response.header('docker-content-digest');
      if (said?.startsWith('sha256:') && said !== digestOf(manifest.bytes)) {
        throw new OciError('DIGEST_MISMATCH', `${what}: the registry stored it as ${said}`);
      }
    },
  };
}

async function absent(response: HttpResponse): Promise<undefined> {
  await response.discard();
  return undefined;
}

function descriptorOf(response: HttpResponse): Descriptor | undefined {
  const digest = response.header('docker-content-digest') ?? '';
  const mediaType = response.header('content-type')?.split(';')[0]?.trim() ?? '';
  const size = Number(response.header('content-length'));
  if (!isDigest(digest) || !manifestMediaTypes.includes(mediaType)) return undefined;
  if (!Number.isSafeInteger(size) || size <= 0) return undefined;
  return { mediaType, digest: parseDigest(digest), size };
}

/** A captive portal or proxy answers everything with a page. */
export function refuseHtml(response: HttpResponse, what: string): void {
  const type = response.header('content-type') ?? '';
  if (!type.startsWith('text/html')) return;
  throw new OciError(
    'UPSTREAM',
    `${what}: the answer is a web page (${type}), not from a registry`,
    {
      hint: 'A proxy or a login page of the network stands in between.',
    },
  );
}

async function readManifest(response: HttpResponse, what: string): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body) {
    chunks.push(chunk);
    size += chunk.length;
    if (size > manifestLimit) {
      throw new OciError('MANIFEST_INVALID', `manifest of ${what} is over ${manifestLimit} bytes`);
    }
  }
  return Buffer.concat(chunks);
}

const catalogSchema = z
  .looseObject({ repositories: z.array(z.string()).nullish() })
  .transform((page) => page.repositories ?? []);
const tagsSchema = z
  .looseObject({ tags: z.array(z.string()).nullish() })
  .transform((page) => page.tags ?? []);

/** The names of a paged listing. Only pages of the same origin are followed, and each has to go on after the one before. */
async function* listing(
  origin: Origin,
  route: (page: Page) => Route,
  scopes: readonly string[],
  schema: z.ZodType<readonly string[]>,
): AsyncIterable<string> {
  let url: URL | undefined = new URL(formatRoute(route({})), origin.url);
  const seen = new Set<string>();
  for (let page = 0; url && page < mostPages; page++) {
    if (seen.has(url.href)) throw endless(origin);
    seen.add(url.href);
    const response = await origin.exchange({ method: 'GET', url, scopes });
    if (response.status === 404) return await absent(response);
    const what = `list of ${origin.host}${url.pathname}`;
    if (response.status !== 200) throw await responseError(origin, response, what);
    const link = response.header('link');
    const parsed = schema.safeParse(jsonOf(await readText(response, 64 * 1024 * 1024)));
    if (!parsed.success) throw new OciError('UPSTREAM', `${what}: not a list`);
    yield* parsed.data;
    url = nextPage(link, url, origin);
  }
  if (url) throw endless(origin);
}

function endless(origin: Origin): OciError {
  return new OciError('UPSTREAM', `${origin.host}: a list that does not end`);
}

function nextPage(link: string | undefined, from: URL, origin: Origin): URL | undefined {
  const target = /<([^>]*)>\s*;[^,]*rel="?next"?/i.exec(link ?? '')?.[1];
  if (target === undefined) return undefined;
  const url = URL.parse(target, from.href);
  if (url?.origin === origin.url.origin) return url;
  throw new OciError(
    'UPSTREAM',
    `${origin.host}: the next page of a list lies elsewhere: ${target}`,
  );
}

const errorsSchema = z.looseObject({
  errors: z.array(z.looseObject({ code: z.string().nullish(), message: z.string().nullish() })),
});

/** What a registry's refusal means, in its own words as far as it has any. */
export async function responseError(
  origin: Pick<Origin, 'host' | 'credentials'>,
  response: HttpResponse,
  what: string,
): Promise<OciError> {
  const text = await readText(response, 1024).catch(() => '');
  const parsed = errorsSchema.safeParse(jsonOf(text));
  const said = parsed.success
    ? parsed.data.errors
        .map(({ code, message }) => [code, message].filter(Boolean).join(' '))
        .join('; ')
    : text.replace(/\s+/g, ' ').slice(0, 200);
  const message = `${what}: ${origin.host} answered ${response.status}${said && ` (${said})`}`;
  const access = `There is no such thing, or no access to it; asked with ${await origin.credentials()}.`;
  switch (response.status) {
    case 401:
      return new OciError('UNAUTHORIZED', message, { hint: access });
    case 403:
      return new OciError('DENIED', message, { hint: access });
    case 404:
      return new OciError('NOT_FOUND', message, { hint: access });
    case 429:
      return new OciError('TOO_MANY_REQUESTS', message, {
        hint: 'Wait, log in for a higher limit, or configure a mirror.',
      });
    default:
      return new OciError('UPSTREAM', message);
  }
}
