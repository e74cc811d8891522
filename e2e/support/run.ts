import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** The repository. */
export const root = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');

export interface Ran {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  /** The most memory it had resident, in bytes, as sampled; 0 where it ended before. */
  readonly peak: number;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly input?: string;
  /** Told as soon as the process runs. */
  readonly started?: (child: ChildProcess) => void;
}

/** How long any one program may take, in milliseconds. */
const timeout = 150_000;

/** Runs a program to its end, whatever that is. */
export async function run(
  program: string,
  args: readonly string[],
  { cwd = root, env = {}, input = '', started }: RunOptions = {},
): Promise<Ran> {
  const child = spawn(program, args, { cwd, env: { ...process.env, ...env }, timeout });
  started?.(child);
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => err.push(chunk));
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  let peak = 0;
  const sampling = setInterval(() => {
    peak = Math.max(peak, residentPeak(child.pid));
  }, 20);
  try {
    const [code, signal] = await once(child, 'close');
    const [stdout, stderr] = [Buffer.concat(out).toString(), Buffer.concat(err).toString()];
    return { code, signal, stdout, stderr, peak };
  } finally {
    clearInterval(sampling);
  }
}

/** Runs a program that has to succeed and returns what it printed. */
export async function succeed(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const { code, signal, stdout, stderr } = await run(program, args, options);
  if (code === 0) return stdout;
  throw new Error(
    `${program} ${args.join(' ')} ended with ${code ?? signal}\n${stdout}\n${stderr}`,
  );
}

/** The command as users run it: its built files, on this Node. */
export const command = `${root}/packages/cluster-image/bin/cluster-image.js`;

export function clusterImage(args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  return run(process.execPath, [command, ...args], options);
}

/** Runs a verb that has to succeed, and returns its result. */
// biome-ignore lint/suspicious/noExplicitAny: what a verb prints is looked at by the test that ran it
export async function result(args: readonly string[], options: RunOptions = {}): Promise<any> {
  return JSON.parse(await succeed(process.execPath, [command, ...args, '--json'], options));
}

/** The JSON that a URL answers with. */
// biome-ignore lint/suspicious/noExplicitAny: looked at by the test that asked
export async function ask(url: string): Promise<any> {
  return (await fetch(url)).json();
}

function residentPeak(pid: number | undefined): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}
