import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { type Handler, json, refusal, type ServerRequest, type ServerResponse } from './answers.ts';
import { parseRoute, type Route } from './route.ts';

/** What somebody may do. */
export type Right = 'pull' | 'push' | 'delete';

export interface GuardOptions {
  /** What who has this name and password may do; undefined for who is not known. */
  rightsOf(user: string, password: string): Promise<readonly Right[] | undefined>;
  /** What everybody may do; nothing by default. */
  readonly anyone?: readonly Right[];
  /**
   * Where tokens are given out, as clients reach it (`https://registry.example/token`); without it names
   * and passwords come with every request.
   */
  readonly tokens?: URL;
  readonly now?: () => number;
}

/** How long a token lasts, in seconds; clients get another by themselves. */
const tokenLife = 300;

/**
 * Asks who it is before a handler answers. Both ways of the field: names and passwords with every
 * request, or for a token that lasts five minutes.
 * https://distribution.github.io/distribution/spec/auth/token/
 */
export function guard(handler: Handler, options: GuardOptions): Handler {
  const { tokens, anyone = [], now = Date.now } = options;
  const signed = signer(now);

  async function rightsIn(request: ServerRequest): Promise<readonly Right[] | undefined> {
    const { authorization } = request.headers;
    const [, token] = /^bearer +(\S+)$/i.exec(authorization ?? '') ?? [];
    if (token !== undefined) return tokens && signed.read(token);
    const known = parseBasic(authorization);
    return known && options.rightsOf(known.user, known.password);
  }

  /** https://distribution.github.io/distribution/spec/auth/token/#requesting-a-token */
  async function token(request: ServerRequest): Promise<ServerResponse> {
    const isAnonymous = request.headers.authorization === undefined;
    const rights = isAnonymous ? anyone : await rightsIn(request);
    if (!rights) return challenge('Basic realm="cluster-image"', 'unknown name or password');
    const issued = signed.write(rights);
    return json({ token: issued, access_token: issued, expires_in: tokenLife });
  }

  return async (request) => {
    const path = request.target.split('?')[0] ?? '';
    if (tokens && path === tokens.pathname) {
      if (request.method === 'GET') return token(request);
      return refusal(405, 'UNSUPPORTED', 'tokens are given out to GET', { allow: 'GET' });
    }
    const needed = rightFor(request);
    const rights = await rightsIn(request);
    if ([...(rights ?? []), ...anyone].includes(needed)) return handler(request);
    if (rights && !tokens) return refusal(403, 'DENIED', `this needs the right to ${needed}`);
    const scope = scopeOf(request, needed);
    return challenge(
      tokens
        ? `Bearer realm="${tokens}",service="cluster-image"${scope && `,scope="${scope}"`}`
        : 'Basic realm="cluster-image"',
      rights ? `this needs the right to ${needed}` : 'who are you?',
    );
  };
}

function challenge(text: string, message: string): ServerResponse {
  return refusal(401, 'UNAUTHORIZED', message, { 'www-authenticate': text });
}

function rightFor({ method }: ServerRequest): Right {
  if (method === 'GET' || method === 'HEAD') return 'pull';
  return method === 'DELETE' ? 'delete' : 'push';
}

function scopeOf({ target }: ServerRequest, right: Right): string {
  const route = routeOf(target);
  if (!route || !('repository' in route)) return '';
  return `repository:${route.repository}:${right === 'push' ? 'pull,push' : right}`;
}

function routeOf(target: string): Route | undefined {
  try {
    return parseRoute(target);
  } catch {
    return undefined;
  }
}

/** The name and password in a header; undefined where it holds none. https://www.rfc-editor.org/rfc/rfc7617 */
export function parseBasic(
  authorization: string | undefined,
): { readonly user: string; readonly password: string } | undefined {
  const [, value = ''] = /^basic +(\S+)$/i.exec(authorization ?? '') ?? [];
  const text = Buffer.from(value, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  if (colon <= 0) return undefined;
  return { user: text.slice(0, colon), password: text.slice(colon + 1) };
}

const rightNames: readonly Right[] = ['pull', 'push', 'delete'];

/** Tokens that only this process gives out and knows: rights and an end, signed with a key of its own. */
function signer(now: () => number) {
  const key = randomBytes(32);
  const sign = (text: string): Buffer => createHmac('sha256', key).update(text).digest();
  return {
    write(rights: readonly Right[]): string {
      const end = Math.floor(now() / 1000) + tokenLife;
      const text = `${end}.${rights.join('+')}`;
      return `${text}.${sign(text).toString('base64url')}`;
    },
    /** The rights in a token; undefined where it is not ours or over. */
    read(token: string): readonly Right[] | undefined {
      const [, text = '', end = '', rights = '', signature = ''] =
        /^((\d+)\.([a-z+]*))\.([\w-]+)$/.exec(token) ?? [];
      const given = Buffer.from(signature, 'base64url');
      const right = sign(text);
      const isOurs = given.length === right.length && timingSafeEqual(given, right);
      if (!isOurs || Number(end) * 1000 < now()) return undefined;
      return rightNames.filter((name) => rights.split('+').includes(name));
    },
  };
}
