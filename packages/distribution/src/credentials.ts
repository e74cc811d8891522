import { getDomain } from 'tldts';

/** What proves who asks. At most one of the last three is used, in the order given here. */
export interface Credential {
  /** Where it comes from, to be named in errors: a file or a helper, never the secret. */
  readonly source: string;
  /** A bearer token to be sent as it is. */
  readonly registryToken?: string;
  /** An OAuth refresh token. */
  readonly identityToken?: string;
  readonly basic?: { readonly username: string; readonly password: string };
}

/** Finds the credential for a registry host as references name it (`docker.io`, `host:port`). */
export type Credentials = (host: string) => Promise<Credential | undefined>;

export const anonymous: Credentials = async () => undefined;

/**
 * Whether a token server may be shown a registry's credential: it is the same host, or belongs to
 * the same registrable domain (registry-1.docker.io and auth.docker.io), or was allowed by name. Over
 * plain HTTP only if the registry itself is. A registry names its token server itself, so without
 * this a hostile one would have credentials sent anywhere (CVE-2026-33540, CVE-2026-48978).
 */
export function mayShowCredential(registry: URL, realm: URL, allowed: readonly string[]): boolean {
  if (realm.protocol !== 'https:' && registry.protocol === 'https:') return false;
  if (realm.hostname === registry.hostname) return true;
  if (allowed.includes(realm.host) || allowed.includes(realm.hostname)) return true;
  const domain = getDomain(registry.hostname, { allowPrivateDomains: true });
  return domain !== null && domain === getDomain(realm.hostname, { allowPrivateDomains: true });
}
