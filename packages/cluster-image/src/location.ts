import {
  type Digest,
  formatReference,
  isDigest,
  isTag,
  OciError,
  parseReference,
  type Reference,
  referenceFrom,
} from '@cluster-image/oci';

/**
 * Where an image, or a registry of images, is; spelt as skopeo's transports are
 * (https://github.com/containers/image/blob/main/docs/containers-transports.5.md), plus `registry:`
 * for a directory in the layout of distribution, and bare names for what is in the store.
 */
export type Location =
  | { readonly kind: 'docker'; readonly reference: Reference }
  | { readonly kind: 'oci'; readonly path: string; readonly name?: string }
  | {
      readonly kind: 'oci-archive' | 'docker-archive';
      readonly path: string;
      readonly name?: string;
    }
  | { readonly kind: 'registry'; readonly path: string }
  | { readonly kind: 'store'; readonly reference: Reference }
  | { readonly kind: 'docker-daemon' | 'containers-storage'; readonly reference: Reference }
  /** By the id that the engine knows it by: the digest of its config, or of its manifest. */
  | { readonly kind: 'docker-daemon' | 'containers-storage'; readonly id: Digest };

/** Where one image can be brought to. */
export type Target = Exclude<Location, { readonly kind: 'registry' } | { readonly id: Digest }>;

const forms =
  'docker://HOST/REPOSITORY[:TAG|@DIGEST], oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME[:TAG]], docker-daemon:NAME[:TAG], containers-storage:NAME[:TAG], registry:DIR, or NAME[:TAG] in the store';

/** Throws USAGE. */
export function parseLocation(text: string): Location {
  const fail = (why: string): never => {
    throw new OciError('USAGE', `${JSON.stringify(text)} is not a location: ${why}`, {
      hint: `A location is ${forms}.`,
    });
  };
  requireNoCredentials(text);
  const transport = /^([a-z-]+):(?!\d+\/)/.exec(text)?.[1];
  const rest = text.slice((transport?.length ?? -1) + 1);
  switch (transport) {
    case 'docker':
      if (!rest.startsWith('//')) return fail('docker: is followed by //');
      return { kind: 'docker', reference: referenceOf(rest.slice(2), fail) };
    case 'oci':
    case 'oci-archive':
    case 'docker-archive': {
      const colon = rest.indexOf(':');
      const path = colon < 0 ? rest : rest.slice(0, colon);
      const text = colon < 0 ? undefined : rest.slice(colon + 1);
      if (path === '' || text === '') return fail('the path or the name is empty');
      // In layouts a word is a tag; to docker, and to skopeo, it is a name.
      const isName = text !== undefined && isTag(text) && transport === 'docker-archive';
      const name = isName ? `${text}:latest` : text;
      return { kind: transport, path, ...(name !== undefined && { name }) };
    }
    case 'registry':
      return rest === '' ? fail('the path is empty') : { kind: 'registry', path: rest };
    case 'docker-daemon':
      if (isDigest(rest)) return { kind: transport, id: rest };
      return { kind: transport, reference: referenceOf(rest, fail) };
    case 'containers-storage':
      return { kind: transport, reference: referenceOf(rest, fail) };
    default:
      return { kind: 'store', reference: referenceOf(text, fail) };
  }
}

/** Throws USAGE, without repeating what may be a password. */
export function requireNoCredentials(text: string): void {
  if (!/^[a-z-]+:\/\/[^/]*@(?!sha\d+:)/.test(text)) return;
  throw new OciError('USAGE', 'a location holds no credentials', {
    hint: 'Registries are told those that `docker login` left.',
  });
}

/** Reads where an image is to be brought to. Throws USAGE. */
export function parseTarget(text: string): Target {
  return targetOf(parseLocation(text));
}

/** The same location, where an image can be brought to it. Throws USAGE. */
export function targetOf(location: Location): Target {
  const fail = (why: string, hint?: string): never => {
    throw new OciError('USAGE', `${formatLocation(location)} ${why}`, { hint });
  };
  if (location.kind === 'registry') {
    return fail(
      'takes the images inside a cluster image, not one image',
      'Use `cluster-image sync` for that.',
    );
  }
  if ('id' in location) {
    return fail('is an image id, and a target is called NAME[:TAG]');
  }
  if ('reference' in location) {
    return location.reference.digest ? fail('has a digest, and a target has none') : location;
  }
  const { name } = location;
  const isName = name === undefined || isTag(name) || (referenceIn(name) && !name.includes('@'));
  return isName ? location : fail('is not a target: an image is called NAME:TAG, or by a tag');
}

/** The reference that a name in a layout or archive is; undefined for what is only a tag or a digest, or neither. */
export function referenceIn(name: string): Reference | undefined {
  return isTag(name) || isDigest(name) ? undefined : referenceFrom(name);
}

function referenceOf(text: string, fail: (why: string) => never): Reference {
  try {
    return parseReference(text);
  } catch (error) {
    if (!(error instanceof OciError)) throw error;
    return fail(error.message);
  }
}

/** A location in its own spelling. */
export function formatLocation(location: Location): string {
  switch (location.kind) {
    case 'docker':
      return `docker://${formatReference(location.reference)}`;
    case 'store':
      return formatReference(location.reference);
    case 'registry':
      return `registry:${location.path}`;
    case 'docker-daemon':
    case 'containers-storage': {
      const name = 'id' in location ? location.id : formatReference(location.reference);
      return `${location.kind}:${name}`;
    }
    default:
      return [location.kind, location.path, ...(location.name ? [location.name] : [])].join(':');
  }
}
