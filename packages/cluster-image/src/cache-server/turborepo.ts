import { json, type ServerRequest, type ServerResponse } from '@cluster-image/distribution';
import type { CacheApi } from './api.ts';
import type { Artifact, Notes } from './artifacts.ts';
import { type ArtifactKey, isHash } from './keys.ts';
import { bodyOf, drain, lengthOf } from './request-body.ts';
import type { Access } from './tokens.ts';

/** What Turborepo says of an artifact when it sends it, and wants to hear with it. */
const noteNames = ['duration', 'tag', 'sha', 'dirty-hash'].map((name) => `x-artifact-${name}`);

/** The most that one of them may have, in characters. */
const longestNote = 600;

/** Turborepo's API, version 8. https://turborepo.dev/docs/openapi */
export async function answerTurborepo(
  api: CacheApi,
  name: string,
  access: Access,
  request: ServerRequest,
): Promise<ServerResponse> {
  const { method } = request;
  if (name === 'status' && method === 'GET') return json({ status: 'enabled' });
  if (name === 'events' && method === 'POST') {
    await drain(bodyOf(request));
    return json({});
  }
  const team = teamIn(request.target);
  const keyIn = (scope: string): ArtifactKey => ({ tool: 'turbo', scope, team, hash: name });
  switch (method) {
    case 'GET':
    case 'HEAD':
      return get(api, isHash(name) ? access.reads.map(keyIn) : [], method);
    case 'PUT':
      return put(api, isHash(name) ? access.writes : undefined, keyIn, access, request);
    default:
      return refused(405, 'method_not_allowed', 'only GET, HEAD and PUT are possible here');
  }
}

/** Whose artifacts are meant. What is said in another way is another team. */
function teamIn(target: string): string {
  const query = new URLSearchParams(target.split('?')[1] ?? '');
  const team = new URLSearchParams();
  for (const name of ['slug', 'teamId']) {
    const value = query.get(name);
    if (value) team.set(name, value);
  }
  return team.toString();
}

async function get(
  { artifacts }: CacheApi,
  keys: readonly ArtifactKey[],
  method: string,
): Promise<ServerResponse> {
  const found = await artifacts.find(keys);
  if (!found) return refused(404, 'not_found', 'no such artifact');
  return {
    status: 200,
    headers: {
      'content-type': 'application/octet-stream',
      'content-length': String(found.content.size),
      ...headersOf(found),
    },
    // It takes a body that breaks off for a miss.
    ...(method === 'GET' && { body: { content: found.content } }),
  };
}

function headersOf({ notes }: Artifact): Notes {
  return Object.fromEntries(Object.entries(notes).filter(([name]) => noteNames.includes(name)));
}

async function put(
  { artifacts, limit }: CacheApi,
  scope: string | undefined,
  keyIn: (scope: string) => ArtifactKey,
  { name }: Access,
  request: ServerRequest,
): Promise<ServerResponse> {
  const body = bodyOf(request);
  const answered = async (): Promise<ServerResponse> => {
    const size = lengthOf(request);
    const notes = notesIn(request);
    if (scope === undefined) return refused(403, 'forbidden', 'this token does not write');
    if (size === undefined) return refused(411, 'bad_request', 'say how long it is');
    if (size > limit) return refused(413, 'bad_request', `over ${limit} bytes`);
    if (!notes) return refused(400, 'bad_request', 'a header is no text, or too long');
    switch (await artifacts.put(keyIn(scope), { body, notes, by: name })) {
      case 'stored':
        return json({ urls: [] });
      case 'exists':
        return refused(409, 'conflict', 'it is there already');
      case 'refused':
        return refused(503, 'unavailable', 'it cannot be stored');
    }
  };
  const answer = await answered();
  await drain(body);
  return answer;
}

/** Undefined where there is something that nobody would send. */
function notesIn({ headers }: ServerRequest): Notes | undefined {
  const said = noteNames.flatMap((name) => {
    const value = headers[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  const isText = said.every(
    ([, value]) => /^[\x20-\x7e]*$/.test(value) && value.length <= longestNote,
  );
  return isText ? Object.fromEntries(said) : undefined;
}

/** What is wrong, as Turborepo reads it. */
export function refused(status: number, code: string, message: string): ServerResponse {
  return { ...json({ error: { code, message } }), status };
}
