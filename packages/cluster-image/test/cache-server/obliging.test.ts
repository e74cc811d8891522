import { bytes, type Event, OciError } from '@cluster-image/oci';
import { describe, expect, test } from 'vitest';
import type { Artifact, Artifacts } from '../../src/cache-server/artifacts.ts';
import type { ArtifactKey } from '../../src/cache-server/keys.ts';
import { type Obliging, obliging } from '../../src/cache-server/obliging.ts';

const keyOf = (scope: string): ArtifactKey => ({ tool: 'nx', scope, team: '', hash: '1' });
const content = bytes('one');
const artifact: Artifact = { notes: {}, content, whole: async () => content };
const given = { body: content.open(), notes: {}, by: 'anyone' };

/** Artifacts that can be made to fail, behind a clock. */
function behind(times = { patience: 5_000, rest: 30_000 }) {
  const state = {
    now: 0,
    asked: 0,
    failure: undefined as Error | undefined,
    isSilent: false,
    events: [] as Event[],
  };
  const answer = async <T>(value: T): Promise<T> => {
    state.asked += 1;
    if (state.isSilent) return new Promise(() => {});
    if (state.failure) throw state.failure;
    return value;
  };
  const artifacts: Artifacts = { find: () => answer(artifact), put: () => answer(true) };
  const report = (event: Event): void => void state.events.push(event);
  const cache: Obliging = obliging(artifacts, { report }, times, () => state.now);
  return { state, cache };
}

describe('what has failed', () => {
  test('is left alone for a while, and asked again then', async () => {
    const { state, cache } = behind();
    state.failure = new OciError('NETWORK', 'gone', { hint: 'Look.' });
    expect(await cache.find([keyOf('main'), keyOf('pr-1')])).toBeUndefined();
    state.failure = undefined;
    state.now = 29_999;
    expect(await cache.find([keyOf('main')])).toBeUndefined();
    expect(await cache.put(keyOf('main'), given)).toBe('refused');
    expect(state.asked).toBe(1);
    state.now = 30_000;
    expect(await cache.find([keyOf('main')])).toBe(artifact);
    expect(await cache.put(keyOf('main'), given)).toBe('stored');
    expect(state.events).toEqual([
      { type: 'warning', message: 'nx main 1 counts as a miss: gone', hint: 'Look.' },
    ]);
  });

  test('to be written can still be read', async () => {
    const { state, cache } = behind();
    state.failure = new OciError('NO_SPACE', 'full');
    expect(await cache.put(keyOf('main'), given)).toBe('refused');
    state.failure = undefined;
    expect(await cache.put(keyOf('main'), given)).toBe('refused');
    expect(await cache.find([keyOf('main')])).toBe(artifact);
  });

  test('is a miss whatever it is that failed', async () => {
    const { state, cache } = behind();
    state.failure = new TypeError('a defect');
    expect(await cache.find([keyOf('main')])).toBeUndefined();
    expect(state.events).toEqual([
      { type: 'warning', message: 'nx main 1 counts as a miss: a defect' },
    ]);
  });
});

test('what does not answer is not waited for', async () => {
  const { state, cache } = behind({ patience: 20, rest: 30_000 });
  state.isSilent = true;
  expect(await cache.find([keyOf('main')])).toBeUndefined();
  expect(state.events).toEqual([
    { type: 'warning', message: 'nx main 1 counts as a miss: no answer in 20 ms' },
  ]);
});

test('whoever breaks off sending says nothing about where it is stored', async () => {
  const { cache } = behind();
  const reading: Artifacts = {
    find: async () => undefined,
    async put(_, { body }) {
      for await (const _ of body);
      return true;
    },
  };
  const events: Event[] = [];
  const strict = obliging(reading, { report: (event) => void events.push(event) });
  async function* broken(): AsyncIterable<Uint8Array> {
    yield new Uint8Array(3);
    throw new Error('aborted');
  }
  await expect(strict.put(keyOf('main'), { ...given, body: broken() })).rejects.toThrow('aborted');
  expect(await strict.put(keyOf('main'), given)).toBe('stored');
  expect(events).toEqual([]);
  expect(await cache.whole(artifact)).toBe(content);
});
