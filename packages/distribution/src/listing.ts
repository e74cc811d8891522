import { jsonOf, OciError } from '@cluster-image/oci';
import type { z } from 'zod';
import { type Origin, refuseHtml, responseError } from './origin.ts';
import { readText } from './transport.ts';

/** More pages than any listing has. */
const mostPages = 10_000;

export interface Listing<T> {
  /** The first page. */
  readonly url: URL;
  readonly scopes: readonly string[];
  /** What a page lists. */
  readonly schema: z.ZodType<readonly T[]>;
  /** The most that a page may have, in bytes. */
  readonly limit: number;
  /** What tells entries apart. */
  nameOf(entry: T): string;
  /** Which statuses say that there is no such list. */
  readonly absent: readonly number[];
  /** What is listed where there is no such list; nothing by default. */
  otherwise?(): AsyncIterable<T>;
}

/**
 * The entries of a paged listing, each once. Only pages of the same origin are followed, and each that
 * has entries has to have new ones.
 * https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#listing-tags
 */
export async function* listing<T>(origin: Origin, list: Listing<T>): AsyncIterable<T> {
  let url: URL | undefined = list.url;
  const pages = new Set<string>();
  const names = new Set<string>();
  while (url) {
    if (pages.has(url.href) || pages.size >= mostPages) throw endless(origin);
    pages.add(url.href);
    const response = await origin.exchange({ method: 'GET', url, scopes: list.scopes });
    if (list.absent.includes(response.status)) {
      await response.discard();
      if (pages.size === 1 && list.otherwise) yield* list.otherwise();
      return;
    }
    const what = `list of ${origin.host}${url.pathname}`;
    if (response.status !== 200) throw await responseError(origin, response, what);
    await refuseHtml(response, what);
    const parsed = list.schema.safeParse(jsonOf(await readText(response, list.limit)));
    if (!parsed.success) throw new OciError('UPSTREAM', `${what}: not a list`);
    const known = names.size;
    for (const entry of parsed.data) {
      const name = list.nameOf(entry);
      if (names.has(name)) continue;
      names.add(name);
      yield entry;
    }
    url = nextPage(response.headers('link'), url, origin);
    if (url && parsed.data.length > 0 && names.size === known) throw endless(origin);
  }
}

function endless(origin: Origin): OciError {
  return new OciError('UPSTREAM', `${origin.host}: a list that does not end`);
}

function nextPage(links: readonly string[], from: URL, origin: Origin): URL | undefined {
  const target = /<([^>]*)>\s*;[^,]*rel="?next\b"?/i.exec(links.join(', '))?.[1];
  if (target === undefined) return undefined;
  const url = URL.parse(target, from.href);
  if (url?.origin === origin.url.origin) return url;
  throw new OciError(
    'UPSTREAM',
    `${origin.host}: the next page of a list lies elsewhere: ${url?.origin ?? 'nowhere'}`,
  );
}
