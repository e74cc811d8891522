import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { stripVTControlCharacters } from 'node:util';
import type { RunOptions } from './run.ts';

/** Runs a shell command in a terminal, answers what it asks, and returns what it printed. */
export async function answering(
  command: string,
  question: string,
  answer: string,
  { cwd, env = {} }: Pick<RunOptions, 'cwd' | 'env'>,
): Promise<string> {
  const child = spawn('script', ['-qec', `stty cols 200; ${command}`, '/dev/null'], {
    cwd,
    env: { ...process.env, ...env },
    timeout: 60_000,
  });
  let printed = '';
  let isAnswered = false;
  child.stdout.on('data', (chunk: Buffer) => {
    printed += stripVTControlCharacters(chunk.toString());
    if (isAnswered || !printed.includes(question)) return;
    isAnswered = true;
    child.stdin.write(`${answer}\r`);
  });
  const [code] = await once(child, 'close');
  if (code === 0) return printed;
  throw new Error(`${command} ended with ${code}\n${printed}`);
}
