import { constants } from 'node:os';
import { type Context, OciError } from '@cluster-image/oci';
import { z } from 'zod';
import type { Environment } from '../environment.ts';
import { serverOptions, withServer } from '../server.ts';
import type { Verb } from './verb.ts';

const options = serverOptions.extend({
  command: z.array(z.string()).min(1).describe('What to run, and its arguments'),
});

interface Ended {
  readonly url: string;
  /** What the command exited with; 128 and the number of the signal that ended it, as shells have it. */
  readonly exitCode: number;
}

export const withRegistryVerb: Verb<typeof options, Ended> = {
  name: 'with-registry',
  summary: 'Run a command beside a registry that ends with it',
  positional: ['locations'],
  rest: 'command',
  options,
  // The command says when it is done.
  grace: Number.POSITIVE_INFINITY,
  run: async (given, environment, context) =>
    withServer(given, environment, context, async (url) => {
      const variables = {
        ...environment.variables,
        CLUSTER_IMAGE_REGISTRY: url.host,
        CLUSTER_IMAGE_REGISTRY_URL: url.origin,
      };
      const exitCode = await runCommand(given.command, { ...environment, variables }, context);
      return { url: url.origin, exitCode };
    }),
  lines: () => [],
  exitCode: ({ exitCode }) => exitCode,
};

/** Runs a command to its end, however long that takes; it has the terminal, and is sent what signals come. */
async function runCommand(
  [program = '', ...args]: readonly string[],
  { cwd, variables }: Environment,
  { signal }: Context,
): Promise<number> {
  const { execa } = await import('execa');
  const running = execa(program, args, {
    cwd,
    env: { ...variables },
    extendEnv: false,
    stdio: 'inherit',
    reject: false,
  });
  const passOn = (): void => {
    const name = signalOf(signal.reason);
    // Whoever types it at a terminal sends it to all that run there.
    if (name !== 'SIGINT' || !process.stdin.isTTY) running.kill(name);
  };
  if (signal.aborted) passOn();
  signal.addEventListener('abort', passOn, { once: true });
  const result = await running;
  signal.removeEventListener('abort', passOn);
  if (result.exitCode !== undefined) return result.exitCode;
  if (result.signal !== undefined) return 128 + constants.signals[result.signal];
  const why = result.code === 'ENOENT' ? 'is not on the PATH' : `cannot be run (${result.code})`;
  throw new OciError('TOOL', `${program} ${why}`, {
    cause: result.cause,
    hint: 'Give a program and its arguments after --.',
  });
}

function signalOf(reason: unknown): NodeJS.Signals {
  return reason === 'SIGINT' || reason === 'SIGHUP' ? reason : 'SIGTERM';
}
