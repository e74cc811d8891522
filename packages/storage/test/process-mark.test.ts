import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { expect, onTestFinished, test } from 'vitest';
import {
  formatMark,
  isGone,
  isOwn,
  ownMark,
  type ProcessMark,
  parseMark,
} from '../src/process-mark.ts';
import { leftName, parseStageName, stageName } from '../src/stage-name.ts';

test('this process is its own, and not gone', () => {
  expect(ownMark.pid).toBe(process.pid);
  expect(isOwn({ ...ownMark })).toBe(true);
  expect(isGone(ownMark)).toBe(false);
});

test('another process is not own, and gone once it has ended', async () => {
  const child = start('sleep', '60');
  const mark = markOf(child.pid ?? 0);
  expect(isOwn(mark)).toBe(false);
  expect(isGone(mark)).toBe(false);
  child.kill('SIGKILL');
  await once(child, 'exit');
  expect(isGone(mark)).toBe(true);
});

test('D06: a process with the pid of one that is gone is not that one', () => {
  expect(isGone({ ...ownMark, started: '1' })).toBe(true);
  expect(isOwn({ ...ownMark, started: '1' })).toBe(false);
});

test('a process is gone though nobody has asked after it', async () => {
  // The shell becomes a program that never asks after the shell's child.
  const parent = start('sh', '-c', 'sleep 0.01 & echo $!; exec sleep 60');
  const [pid] = await once(parent.stdout ?? parent, 'data');
  const mark = markOf(Number(String(pid)));
  while (stateOf(mark.pid) !== 'Z') await new Promise((resolve) => setTimeout(resolve, 5));
  expect(isGone(mark)).toBe(true);
});

test('D06: a process on another host or in another container is never gone', () => {
  expect(isGone({ host: 'elsewhere', pid: 2 ** 22, started: '1' })).toBe(false);
});

test('a mark without a start is judged by its pid alone', () => {
  expect(isGone({ ...ownMark, started: '' })).toBe(false);
  expect(isGone({ ...ownMark, pid: 2 ** 30, started: '' })).toBe(true);
});

test('a mark is read back as it was written, and nothing else is a mark', () => {
  expect(parseMark(formatMark(ownMark))).toEqual(ownMark);
  for (const text of ['', '~', 'host', 'host~1', 'host~x~1', '~1~1', 'host~1~1~1', 'host~-1~1']) {
    expect(parseMark(text)).toBeUndefined();
  }
});

test('the name of a staged file says what it is and who is at it', () => {
  expect(parseStageName(stageName('file'))).toEqual({ kind: 'file', mark: ownMark });
  expect(parseStageName(leftName('file'))).toEqual({ kind: 'file', mark: undefined });
  expect(stageName('file')).not.toBe(stageName('file'));
  for (const name of ['', 'file', '~x', 'file~', 'file~host~1~x', 'file~host~x~1~u', '.DS_Store']) {
    expect(parseStageName(name)).toBeUndefined();
  }
});

test('D12: the longest name of a staged file is a name that file systems take', () => {
  const longest = stageName(`sha512-${'f'.repeat(128)}`);
  expect(longest.length).toBeLessThan(255);
  expect(longest).toMatch(/^[a-z0-9~-]+$/);
});

function start(command: string, ...given: readonly string[]): ChildProcess {
  const child = spawn(command, given, { stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  return child;
}

function markOf(pid: number): ProcessMark {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return { ...ownMark, pid, started: stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '' };
}

function stateOf(pid: number): string | undefined {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[0];
}
