import { delimiter, isAbsolute, join } from 'node:path';
import { throwIfAborted } from '@cluster-image/oci';
import { file } from '@cluster-image/storage';

/** A program to run over files that nobody vouches for. */
export interface SandboxedProgram {
  /** Its path, as `findProgram` tells it. */
  readonly program: string;
  readonly args: readonly string[];
  readonly cwd: string;
  /** All that it sees of the environment. */
  readonly variables: Readonly<Record<string, string | undefined>>;
  /** How long it may take, in milliseconds. */
  readonly timeout: number;
  /** How much it may print, in bytes. */
  readonly outputLimit: number;
  /** How much memory it may ask for, in bytes; for what the system has no limits of, this is none. */
  readonly memoryLimit: number;
}

export type Outcome =
  | { readonly type: 'ended'; readonly stdout: string }
  | {
      readonly type: 'failed';
      /** Why it was stopped, in a few words; absent where what it said is all there is to know. */
      readonly stopped?: string;
      readonly stderr: string;
    };

/**
 * Runs a program to its end. It and whatever it has started are killed where it takes too long or
 * prints too much. Throws where it was aborted.
 */
export async function runSandboxed(
  { program, args, cwd, variables, timeout, outputLimit, memoryLimit }: SandboxedProgram,
  signal: AbortSignal,
): Promise<Outcome> {
  throwIfAborted(signal);
  // Loaded now, for a context may have nothing to run.
  const { execa } = await import('execa');
  const { command, before } = limited(program, memoryLimit);
  const result = await execa(command, [...before, ...args], {
    cwd,
    env: variables,
    extendEnv: false,
    stdin: 'ignore',
    timeout,
    maxBuffer: outputLimit,
    reject: false,
    cancelSignal: signal,
    killSignal: 'SIGKILL',
    // A wrapper's children may hold its output open.
    killDescendants: true,
  });
  throwIfAborted(signal);
  const { stdout, stderr } = result;
  // It may have ended well itself, and left its output to one that had to be stopped.
  if (!result.failed) return { type: 'ended', stdout };
  const failed = (stopped: string): Outcome => ({ type: 'failed', stopped, stderr });
  if (result.timedOut) return failed(`took over ${timeout / 1000} s`);
  if (result.isMaxBuffer) return failed(`printed over ${outputLimit} bytes`);
  if (isOutOfMemory(stderr)) return failed(`needed over ${memoryLimit / 2 ** 20} MiB of memory`);
  if (stderr.trim() !== '') return { type: 'failed', stderr };
  const how = result.signal === undefined ? `exit code ${result.exitCode}` : result.signal;
  return failed(`ended with ${how}`);
}

/** Memory can be limited by a shell alone; a constant one, to which the program is but arguments. */
function limited(
  program: string,
  memoryLimit: number,
): { readonly command: string; readonly before: readonly string[] } {
  if (process.platform === 'win32') return { command: program, before: [] };
  // What is written to counts, and not what is only reserved, as runtimes do by the gigabyte.
  const script = 'ulimit -d "$1" 2>/dev/null; shift; exec "$@"';
  const kibibytes = String(Math.floor(memoryLimit / 1024));
  return { command: '/bin/sh', before: ['-c', script, 'sh', kibibytes, program] };
}

/** As programs in Go say it, and those on Node. */
function isOutOfMemory(stderr: string): boolean {
  return /out of memory|cannot allocate memory|failed to reserve page summary|Allocation failed/i.test(
    stderr,
  );
}

/** The path of a program that is on the PATH; what is relative there, to wherever, does not count. */
export async function findProgram(name: string, path = ''): Promise<string | undefined> {
  for (const directory of searched(path)) {
    const found = await programIn(directory, name);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** A PATH on which a program is not. */
export async function pathWithout(name: string, path = ''): Promise<string> {
  const left: string[] = [];
  for (const directory of searched(path)) {
    if ((await programIn(directory, name)) === undefined) left.push(directory);
  }
  return left.join(delimiter);
}

function searched(path: string): readonly string[] {
  return path.split(delimiter).filter((directory) => isAbsolute(directory));
}

async function programIn(directory: string, name: string): Promise<string | undefined> {
  const endings = process.platform === 'win32' ? ['.exe', '.cmd', '.bat'] : [''];
  for (const ending of endings) {
    const program = join(directory, `${name}${ending}`);
    const isThere = await file(program).then(
      (found) => found !== undefined,
      // What is no file, or cannot be looked at, cannot be run.
      () => false,
    );
    if (isThere) return program;
  }
  return undefined;
}
