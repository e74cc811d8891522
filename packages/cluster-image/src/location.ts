import { formatReference, OciError, parseReference, type Reference } from '@cluster-image/oci';

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
  | { readonly kind: 'store'; readonly reference: Reference };

const forms =
  'docker://HOST/REPOSITORY[:TAG|@DIGEST], oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME:TAG], registry:DIR, or NAME[:TAG] in the store';

/** Throws USAGE. */
export function parseLocation(text: string): Location {
  const fail = (why: string): never => {
    throw new OciError('USAGE', `${JSON.stringify(text)} is not a location: ${why}`, {
      hint: `A location is ${forms}.`,
    });
  };
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
      const name = colon < 0 ? undefined : rest.slice(colon + 1);
      if (path === '' || name === '') return fail('the path or the name is empty');
      return { kind: transport, path, ...(name !== undefined && { name }) };
    }
    case 'registry':
      return rest === '' ? fail('the path is empty') : { kind: 'registry', path: rest };
    case 'docker-daemon':
    case 'containers-storage':
      return fail(`${transport}: is not supported; save the image as docker-archive: instead`);
    default:
      return { kind: 'store', reference: referenceOf(text, fail) };
  }
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
    default:
      return [location.kind, location.path, ...(location.name ? [location.name] : [])].join(':');
  }
}
