import { mkdir } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { codeOf } from '@cluster-image/oci';
import { temporaryDirectory } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { findProgram, type Outcome, pathWithout, runSandboxed } from '../src/sandboxed.ts';
import { contextDirectory } from './context.ts';
import { pathWith } from './tools.ts';

const signal = new AbortController().signal;

async function run(
  script: string,
  limits: { timeout?: number; outputLimit?: number; memoryLimit?: number } = {},
  stop = signal,
): Promise<Outcome> {
  const program = await findProgram('tool', await pathWith('tool', script));
  return runSandboxed(
    {
      program: program ?? '',
      args: ['a b', "$HOME'"],
      cwd: await temporaryDirectory(),
      variables: { PATH: process.env.PATH, ONLY: 'this' },
      timeout: 20_000,
      outputLimit: 100_000,
      memoryLimit: 4 * 2 ** 30,
      ...limits,
    },
    stop,
  );
}

describe('a program in the sandbox', () => {
  test('gets its arguments as they are and nothing of the environment', async () => {
    const script = `printf '%s|' "$@"; env | grep -cE '^(HOME|USER|npm_)'; echo "$ONLY"`;
    expect(await run(script)).toEqual({ type: 'ended', stdout: "a b|$HOME'|0\nthis" });
  });

  test('tells what it says of its failure, and how it ended where it says nothing', async () => {
    expect(await run('echo no >&2; exit 3')).toEqual({ type: 'failed', stderr: 'no' });
    const silent = await run('exit 3');
    expect(silent).toEqual({ type: 'failed', stopped: 'ended with exit code 3', stderr: '' });
  });

  test('is stopped with all that it has started when it takes too long', async () => {
    const started = performance.now();
    const outcome = await run('sleep 30 & sleep 30', { timeout: 300 });
    expect(outcome).toMatchObject({ type: 'failed', stopped: 'took over 0.3 s' });
    expect(performance.now() - started).toBeLessThan(10_000);
  });

  test('is stopped when it prints too much', async () => {
    const outcome = await run('while :; do echo yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy; done');
    expect(outcome).toMatchObject({ type: 'failed', stopped: 'printed over 100000 bytes' });
  });

  test.runIf(process.platform === 'linux')('gets no more memory than it may have', async () => {
    const script = `exec node -e 'Buffer.alloc(3 * 2 ** 30); console.log("had it")'`;
    expect(await run(script, { memoryLimit: 2 * 2 ** 30 })).toMatchObject({
      type: 'failed',
      stopped: 'needed over 2048 MiB of memory',
    });
    expect(await run(script, { memoryLimit: 16 * 2 ** 30 })).toEqual({
      type: 'ended',
      stdout: 'had it',
    });
  });

  test('ends with whoever asked for it', async () => {
    const stop = AbortSignal.timeout(100);
    expect(codeOf(await run('sleep 30', {}, stop).catch((error: unknown) => error))).toBe(
      'ABORTED',
    );
  });
});

describe('programs on the PATH', () => {
  test('are found in the order of its directories, and never in relative ones', async () => {
    const [first, second] = [
      await contextDirectory({ other: '' }),
      await contextDirectory({ tool: '' }),
    ];
    await mkdir(join(first, 'tool'));
    const path = ['', '.', 'bin', first, second].join(delimiter);
    expect(await findProgram('tool', path)).toBe(join(second, 'tool'));
    expect(await findProgram('tool', first)).toBe(undefined);
    expect(await findProgram('tool', undefined)).toBe(undefined);
  });

  test('are not on a PATH without them', async () => {
    const [first, second] = [
      await contextDirectory({ other: '' }),
      await contextDirectory({ tool: '' }),
    ];
    expect(await pathWithout('tool', [second, '.', first].join(delimiter))).toBe(first);
  });
});
