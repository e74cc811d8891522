import { type Digest, isDigest, isHost, isRepository, isTag, OciError } from '@cluster-image/oci';

/**
 * The requests of the distribution protocol, as values. `formatRoute` and `parseRoute` are inverse;
 * client and server both use them, so they cannot disagree.
 * https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#endpoints
 */
export type Route =
  | { readonly kind: 'ping' }
  | { readonly kind: 'catalog'; readonly page: Page }
  | { readonly kind: 'tags'; readonly repository: string; readonly page: Page }
  /** `reference` is a tag or a digest; what is pushed by digest may be given `tags`. */
  | {
      readonly kind: 'manifest';
      readonly repository: string;
      readonly reference: string;
      readonly tags?: readonly string[];
    }
  | { readonly kind: 'blob'; readonly repository: string; readonly digest: Digest }
  /** Where uploads begin; with `mount` and `from` a blob of another repository is taken over. */
  | {
      readonly kind: 'uploads';
      readonly repository: string;
      readonly mount?: Digest;
      readonly from?: string;
      /** The whole blob comes with the request. */
      readonly digest?: Digest;
    }
  /** An upload under way; `digest` ends it. */
  | {
      readonly kind: 'upload';
      readonly repository: string;
      readonly id: string;
      readonly digest?: Digest;
    }
  /** What is about a manifest. */
  | {
      readonly kind: 'referrers';
      readonly repository: string;
      readonly digest: Digest;
      readonly artifactType?: string;
    };

/** Part of a listing: at most `n` names (or as many as there may be at once), those after `last`. */
export interface Page {
  readonly n?: number;
  readonly last?: string;
}

/** Path and query of a request. Throws REFERENCE_INVALID or DIGEST_INVALID for what would lead elsewhere. */
export function formatRoute(route: Route): string {
  if ('repository' in route) repositoryOf(route.repository);
  switch (route.kind) {
    case 'ping':
      return '/v2/';
    case 'catalog':
      return `/v2/_catalog${query({ ...route.page })}`;
    case 'tags':
      return `/v2/${route.repository}/tags/list${query({ ...route.page })}`;
    case 'manifest':
      return `/v2/${route.repository}/manifests/${referenceOf(route.reference)}${tagQuery(route.tags)}`;
    case 'blob':
      return `/v2/${route.repository}/blobs/${digestOf(route.digest)}`;
    case 'uploads': {
      const { mount, from, digest } = route;
      return `/v2/${route.repository}/blobs/uploads/${query({ mount, from, digest })}`;
    }
    case 'upload': {
      const { repository, id, digest } = route;
      return `/v2/${repository}/blobs/uploads/${uploadOf(id)}${query({ digest })}`;
    }
    case 'referrers': {
      const { repository, digest, artifactType } = route;
      return `/v2/${repository}/referrers/${digestOf(digest)}${query({ artifactType })}`;
    }
  }
}

function tagQuery(tags: readonly string[] = []): string {
  const search = new URLSearchParams();
  for (const tag of tags) search.append('tag', tagOf(tag));
  return tags.length === 0 ? '' : `?${search}`;
}

function query(fields: Readonly<Record<string, string | number | undefined>>): string {
  const given = Object.entries(fields).filter(([, value]) => value !== undefined);
  if (given.length === 0) return '';
  return `?${new URLSearchParams(Object.fromEntries(given.map(([name, value]) => [name, String(value)])))}`;
}

/** A longer request than any client sends, in characters. */
const longest = 2048;

/**
 * Reads the target of a request as it came over the wire. The path is matched as it stands: decoding
 * it, or letting `URL` tidy it, would let `..` and `%2e` climb. Undefined for what is no route at
 * all; throws REFERENCE_INVALID or DIGEST_INVALID for a route whose name or digest breaks the grammar.
 */
export function parseRoute(target: string): Route | undefined {
  if (target.length > longest) return undefined;
  const mark = target.indexOf('?');
  const path = mark < 0 ? target : target.slice(0, mark);
  const search = new URLSearchParams(mark < 0 ? '' : target.slice(mark + 1));
  if (path === '/v2/' || path === '/v2') return { kind: 'ping' };
  if (path === '/v2/_catalog') return { kind: 'catalog', page: pageOf(search) };
  const tags = /^\/v2\/(.+)\/tags\/list$/.exec(path);
  if (tags) return { kind: 'tags', repository: repositoryOf(tags[1]), page: pageOf(search) };
  const uploads = /^\/v2\/(.+)\/blobs\/uploads\/$/.exec(path);
  if (uploads) {
    const [mount, from] = [search.get('mount'), search.get('from')];
    return {
      kind: 'uploads',
      repository: repositoryOf(uploads[1]),
      ...(mount !== null && { mount: digestOf(mount) }),
      ...(from !== null && { from: repositoryOf(from) }),
      ...digestIn(search),
    };
  }
  const upload = /^\/v2\/(.+)\/blobs\/uploads\/([^/]+)$/.exec(path);
  if (upload) {
    const [, name, id = ''] = upload;
    return {
      kind: 'upload',
      repository: repositoryOf(name),
      id: uploadOf(id),
      ...digestIn(search),
    };
  }
  const referrers = /^\/v2\/(.+)\/referrers\/([^/]+)$/.exec(path);
  if (referrers) {
    const [, name, digest = ''] = referrers;
    const artifactType = search.get('artifactType');
    return {
      kind: 'referrers',
      repository: repositoryOf(name),
      digest: digestOf(digest),
      ...(artifactType !== null && { artifactType }),
    };
  }
  // A name may hold these words too; the last one counts.
  const item = /^\/v2\/(.+)\/(manifests|blobs)\/([^/]+)$/.exec(path);
  if (!item) return undefined;
  const [, name, kind, last = ''] = item;
  const repository = repositoryOf(name);
  if (kind === 'blobs') return { kind: 'blob', repository, digest: digestOf(last) };
  const given = search.getAll('tag').map(tagOf);
  const reference = referenceOf(last);
  return { kind: 'manifest', repository, reference, ...(given.length > 0 && { tags: given }) };
}

function digestIn(search: URLSearchParams): { readonly digest?: Digest } {
  const digest = search.get('digest');
  return digest === null ? {} : { digest: digestOf(digest) };
}

/** The name of an upload is ours, so that it is nothing but letters, digits and hyphens. */
function uploadOf(id: string): string {
  if (/^[\w-]{1,64}$/.test(id)) return id;
  throw new OciError('REFERENCE_INVALID', `${JSON.stringify(id)} is not the name of an upload`);
}

function referenceOf(text: string): string {
  return text.includes(':') ? digestOf(text) : tagOf(text);
}

function tagOf(text: string): string {
  if (isTag(text)) return text;
  throw new OciError('REFERENCE_INVALID', `${JSON.stringify(text)} is not a tag`);
}

function repositoryOf(name = ''): string {
  if (isRepository(name)) return name;
  throw new OciError('REFERENCE_INVALID', `${JSON.stringify(name)} is not a repository name`);
}

function digestOf(text: string): Digest {
  if (isDigest(text)) return text;
  throw new OciError('DIGEST_INVALID', `${JSON.stringify(text)} is not a digest`);
}

/**
 * The host that a request to a mirror is meant for, as containerd says it; undefined where it does not.
 * Throws REFERENCE_INVALID. https://github.com/containerd/containerd/blob/main/docs/hosts.md
 */
export function namespaceOf(target: string): string | undefined {
  const mark = target.indexOf('?');
  const host = mark < 0 ? null : new URLSearchParams(target.slice(mark + 1)).get('ns');
  if (host === null || host === '') return undefined;
  if (isHost(host)) return host;
  throw new OciError('REFERENCE_INVALID', `${JSON.stringify(host)} is not a host`);
}

/** The most names a listing gives at once. */
export const pageLimit = 1000;

function pageOf(search: URLSearchParams): Page {
  const n = search.get('n') ?? '';
  const last = search.get('last');
  return {
    ...(/^\d+$/.test(n) && { n: Math.min(Number(n), pageLimit) }),
    ...(last !== null && { last }),
  };
}
