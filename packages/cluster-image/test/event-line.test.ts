import { digestOf, type Event } from '@cluster-image/oci';
import { expect, test } from 'vitest';
import { eventLine } from '../src/event-line.ts';

const digest = digestOf(new Uint8Array());
const image = { type: 'image', reference: 'a:1' } as const;

const lines: readonly (readonly [Event, string | undefined])[] = [
  [{ ...image, state: 'start' }, undefined],
  [{ ...image, state: 'done', bytes: 0 }, undefined],
  [{ ...image, state: 'done' }, undefined],
  [{ ...image, state: 'done', bytes: 1500 }, '  1.50 kB  a:1'],
  [{ ...image, state: 'failed', bytes: 3, message: 'no line' }, '  failed   a:1: no line'],
  [
    { type: 'retry', host: 'a.io', wait: 1250, reason: '503' },
    expect.stringMatching(/^ {2}waiting 1\.[23] s for a\.io: 503$/),
  ],
  [{ type: 'warning', message: 'odd' }, 'warning: odd'],
  [{ type: 'warning', message: 'odd', hint: 'Look.' }, 'warning: odd. Look.'],
  [{ type: 'listening', url: 'http://x' }, 'serving on http://x'],
  [{ type: 'stage', name: 'cache', total: 3 }, undefined],
  [{ type: 'blob', repository: 'a', digest, size: 3, state: 'moved', moved: 3 }, undefined],
];

test.each(lines)('%j is worth %j', (event, line) => {
  expect(eventLine(event)).toEqual(line);
});
