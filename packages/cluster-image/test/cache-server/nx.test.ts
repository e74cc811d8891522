import { request } from 'node:http';
import { distributionLayout } from '@cluster-image/storage';
import { noise } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { place } from '../place.ts';
import { caching } from './caching.ts';

const hash = '348203904853156842';

describe('Nx', () => {
  test('gets what was put, byte for byte, and 404 for what was not', async () => {
    const here = await place();
    const { nx } = await caching(here, 'registry:cache');
    expect((await nx('GET', hash)).status).toBe(404);
    expect((await nx('PUT', hash, { body: 'one' })).status).toBe(200);
    const found = await nx('GET', hash);
    expect([found.status, found.text]).toEqual([200, 'one']);
    expect(found.headers.get('content-type')).toBe('application/octet-stream');
    expect(found.headers.get('content-length')).toBe('3');
    expect((await nx('GET', '1')).status).toBe(404);
  });

  test('is told 409 for a key that there is, and the first write stays', async () => {
    const here = await place();
    const { nx } = await caching(here, 'registry:cache');
    await nx('PUT', hash, { body: 'one' });
    expect((await nx('PUT', hash, { body: 'two' })).status).toBe(409);
    expect((await nx('PUT', hash, { body: 'one' })).status).toBe(409);
    expect((await nx('GET', hash)).text).toBe('one');
  });

  test('gets artifacts of many megabytes and of no bytes', async () => {
    const here = await place();
    const { nx, url } = await caching(here, 'registry:cache');
    const large = noise('large', 5_000_000);
    expect((await nx('PUT', '1', { body: large })).status).toBe(200);
    const found = await fetch(`${url}/v1/cache/1`);
    expect(Buffer.from(await found.arrayBuffer()).equals(large)).toBe(true);
    expect((await nx('PUT', '2', { body: '' })).status).toBe(200);
    expect([(await nx('GET', '2')).status, (await nx('GET', '2')).text]).toEqual([200, '']);
  });

  test('is refused what is too large in the one way that fails no build', async () => {
    const here = await place();
    const { nx } = await caching(here, 'registry:cache', { maxArtifact: '1MB' });
    const large = noise('large', 4_000_000);
    expect((await nx('PUT', hash, { body: large })).status).toBe(403);
    expect((await nx('GET', hash)).status).toBe(404);
    expect((await nx('PUT', hash, { body: large.subarray(0, 1_000_000) })).status).toBe(200);
    expect(here.events).toContainEqual({
      type: 'warning',
      message: `/v1/cache/${hash}: 4000000 bytes from anyone, over 1000000 bytes`,
    });
  });

  test('may have a slash at the end of the URL, and is answered nothing else', async () => {
    const here = await place();
    const { url, nx } = await caching(here, 'registry:cache');
    await nx('PUT', hash, { body: 'one' });
    const status = async (path: string, method = 'GET'): Promise<number> =>
      (await fetch(`${url}${path}`, { method })).status;
    expect(await status(`//v1/cache/${hash}`)).toBe(200);
    expect(await status(`/v1/cache/${hash}`, 'DELETE')).toBe(405);
    for (const path of ['/v1/cache/', '/v1/cache/a/b', '/v2/', '/v1', `/v1/cache/${hash}/`]) {
      expect(await status(path)).toBe(404);
    }
  });

  test.each(['..', '%2e%2e', 'a_b', 'A', 'a'.repeat(41), 'main_nx_1', '%00', 'é'])(
    'misses %j, and stores nothing under it',
    async (odd) => {
      const here = await place();
      const { url } = await caching(here, 'registry:cache');
      // What a client would tidy up before it sends it comes as it is.
      const path = `/v1/cache/${odd.replace(/^\.\.$/, '.%2e')}`;
      const put = await fetch(`${url}${path}`, { method: 'PUT', body: 'x' });
      expect([403, 404]).toContain(put.status);
      expect((await fetch(`${url}${path}`)).status).toBe(404);
      const layout = distributionLayout(here.path('cache'));
      expect(await Array.fromAsync(layout.repositories())).toEqual([]);
    },
  );

  test('stores nothing of an upload that breaks off, nor of one without a length', async () => {
    const here = await place();
    const { url, nx } = await caching(here, 'registry:cache');
    const options = { method: 'PUT', headers: { 'content-length': '1000000' } };
    const broken = request(`${url}/v1/cache/${hash}`, options).on('error', () => {});
    broken.write(noise('part', 400_000), () => setTimeout(() => broken.destroy(), 50));
    await new Promise((resolve) => broken.once('close', resolve));
    const chunked = new Blob(['one']).stream();
    const answered = await fetch(`${url}/v1/cache/${hash}`, {
      method: 'PUT',
      body: chunked,
      duplex: 'half',
    });
    expect(answered.status).toBe(411);
    expect((await nx('GET', hash)).status).toBe(404);
  });
});
