import type { Answer, LoggedRequest } from './faults.ts';
import { empty, json, refusal } from './registry-answers.ts';

export interface RegistryAuth {
  readonly scheme: 'basic' | 'bearer';
  /** Who is let in, as `user:password` or, for refresh tokens, the token; everybody by default. */
  readonly users?: readonly string[];
  /** Where tokens are had; `/token` of the origin that was asked by default. */
  readonly realm?: string;
  /** The challenges, given the one that would be enough. */
  readonly challenges?: (own: string) => readonly string[];
  /** Requests that nobody has to prove anything for. */
  readonly isPublic?: (request: LoggedRequest) => boolean;
}

export interface RegistryGuard {
  /** The refusal of a request that proves too little; undefined lets it in. */
  check(request: LoggedRequest): Answer | undefined;
  /** What the token server answers. */
  token(request: LoggedRequest): Answer;
  /** Makes every token useless that was given out so far. */
  revoke(): void;
}

/** Tokens are `canary-token-1` and so on, so that tests see who was shown which. */
export function registryGuard(auth: RegistryAuth | undefined): RegistryGuard {
  const tokens = new Map<string, readonly string[]>();
  let issued = 0;

  function isUser(request: LoggedRequest): boolean {
    const { users } = auth ?? {};
    if (!users) return true;
    const [, encoded = ''] = /^Basic (.+)$/.exec(request.headers.authorization ?? '') ?? [];
    const refresh = new URLSearchParams(request.body).get('refresh_token') ?? '';
    return users.includes(Buffer.from(encoded, 'base64').toString()) || users.includes(refresh);
  }

  return {
    check(request) {
      if (!auth || auth.isPublic?.(request)) return undefined;
      const needed = neededBy(request);
      const bearer = request.headers.authorization?.replace(/^Bearer /, '') ?? '';
      const isIn = auth.scheme === 'basic' ? isUser(request) : tokens.get(bearer)?.includes(needed);
      if (isIn) return undefined;
      const realm = auth.realm ?? `http://${request.host}/token`;
      const own =
        auth.scheme === 'basic'
          ? 'Basic realm="registry"'
          : `Bearer realm="${realm}",service="registry",scope="${needed}"`;
      return refusal(401, 'UNAUTHORIZED', { 'www-authenticate': auth.challenges?.(own) ?? [own] });
    },
    token(request) {
      if (!isUser(request)) return empty(401);
      const query = new URL(request.target, 'http://registry').searchParams;
      const scopes = [
        ...query.getAll('scope'),
        new URLSearchParams(request.body).get('scope') ?? '',
      ];
      issued += 1;
      const token = `canary-token-${issued}`;
      tokens.set(
        token,
        scopes.flatMap((scope) => scope.split(' ')),
      );
      return json(200, { token, expires_in: 300 });
    },
    revoke: () => tokens.clear(),
  };
}

function neededBy({ kind, method, repository }: LoggedRequest): string {
  if (kind === 'catalog') return 'registry:catalog:*';
  const isRead = method === 'GET' || method === 'HEAD';
  return `repository:${repository}:${isRead && kind !== 'upload' ? 'pull' : 'pull,push'}`;
}
