import { empty, type ServerRequest, type ServerResponse, text } from '@cluster-image/distribution';
import type { CacheApi } from './api.ts';
import { type ArtifactKey, isHash } from './keys.ts';
import { bodyOf, drain, lengthOf } from './request-body.ts';
import type { Access } from './tokens.ts';

/**
 * Nx's own API. Whatever else than 200 and 404 for reading, or 200, 409 and 403 for writing, fails the
 * build that asks. https://nx.dev/docs/guides/tasks--caching/self-hosted-caching
 */
export async function answerNx(
  api: CacheApi,
  hash: string,
  access: Access,
  request: ServerRequest,
): Promise<ServerResponse> {
  const keyIn = (scope: string): ArtifactKey => ({ tool: 'nx', scope, team: '', hash });
  switch (request.method) {
    case 'GET':
      return get(api, isHash(hash) ? access.reads.map(keyIn) : []);
    case 'PUT':
      return put(api, isHash(hash) ? access.writes : undefined, keyIn, access, request);
    default:
      return said(405, 'only GET and PUT are possible here', { allow: 'GET, PUT' });
  }
}

async function get({ artifacts }: CacheApi, keys: readonly ArtifactKey[]): Promise<ServerResponse> {
  const found = await artifacts.find(keys);
  // A body that breaks off would fail the build.
  const content = found && (await artifacts.whole(found));
  if (!content) return said(404, 'no such artifact');
  return {
    status: 200,
    headers: {
      'content-type': 'application/octet-stream',
      'content-length': String(content.size),
    },
    body: { content },
  };
}

async function put(
  { artifacts, limit, report }: CacheApi,
  scope: string | undefined,
  keyIn: (scope: string) => ArtifactKey,
  { name }: Access,
  request: ServerRequest,
): Promise<ServerResponse> {
  const size = lengthOf(request);
  if (size === undefined) return said(411, 'say how long it is');
  const body = bodyOf(request);
  if (scope === undefined || size > limit) {
    const why = scope === undefined ? 'this token does not write' : `over ${limit} bytes`;
    if (scope !== undefined) {
      report({ type: 'warning', message: `${request.target}: ${size} bytes from ${name}, ${why}` });
    }
    await drain(body);
    return said(403, why);
  }
  const outcome = await artifacts.put(keyIn(scope), { body, notes: {}, by: name });
  await drain(body);
  if (outcome === 'stored') return empty(200);
  return outcome === 'exists' ? said(409, 'it is there already') : said(403, 'it cannot be stored');
}

function said(
  status: number,
  why: string,
  headers: Readonly<Record<string, string>> = {},
): ServerResponse {
  return { ...text(`${why}\n`, 'text/plain', headers), status };
}
