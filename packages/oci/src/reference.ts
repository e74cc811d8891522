import { type Digest, isDigest, parseDigest } from './digest.ts';
import { OciError } from './error.ts';

/**
 * An image reference with nothing left implicit: `nginx` is
 * `{ host: 'docker.io', repository: 'library/nginx', tag: 'latest' }`.
 * https://github.com/distribution/reference
 */
export interface Reference {
  /** Host name or address with optional port, or `localhost`; `[::1]:5000` for IPv6. */
  readonly host: string;
  /** Path on the host, without tag or digest. */
  readonly repository: string;
  readonly tag?: string;
  readonly digest?: Digest;
}

const label = '(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])';
const hostGrammar = new RegExp(
  `^(?:${label}(?:\\.${label})*|\\[(?:[a-fA-F0-9:]+)\\])(?::[0-9]+)?$`,
);
const component = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*';
const repositoryGrammar = new RegExp(`^${component}(?:/${component})*$`);
const tagGrammar = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;

/** The longest repository path that registries accept, in characters. */
const longestRepository = 255;

export function isRepository(text: string): boolean {
  return text.length <= longestRepository && repositoryGrammar.test(text);
}

export function isTag(text: string): boolean {
  return tagGrammar.test(text);
}

export function isHost(text: string): boolean {
  return hostGrammar.test(text);
}

/**
 * Reads a reference as docker and Kubernetes do: without a host it is on docker.io, with neither tag
 * nor digest it means `latest`; `tag@digest` keeps both. Throws REFERENCE_INVALID.
 */
export function parseReference(text: string): Reference {
  const fail = (why: string): never => {
    throw new OciError('REFERENCE_INVALID', `${quoted(text)} is not an image reference: ${why}`);
  };
  let rest = text;
  let digest: Digest | undefined;
  const at = rest.indexOf('@');
  if (at >= 0) {
    const pin = rest.slice(at + 1);
    if (!isDigest(pin)) fail(`${quoted(pin)} is not a sha256 or sha512 digest`);
    digest = parseDigest(pin);
    rest = rest.slice(0, at);
  }
  let tag: string | undefined;
  const colon = rest.lastIndexOf(':');
  if (colon > rest.lastIndexOf('/')) {
    tag = rest.slice(colon + 1);
    if (!isTag(tag)) fail(`${quoted(tag)} is not a tag`);
    rest = rest.slice(0, colon);
  }
  if (/^[0-9a-f]{64}$/.test(text)) fail('64 hexadecimal digits are an image id, not a name');
  const { host, path } = splitHost(rest);
  if (!isHost(host)) fail(`${quoted(host)} is not a host`);
  const repository = host === 'docker.io' && !path.includes('/') ? `library/${path}` : path;
  if (repository !== repository.toLowerCase()) fail('a repository name is lower-case');
  if (!isRepository(repository)) fail(`${quoted(repository)} is not a repository name`);
  if (tag === undefined && digest === undefined) tag = 'latest';
  return { host, repository, ...(tag && { tag }), ...(digest && { digest }) };
}

/** The same, for texts that may be something else: undefined for what is no reference. */
export function referenceFrom(text: string): Reference | undefined {
  try {
    return parseReference(text);
  } catch (error) {
    if (error instanceof OciError) return undefined;
    throw error;
  }
}

/** A reference with nothing left implicit, `docker.io/library/nginx:latest`; undefined for what is none. */
export function wholeReference(text: string): string | undefined {
  const reference = referenceFrom(text);
  return reference && formatReference(reference);
}

/** As much of a text as a message needs, with control characters escaped. */
function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 300));
}

function splitHost(name: string): { host: string; path: string } {
  const slash = name.indexOf('/');
  const first = slash < 0 ? '' : name.slice(0, slash);
  const isDomain = first === 'localhost' || /[.:]/.test(first) || first !== first.toLowerCase();
  if (!isDomain) return { host: 'docker.io', path: name };
  const host = first === 'index.docker.io' ? 'docker.io' : first;
  return { host, path: name.slice(slash + 1) };
}

/** `host/repository[:tag][@digest]`; the inverse of `parseReference`. */
export function formatReference(reference: Reference): string {
  const tag = reference.tag ? `:${reference.tag}` : '';
  const digest = reference.digest ? `@${reference.digest}` : '';
  return `${nameOf(reference)}${tag}${digest}`;
}

/** `host/repository`, which is the repository's name in the content store. */
export function nameOf(reference: Pick<Reference, 'host' | 'repository'>): string {
  return `${reference.host}/${reference.repository}`;
}

/** The reverse of `nameOf`. Throws REFERENCE_INVALID. */
export function parseName(name: string): { host: string; repository: string } {
  const slash = name.indexOf('/');
  const host = name.slice(0, slash);
  const repository = name.slice(slash + 1);
  if (slash < 0 || !isHost(host) || !isRepository(repository)) {
    throw new OciError('REFERENCE_INVALID', `${quoted(name)} is not host/repository`);
  }
  return { host, repository };
}
