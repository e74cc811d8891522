import type { Listening } from '@cluster-image/distribution';
import { bytes, type Context, throwIfAborted } from '@cluster-image/oci';
import { saveFile } from '@cluster-image/storage';
import { z } from 'zod';
import type { Environment } from './environment.ts';
import { type Asking, type CommonOptions, type Workspace, withWorkspace } from './workspace.ts';

/** Where others learn that a server is there. */
export const endpointShape = {
  endpointFile: z.string().optional().describe('File to write the URL to once it is being served'),
};

/** How long clients are answered to the end once the server is to stop, in milliseconds. */
const grace = 30_000;

/** How long a process may take to stop that serves, in milliseconds. */
export const serverGrace = grace + 2_000;

/** How long an upstream may ask to wait before clients are told to do so themselves, in milliseconds. */
const longestWait = 10_000;

interface DoorGiven extends CommonOptions, Pick<Asking, 'via'> {
  readonly endpointFile?: string | undefined;
}

/**
 * Does something while a door is open, with its URL, and closes it then: what is being answered is
 * answered to the end, for half a minute at most.
 */
export async function withDoor<T>(
  given: DoorGiven,
  environment: Environment,
  context: Context,
  open: (workspace: Workspace) => Promise<Listening>,
  job: (url: URL) => Promise<T>,
): Promise<T> {
  throwIfAborted(context.signal);
  // Whoever is being answered when the server is to stop may need upstreams for it.
  const work = new AbortController();
  const stop = (): void => work.abort(context.signal.reason);
  context.signal.addEventListener('abort', stop, { once: true });
  const working = { ...context, signal: work.signal };
  return withWorkspace(environment, { ...given, longestWait }, working, '.', async (workspace) => {
    const server = await open(workspace);
    context.signal.removeEventListener('abort', stop);
    try {
      if (given.endpointFile !== undefined) {
        await saveFile(workspace.path(given.endpointFile), bytes(`${server.url.origin}\n`));
      }
      context.report({ type: 'listening', url: server.url.origin });
      return await job(server.url);
    } finally {
      await server.close(grace);
      // What nobody waits for any more is given up.
      work.abort();
    }
  });
}

/** Returns once the server is to stop. */
export async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
}
