import { type Listening, text } from '@cluster-image/distribution';
import { OciError } from '@cluster-image/oci';
import { z } from 'zod';
import { cacheApi } from '../cache-server/api.ts';
import { artifacts } from '../cache-server/artifacts.ts';
import { obliging } from '../cache-server/obliging.ts';
import { openShelf } from '../cache-server/shelves.ts';
import { anyone, readTokens } from '../cache-server/tokens.ts';
import { type Bounds, upkeep } from '../cache-server/upkeep.ts';
import { doorShape, openDoor } from '../door.ts';
import { parseDuration } from '../durations.ts';
import { parseSize } from '../sizes.ts';
import { aborted, endpointShape, serverGrace, withDoor } from '../with-door.ts';
import { commonOptions, type Workspace } from '../workspace.ts';
import type { Verb } from './verb.ts';

/** Whoever comes in shows a token, not a password. */
const { htpasswd: _htpasswd, tokens: _tokens, anonymousPull: _anonymous, ...door } = doorShape;

const options = commonOptions.extend({
  jobs: z.int().min(1).max(64).default(32).describe('Connections to one registry at a time'),
  location: z
    .string()
    .describe('Where artifacts are kept: docker://HOST/REPOSITORY, or registry:DIR'),
  tokenFile: z
    .string()
    .optional()
    .describe('File that says whose token reads and writes what; without it everybody does'),
  maxArtifact: z
    .string()
    .default('1GB')
    .describe('The most that an artifact may have; a larger one is refused, and no build fails'),
  maxAge: z
    .string()
    .optional()
    .describe('With registry:DIR: how long an artifact stays that nobody asks for, as 30d'),
  maxSize: z
    .string()
    .optional()
    .describe('With registry:DIR: what all may take; those go first that nobody asked for longest'),
  ...door,
  host: z
    .string()
    .default('127.0.0.1')
    .describe('Address to listen at; others than this machine need TLS and tokens'),
  allowAnyone: z
    .boolean()
    .default(false)
    .describe('Listen without TLS, or without tokens, where others than this machine come in'),
  ...endpointShape,
});

type Given = z.infer<typeof options>;

export const cacheServerVerb: Verb<typeof options, { readonly url: string }> = {
  name: 'cache-server',
  summary: 'Serve a remote cache for Nx and Turborepo, kept in a registry or a directory',
  positional: ['location'],
  options,
  grace: serverGrace,
  run: (given, environment, context) => {
    const open = (workspace: Workspace): Promise<Listening> => openCache(given, workspace);
    return withDoor(given, environment, context, open, async (url) => {
      await aborted(context.signal);
      return { url: url.origin };
    });
  },
  lines: () => [],
};

async function openCache(given: Given, workspace: Workspace): Promise<Listening> {
  const { location, tokenFile, maxArtifact } = given;
  const { context, path } = workspace;
  const limit = parseSize(maxArtifact);
  const { shelf, store } = openShelf(location, workspace);
  const accessOf = tokenFile === undefined ? anyone : await readTokens(path(tokenFile));
  const stored = artifacts(shelf, (name, error) => {
    const why = error instanceof Error ? error.message : String(error);
    context.report({ type: 'warning', message: `${name} is damaged and counts as a miss: ${why}` });
  });
  const { report } = context;
  const registry = cacheApi({ artifacts: obliging(stored, context), accessOf, limit, report });
  const bounds = boundsOf(given, store !== undefined);
  const stop = store ? await upkeep(store, bounds, context) : async () => {};
  const server = await openDoor(
    { ...given, htpasswd: undefined, tokens: false, anonymousPull: false },
    workspace,
    () => ({ registry, page: async () => text('A cache for Nx and Turborepo.\n', 'text/plain') }),
    { keeper: { flag: '--token-file', isGiven: tokenFile !== undefined } },
  ).catch(async (error: unknown) => {
    await stop();
    throw error;
  });
  return {
    ...server,
    async close(grace) {
      await stop();
      await server.close(grace);
    },
  };
}

function boundsOf({ location, maxAge, maxSize }: Given, isDirectory: boolean): Bounds {
  if (!isDirectory && (maxAge ?? maxSize) !== undefined) {
    throw new OciError('USAGE', `--max-age and --max-size are for registry:DIR, not ${location}`, {
      hint: 'What lies in a registry goes by the retention rules of that registry.',
    });
  }
  return {
    ...(maxAge !== undefined && { unusedFor: parseDuration(maxAge) }),
    ...(maxSize !== undefined && { limit: parseSize(maxSize) }),
  };
}
