import { createHash } from 'node:crypto';
import { jsonOf, OciError } from '@cluster-image/oci';
import { z } from 'zod';
import { parseChallenges } from './challenge.ts';
import { type Credential, type Credentials, mayShowCredential } from './credentials.ts';
import { isPrivateHost } from './dialer.ts';
import { isPassing, PassingError } from './patience.ts';
import { recent } from './recent.ts';
import { type HttpRequest, type HttpResponse, readText } from './transport.ts';

export interface Authorizer {
  /**
   * The value of `Authorization` for a request; undefined while the server has not asked for one.
   *
   * @param scopes what the request needs, for instance `repository:library/nginx:pull`
   */
  authorization(scopes: readonly string[]): Promise<string | undefined>;
  /**
   * Learns from a 401 to a request sent with that authorization: the scopes to send it with again, or
   * undefined where the server's demand cannot be met.
   */
  challenged(
    scopes: readonly string[],
    response: HttpResponse,
    sent: string | undefined,
  ): Promise<readonly string[] | undefined>;
  /** Which credential there is, for error messages. */
  described(): Promise<string>;
}

export interface AuthorizerOptions {
  /** The registry as references name it. */
  readonly host: string;
  /** Where its requests go. */
  readonly origin: URL;
  readonly credentials: Credentials;
  /** Hosts of token servers that may see the credential. */
  readonly tokenHosts: readonly string[];
  readonly insecure: boolean;
  readonly now: () => number;
  /** How long an answer asks to wait, in milliseconds. */
  asked(response: HttpResponse): number | undefined;
  send(request: HttpRequest): Promise<HttpResponse>;
}

interface BearerDemand {
  readonly scheme: 'bearer';
  readonly realm: URL;
  readonly service: string | undefined;
}

type Demand = { readonly scheme: 'basic' } | BearerDemand;

interface Token {
  readonly value: string;
  /** In milliseconds since the epoch. */
  readonly expires: number;
}

/** How long a token lasts that does not say so, in seconds. */
const defaultLifetime = 60;

/** How many are remembered at a time; there is one for each repository. */
const mostTokens = 1_000;

/** A token is replaced this long before it expires, in milliseconds. */
const margin = 5_000;

/**
 * Basic and bearer authentication of one registry host. Tokens are kept by what they are for and
 * whose they are, in this closure only. https://distribution.github.io/distribution/spec/auth/token/
 */
export function authorizer(options: AuthorizerOptions): Authorizer {
  const { host, origin, now } = options;
  const tokens = recent<Token>(mostTokens);
  const running = new Map<string, Promise<Token>>();
  let demand: Demand | undefined;
  let found: Promise<Credential | undefined> | undefined;

  const credential = (): Promise<Credential | undefined> => {
    found ??= options.credentials(host);
    return found;
  };

  async function authorization(scopes: readonly string[]): Promise<string | undefined> {
    if (!demand) return undefined;
    const own = await credential();
    if (demand.scheme === 'basic') return own?.basic && basic(own.basic);
    if (own?.registryToken) return `Bearer ${own.registryToken}`;
    return `Bearer ${(await token(demand, scopes, own)).value}`;
  }

  async function token(
    from: BearerDemand,
    scopes: readonly string[],
    own: Credential | undefined,
  ): Promise<Token> {
    const key = keyOf(from, scopes, own);
    const known = tokens.get(key);
    if (known && known.expires - margin > now()) return known;
    // Whoever asks meanwhile waits for the same answer.
    const asked = running.get(key) ?? keep(key, fetchToken(from, scopes, own));
    running.set(key, asked);
    return asked;
  }

  async function keep(key: string, fetched: Promise<Token>): Promise<Token> {
    try {
      const value = await fetched;
      tokens.set(key, value);
      return value;
    } finally {
      running.delete(key);
    }
  }

  function shown(realm: URL, own: Credential | undefined): Credential | undefined {
    return own && mayShowCredential(origin, realm, options.tokenHosts) ? own : undefined;
  }

  async function fetchToken(
    { realm, service }: BearerDemand,
    scopes: readonly string[],
    own: Credential | undefined,
  ): Promise<Token> {
    const show = shown(realm, own);
    const started = now();
    const response = await options.send(
      tokenRequest(realm, service, scopes, show, {
        insecure: options.insecure && realm.hostname === origin.hostname,
        publicOnly: realm.hostname !== origin.hostname && !(await isPrivateHost(origin.hostname)),
      }),
    );
    const text = await readText(response, 1024 * 1024);
    if (response.status !== 200) throw refused(response, realm, own);
    const parsed = tokenSchema.safeParse(jsonOf(text));
    const value = parsed.data?.token || parsed.data?.access_token || '';
    if (!tokenGrammar.test(value)) {
      throw new OciError('UPSTREAM', `${host}: ${realm.host} sent no token`);
    }
    const lifetime = parsed.data?.expires_in ?? defaultLifetime;
    return { value, expires: started + Math.max(lifetime, defaultLifetime) * 1000 };
  }

  function refused(response: HttpResponse, realm: URL, own: Credential | undefined): OciError {
    const message = `${host}: the token server ${realm.host} answered ${response.status}`;
    if (isPassing(response.status)) {
      const code = response.status === 429 ? 'TOO_MANY_REQUESTS' : 'UPSTREAM';
      return new PassingError(new OciError(code, message), options.asked(response));
    }
    return new OciError(response.status === 403 ? 'DENIED' : 'UNAUTHORIZED', message, {
      hint: refusedHint(own, shown(realm, own), realm),
    });
  }

  async function challenged(
    scopes: readonly string[],
    response: HttpResponse,
    sent: string | undefined,
  ): Promise<readonly string[] | undefined> {
    const challenges = parseChallenges(response.headers('www-authenticate'));
    const own = await credential();
    const bearer = challenges.find(({ scheme }) => scheme === 'bearer')?.parameters;
    const realm = bearer && URL.parse(bearer.realm ?? '');
    if (realm && /^https?:$/.test(realm.protocol)) {
      if (sent && own?.registryToken) return undefined;
      const wanted = [...new Set([...scopes, ...(bearer.scope?.split(' ') ?? [])])].filter(Boolean);
      if (sent && bearer.error === 'insufficient_scope' && wanted.length === scopes.length) {
        return undefined;
      }
      demand = { scheme: 'bearer', realm, service: bearer.service };
      // A token that was refused although it should be good may have been revoked.
      const key = keyOf(demand, scopes, own);
      if (sent === `Bearer ${tokens.get(key)?.value}`) tokens.delete(key);
      return wanted;
    }
    if (!own?.basic || !challenges.some(({ scheme }) => scheme === 'basic')) return undefined;
    demand = { scheme: 'basic' };
    return sent === basic(own.basic) ? undefined : scopes;
  }

  async function described(): Promise<string> {
    const own = await credential();
    if (!own) return 'no credentials';
    const realm = demand?.scheme === 'bearer' && !own.registryToken ? demand.realm : undefined;
    return realm && !shown(realm, own)
      ? `no credentials: those from ${own.source} ${withheld(realm)}`
      : `credentials from ${own.source}`;
  }

  return { authorization, challenged, described };
}

const tokenSchema = z.looseObject({
  token: z.string().nullish().catch(undefined),
  access_token: z.string().nullish().catch(undefined),
  expires_in: z.coerce.number().catch(defaultLifetime),
});

/** What fits into a header. */
const tokenGrammar = /^[\x21-\x7e]+$/;

function tokenRequest(
  realm: URL,
  service: string | undefined,
  scopes: readonly string[],
  credential: Credential | undefined,
  trust: { readonly insecure: boolean; readonly publicOnly: boolean },
): HttpRequest {
  if (credential?.identityToken) {
    const form = new URLSearchParams({
      grant_type: 'refresh_token',
      client_id: 'cluster-image',
      refresh_token: credential.identityToken,
      ...(service && { service }),
      ...(scopes.length > 0 && { scope: scopes.join(' ') }),
    });
    const body = new TextEncoder().encode(form.toString());
    return {
      method: 'POST',
      url: realm,
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: {
        size: body.length,
        async *open() {
          yield body;
        },
      },
      ...trust,
    };
  }
  const url = new URL(realm);
  if (service) url.searchParams.set('service', service);
  for (const scope of scopes) url.searchParams.append('scope', scope);
  if (credential?.basic) url.searchParams.set('account', credential.basic.username);
  return {
    method: 'GET',
    url,
    headers: credential?.basic ? { authorization: basic(credential.basic) } : {},
    ...trust,
  };
}

function refusedHint(
  own: Credential | undefined,
  shown: Credential | undefined,
  realm: URL,
): string {
  if (!own) return 'Log in to the registry first, for instance with docker login.';
  if (shown) return `The credentials from ${own.source} were not accepted; log in again.`;
  return `The credentials from ${own.source} ${withheld(realm)}.`;
}

function withheld(realm: URL): string {
  return `were not shown to the token server ${realm.host}, which is not of the registry's domain; if that is right, add it to tokenHosts of the registry in cluster-image.json`;
}

function basic({ username, password }: { username: string; password: string }): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}

/** What a token is for and whose it is; credentials are told apart without being kept. */
function keyOf(
  { realm, service }: BearerDemand,
  scopes: readonly string[],
  own: Credential | undefined,
): string {
  const whose = createHash('sha256')
    .update(JSON.stringify(own ?? null))
    .digest('hex');
  return JSON.stringify([realm.href, service, [...scopes].sort(), whose]);
}
