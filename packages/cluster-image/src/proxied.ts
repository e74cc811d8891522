import { isIP } from 'node:net';
import { pullThrough } from '@cluster-image/distribution';
import { type Naming, OciError, type RegistryReader, select, under } from '@cluster-image/oci';
import { Minimatch } from 'minimatch';
import type { Workspace } from './workspace.ts';

export interface ProxyChoice {
  /** The registry that is meant by names without a host. */
  readonly defaultUpstream: string;
  /** The only hosts that are asked, `*` standing for any part of a name; if none are given, all that are public. */
  readonly upstream: readonly string[];
  readonly offline: boolean;
  /** How long tags are believed, in milliseconds. */
  readonly maxAge: number;
  /** Hosts that something was said of, so that they may be asked. */
  readonly plainHttp: readonly string[];
  readonly insecure: readonly string[];
  /** Told of every blob that was fetched, by its size in bytes. */
  readonly fetched?: (bytes: number) => void;
}

export interface Proxied {
  /** Every upstream by names with the host in front, and the default one without. */
  readonly registry: RegistryReader;
  /** One upstream by its own names. Throws DENIED for one that is not to be asked. */
  namespace(host: string): RegistryReader;
}

/** Any upstream, what was pulled of it before coming from the store. */
export function proxied(choice: ProxyChoice, workspace: Workspace): Proxied {
  const { store, network, context } = workspace;
  const { offline, maxAge, defaultUpstream } = choice;
  const all = pullThrough({
    cache: store.registry,
    upstream: network.upstream,
    blobs: store.blobs,
    offline,
    maxAge,
    context,
    ...(choice.fetched && { fetched: choice.fetched }),
  });
  const requireAllowed = allowance(choice, workspace);
  return {
    registry: select(all, {
      inner(name) {
        const whole = upstreamName(name, defaultUpstream);
        requireAllowed(whole.slice(0, whole.indexOf('/')));
        return whole;
      },
      outer: hostNames.outer,
    }),
    namespace(host) {
      requireAllowed(host);
      return select(all, under(host));
    },
  };
}

/** Names with the host in front, as they are in a store; a path has no colon, so a port is `host_5000`. */
export const hostNames: Naming = {
  inner: (name) => name.replace(/^([^/]+)_(\d+)\//, '$1:$2/'),
  outer: (inner) => inner.replace(/^([^/]+):(\d+)\//, '$1_$2/'),
};

/** `host/path` for a name with or without the host in front; those of Docker's own are below `library/`. */
function upstreamName(name: string, defaultUpstream: string): string {
  const [first = ''] = name.split('/');
  const hasHost = name.includes('/') && (/[.]|_\d+$/.test(first) || first === 'localhost');
  const whole = hasHost ? hostNames.inner(name) : `${defaultUpstream}/${name}`;
  return (whole ?? name).replace(/^docker\.io\/([^/]+)$/, 'docker.io/library/$1');
}

/**
 * Says who may be asked. Without a list that is whoever has a public name: a client that may name any
 * host could look around where only this machine can.
 */
function allowance(
  { upstream, defaultUpstream, plainHttp, insecure }: ProxyChoice,
  { configuration: { registries = {} } }: Workspace,
): (host: string) => void {
  const patterns = upstream.map((pattern) => new Minimatch(pattern, { noext: true }));
  const named = new Set([...Object.keys(registries), ...plainHttp, ...insecure]);
  const isAllowed = (host: string): boolean => {
    if (host === defaultUpstream) return true;
    if (patterns.length > 0) return patterns.some((pattern) => pattern.match(host));
    return named.has(host) || isPublic(host);
  };
  return (host) => {
    if (isAllowed(host)) return;
    throw new OciError('DENIED', `${host} is not a registry that this one asks`, {
      hint: 'Name it with --upstream, or under registries in cluster-image.json.',
    });
  };
}

const privateNames = /\.(?:local|localhost|internal|intranet|lan|home|corp|private|test|arpa)$/;

function isPublic(host: string): boolean {
  const [name = ''] = host.startsWith('[') ? [''] : host.split(':');
  return name.includes('.') && !isIP(name) && !privateNames.test(name.toLowerCase());
}
