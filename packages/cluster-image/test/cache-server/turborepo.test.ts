import { noise } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { place } from '../place.ts';
import { caching } from './caching.ts';

const hash = '88ddd474fa429bbe';

describe('Turborepo', () => {
  test('is told that there is a cache, and its events are taken', async () => {
    const { turbo } = await caching(await place(), 'registry:cache');
    const status = await turbo('GET', 'status?slug=acme');
    expect([status.status, JSON.parse(status.text)]).toEqual([200, { status: 'enabled' }]);
    const events = await turbo('POST', 'events?slug=acme', { body: '[{"event":"MISS"}]' });
    expect(events.status).toBe(200);
  });

  test('gets an artifact with what it said of it, and asks without one by HEAD', async () => {
    const { turbo } = await caching(await place(), 'registry:cache');
    const notes = {
      'x-artifact-duration': '191',
      'x-artifact-tag': 'c2lnbmF0dXJl+/=',
      'x-artifact-sha': '83ae8ddd6a789c72c1cbc6b63d53ee361d332145',
      'x-artifact-dirty-hash': 'abc',
    };
    const body = noise('turbo', 2_000_000);
    expect((await turbo('HEAD', `${hash}?slug=acme`)).status).toBe(404);
    const put = await turbo('PUT', `${hash}?slug=acme`, { body, headers: notes });
    expect([put.status, JSON.parse(put.text)]).toEqual([200, { urls: [] }]);
    const head = await turbo('HEAD', `${hash}?slug=acme`);
    expect([head.status, head.headers.get('content-length')]).toEqual([200, '2000000']);
    const { url } = await caching(await place(), 'registry:cache');
    expect((await fetch(`${url}/v8/artifacts/${hash}?slug=acme`)).status).toBe(404);
    const got = await turbo('GET', `${hash}?slug=acme`);
    for (const [name, value] of Object.entries(notes)) {
      expect([head.headers.get(name), got.headers.get(name)]).toEqual([value, value]);
    }
    expect(got.headers.get('token')).toBeNull();
  });

  test('never mixes teams, nor its artifacts with those of Nx', async () => {
    const { turbo, nx } = await caching(await place(), 'registry:cache');
    const teams = ['', '?slug=acme', '?slug=acme2', '?teamId=acme', '?slug=acme&teamId=acme'];
    for (const team of teams) {
      expect((await turbo('GET', `${hash}${team}`)).status).toBe(404);
      expect((await turbo('PUT', `${hash}${team}`, { body: `of ${team}` })).status).toBe(200);
    }
    for (const team of teams) {
      expect((await turbo('GET', `${hash}${team}`)).text).toBe(`of ${team}`);
    }
    // The order of a query says nothing.
    expect((await turbo('GET', `${hash}?teamId=acme&x=1&slug=acme`)).text).toBe(
      'of ?slug=acme&teamId=acme',
    );
    expect((await nx('GET', hash)).status).toBe(404);
  });

  test('does not write over what there is', async () => {
    const { turbo } = await caching(await place(), 'registry:cache');
    await turbo('PUT', hash, { body: 'one', headers: { 'x-artifact-tag': 'right' } });
    const again = await turbo('PUT', hash, { body: 'two', headers: { 'x-artifact-tag': 'wrong' } });
    expect([again.status, JSON.parse(again.text).error.code]).toEqual([409, 'conflict']);
    const got = await turbo('GET', hash);
    expect([got.text, got.headers.get('x-artifact-tag')]).toEqual(['one', 'right']);
  });

  test.each([
    ['a body over the limit', 413, { body: noise('large', 2_000_000) }],
    ['a note that is too long', 400, { body: 'x', headers: { 'x-artifact-tag': 'a'.repeat(601) } }],
    ['a note that is no text', 400, { body: 'x', headers: { 'x-artifact-tag': 'é' } }],
  ])('is refused %s', async (_, status, given) => {
    const { turbo } = await caching(await place(), 'registry:cache', { maxArtifact: '1MB' });
    const answered = await turbo('PUT', hash, given);
    expect([answered.status, JSON.parse(answered.text).error.code]).toEqual([
      status,
      'bad_request',
    ]);
    expect((await turbo('GET', hash)).status).toBe(404);
  });
});
