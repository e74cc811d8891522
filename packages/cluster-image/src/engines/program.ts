import { OciError, throwIfAborted } from '@cluster-image/oci';

export interface Surroundings {
  readonly cwd: string;
  /** All that the program sees of the environment. */
  readonly variables: Readonly<Record<string, string | undefined>>;
  /** How long it may print nothing, in milliseconds. */
  readonly silence: number;
  readonly signal: AbortSignal;
}

/** The most that a program may print, in bytes: a manifest, or what it tells of its progress. */
const outputLimit = 16 * 1024 * 1024;

/**
 * What a program prints, run to its end. Throws TOOL where it is missing, fails, prints without end, or
 * is silent for too long; then it is ended with all that it started.
 */
export async function printed(
  program: string,
  args: readonly string[],
  { cwd, variables, silence, signal }: Surroundings,
): Promise<string> {
  throwIfAborted(signal);
  const { execa } = await import('execa');
  const silent = new AbortController();
  const running = execa(program, args, {
    cwd,
    env: { ...variables },
    extendEnv: false,
    stdin: 'ignore',
    maxBuffer: outputLimit,
    // A manifest is hashed to its last byte.
    stripFinalNewline: false,
    reject: false,
    cancelSignal: AbortSignal.any([signal, silent.signal]),
    killSignal: 'SIGKILL',
    // A wrapper's children may hold its output open.
    killDescendants: true,
  });
  const timer = setTimeout(() => silent.abort(), silence);
  running.stdout.on('data', () => timer.refresh());
  running.stderr.on('data', () => timer.refresh());
  const result = await running;
  clearTimeout(timer);
  throwIfAborted(signal);
  if (!result.failed) return result.stdout;
  const failed = (why: string): OciError => new OciError('TOOL', `${program} ${why}`);
  if (result.code === 'ENOENT') throw failed('is not on the PATH');
  if (silent.signal.aborted) throw failed(`was silent for over ${silence / 1000} s`);
  if (result.isMaxBuffer) throw failed(`printed over ${outputLimit} bytes`);
  throw failed(`failed: ${result.stderr.trim() || result.message}`);
}
