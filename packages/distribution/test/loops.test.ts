import { expect, test } from 'vitest';
import { empty } from '../src/answers.ts';
import { refuseLoops } from '../src/loops.ts';

test.each([
  [undefined, 200],
  ['1.1 other', 200],
  ['1.1 me', 403],
  ['1.0 other, 1.1 me (a comment), HTTP/1.1 third', 403],
  ['1.1 me-too', 200],
])('a request that came by %j is answered with %i', async (via, status) => {
  const handler = refuseLoops(async () => empty(200), 'me');
  const request = { method: 'GET', target: '/v2/', headers: { via } };
  expect((await handler(request)).status).toBe(status);
});
