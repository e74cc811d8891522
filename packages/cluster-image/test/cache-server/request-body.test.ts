import { expect, test } from 'vitest';
import { bodyOf, drain } from '../../src/cache-server/request-body.ts';

test('what is left of a body by who gives up is taken in, so that there is an answer', async () => {
  let taken = 0;
  let isClosed = false;
  async function* sent(): AsyncIterable<Uint8Array> {
    try {
      for (; taken < 10; taken += 1) yield new Uint8Array(3);
    } finally {
      isClosed = true;
    }
  }
  const body = bodyOf({ method: 'PUT', target: '/', headers: {}, body: sent() });
  for await (const chunk of body) {
    expect(chunk).toHaveLength(3);
    break;
  }
  expect([taken, isClosed]).toEqual([0, false]);
  await drain(body);
  expect([taken, isClosed]).toEqual([10, true]);
  await drain(bodyOf({ method: 'GET', target: '/', headers: {} }));
});
