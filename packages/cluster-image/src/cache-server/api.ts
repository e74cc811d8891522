import { type Handler, text } from '@cluster-image/distribution';
import type { Context } from '@cluster-image/oci';
import { answerNx } from './nx.ts';
import type { Obliging } from './obliging.ts';
import type { AccessOf } from './tokens.ts';
import { answerTurborepo, refused } from './turborepo.ts';

export interface CacheApi extends Pick<Context, 'report'> {
  readonly artifacts: Obliging;
  readonly accessOf: AccessOf;
  /** The most that an artifact may have, in bytes. */
  readonly limit: number;
}

/** Answers Nx and Turborepo, each in its own way. */
export function cacheApi(api: CacheApi): Handler {
  return async (request) => {
    const path = (request.target.split('?')[0] ?? '').replace(/^\/+/, '/');
    const [, nx] = /^\/v1\/cache\/([^/]+)$/.exec(path) ?? [];
    const [, turborepo] = /^\/v8\/artifacts\/([^/]+)$/.exec(path) ?? [];
    if (nx === undefined && turborepo === undefined) {
      return { ...text('no such endpoint\n', 'text/plain'), status: 404 };
    }
    const access = api.accessOf(request.headers.authorization);
    if (typeof access === 'string') {
      if (turborepo !== undefined) return refused(401, 'unauthorized', access);
      // Nx shows the text of this very type, and of no other.
      return { ...text(`${access}\n`, 'text/plain'), status: 401 };
    }
    if (turborepo !== undefined) return answerTurborepo(api, turborepo, access, request);
    return answerNx(api, nx ?? '', access, request);
  };
}
