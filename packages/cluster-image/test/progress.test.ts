import {
  bytes,
  createContext,
  digestOf,
  type Event,
  memory,
  OciError,
  readAll,
} from '@cluster-image/oci';
import { putFixture } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { counting, forImage, reporting } from '../src/progress.ts';
import { image } from './desk.ts';
import { failureOf } from './failure.ts';

const digest = digestOf(new Uint8Array());
const blob = { type: 'blob', repository: 'a', digest, size: 10 } as const;

function watched() {
  const events: Event[] = [];
  return { events, context: createContext({ report: (event) => events.push(event) }) };
}

describe('what goes by is counted', () => {
  test('by what moved and what was there, and passed on', () => {
    const { events, context } = watched();
    const counter = counting(context);
    const all: readonly Event[] = [
      { ...blob, state: 'start' },
      { ...blob, state: 'moved', moved: 4 },
      { ...blob, state: 'moved', moved: 6 },
      { ...blob, state: 'done' },
      { ...blob, size: 7, state: 'present' },
      { type: 'stage', name: 'x' },
    ];
    for (const event of all) counter.context.report(event);
    expect([counter.count(), events]).toEqual([{ moved: 10, present: 7 }, all]);
  });

  test('for one image, whether it fails or not', async () => {
    const { events, context } = watched();
    const job = (state: 'done' | 'failed') =>
      forImage(state, context, async (counted) => {
        counted.report({ ...blob, state: 'moved', moved: 3 });
        if (state === 'failed') throw new OciError('NETWORK', 'no line');
        return 7;
      });
    expect(await job('done')).toBe(7);
    expect((await failureOf(job('failed'))).code).toBe('NETWORK');
    expect(events.filter(({ type }) => type === 'image')).toEqual([
      { type: 'image', reference: 'done', state: 'start' },
      { type: 'image', reference: 'done', state: 'done', bytes: 3 },
      { type: 'image', reference: 'failed', state: 'start' },
      { type: 'image', reference: 'failed', state: 'failed', bytes: 3, message: 'no line' },
    ]);
  });
});

test('a registry tells what is read of its blobs, all or a part', async () => {
  const registry = memory();
  await putFixture(registry, 'a', image);
  const { events, context } = watched();
  const { digest: layer, size } = image.root.config;
  const told = reporting(registry, context);
  const content = await told.blob('a', layer, size);
  expect([content?.size, events]).toEqual([size, []]);
  expect(await readAll(content ?? bytes(''), size)).toEqual(image.blobs.get(layer));
  const event = { type: 'blob', repository: 'a', digest: layer, size };
  expect(events).toEqual([
    { ...event, state: 'start' },
    { ...event, state: 'moved', moved: size },
    { ...event, state: 'done' },
  ]);
  let part = 0;
  for await (const chunk of content?.open({ start: 2, end: 5 }) ?? []) part += chunk.length;
  expect([part, events.at(-2)]).toEqual([3, { ...event, state: 'moved', moved: 3 }]);
  expect(await told.blob('a', digest)).toBeUndefined();
  expect(await told.resolve('a', image.root.digest)).toBeDefined();
});
