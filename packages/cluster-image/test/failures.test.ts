import { OciError } from '@cluster-image/oci';
import { describe, expect, test } from 'vitest';
import { exitCode } from '../src/exit-code.ts';
import { everyOne } from '../src/failures.ts';
import { failureOf } from './failure.ts';

type Outcome = string | Error;

function run(outcomes: Readonly<Record<string, Outcome>>): Promise<readonly string[]> {
  return everyOne(
    Object.entries(outcomes),
    ([name]) => name,
    async ([, outcome]) => {
      if (outcome instanceof Error) throw outcome;
      return outcome;
    },
  );
}

const network = new OciError('NETWORK', 'no line', { hint: 'Look at the cable.' });
const denied = new OciError('DENIED', 'no way');
const aborted = new OciError('ABORTED', 'interrupted');

describe('doing something with every one', () => {
  test('gives what comes of it, in order', async () => {
    expect(await run({ a: '1', b: '2' })).toEqual(['1', '2']);
    expect(await run({})).toEqual([]);
  });

  test('waits for the others when one fails, and names that one', async () => {
    const finished: string[] = [];
    const work = everyOne(
      ['bad', 'good'],
      (name) => name,
      async (name) => {
        if (name === 'bad') throw network;
        await new Promise((resolve) => setImmediate(resolve));
        finished.push(name);
      },
    );
    const error = await failureOf(work);
    expect([error.code, error.message, error.hint, error.cause]).toEqual([
      'NETWORK',
      'bad: no line',
      'Look at the cable.',
      network,
    ]);
    expect(finished).toEqual(['good']);
  });

  test('lists several failures', async () => {
    const error = await failureOf(run({ a: network, b: '1', c: denied, d: new Error('odd') }));
    expect([error.code, error.message, error.hint]).toEqual([
      'SOME_FAILED',
      '3 of 4 failed:\n  a: no line\n  c: no way\n  odd',
      'Look at the cable.',
    ]);
  });

  test('is interrupted before it has failed', async () => {
    expect(await failureOf(run({ a: network, b: aborted, c: denied }))).toBe(aborted);
  });

  test('leaves errors that are no failures of ours as they are', async () => {
    const bug = new TypeError('x is undefined');
    await expect(run({ a: bug })).rejects.toBe(bug);
  });
});

describe('what the process exits with', () => {
  test.each([
    ['USAGE', 2],
    ['REFERENCE_INVALID', 2],
    ['PLATFORM_INVALID', 2],
    ['DIGEST_MISMATCH', 3],
    ['SIZE_MISMATCH', 3],
    ['DIGEST_INVALID', 3],
    ['MANIFEST_INVALID', 3],
    ['ARCHIVE_INVALID', 3],
    ['UNAUTHORIZED', 4],
    ['DENIED', 4],
    ['NETWORK', 5],
    ['TIMEOUT', 5],
    ['TOO_MANY_REQUESTS', 5],
    ['UPSTREAM', 5],
    ['ABORTED', 130],
    ['INPUT_INVALID', 1],
    ['NOT_FOUND', 1],
    ['LOCK_DRIFT', 1],
    ['CONFLICT', 1],
    ['UNSUPPORTED', 1],
    ['NO_SPACE', 1],
    ['FILE_SYSTEM', 1],
    ['TOOL', 1],
    ['SOME_FAILED', 1],
  ] as const)('P11: %s is %i', (code, exit) => {
    expect(exitCode(new OciError(code, 'x'))).toBe(exit);
  });

  test('several failures of one kind are that kind, of different kinds just failures', async () => {
    expect(exitCode(await failureOf(run({ a: network, b: network })))).toBe(5);
    expect(exitCode(await failureOf(run({ a: network, b: denied })))).toBe(1);
    expect(exitCode(await failureOf(run({ a: network, b: new Error('x') })))).toBe(1);
  });

  test('an error that is none of ours is 1', () => {
    expect(exitCode(new TypeError('x'))).toBe(1);
    expect(exitCode('x')).toBe(1);
  });
});
