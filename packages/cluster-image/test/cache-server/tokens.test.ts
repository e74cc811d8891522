import { tls } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { failureOf } from '../failure.ts';
import { place } from '../place.ts';
import { type Caching, caching, token } from './caching.ts';

const main = token('main', ['read', 'write']);
const pulls = token('pull-requests', ['read', 'write'], 'pr-*');
const laptops = token('laptops', ['read']);
const release = token('release', ['read', 'write'], 'release');
const blind = token('blind', ['write'], 'blind');

async function guarded(): Promise<Caching> {
  const tokens = [main, pulls, laptops, release, blind].map(({ entry }) => entry);
  const here = await place({ 'tokens.json': JSON.stringify({ tokens }) });
  return caching(here, 'registry:cache', { tokenFile: 'tokens.json' });
}

const pr = (number: number): string => `${pulls.secret}@pr-${number}`;

describe('a token', () => {
  test('is needed, and has to be known', async () => {
    const { nx, turbo, url } = await guarded();
    const none = await nx('GET', '1');
    expect([none.status, none.text]).toEqual([401, 'a token is needed\n']);
    for (const wrong of ['wrong', `${main.secret}x`, main.secret.slice(1), main.entry.sha256]) {
      expect((await nx('GET', '1', { token: String(wrong) })).status).toBe(401);
      const put = await turbo('PUT', '1', { token: String(wrong), body: 'x' });
      expect([put.status, JSON.parse(put.text).error.code]).toEqual([401, 'unauthorized']);
    }
    expect((await turbo('GET', 'status')).status).toBe(401);
    const basic = Buffer.from(`x:${main.secret}`).toString('base64');
    const headers = { authorization: `Basic ${basic}` };
    expect((await fetch(`${url}/v1/cache/1`, { headers })).status).toBe(401);
  });

  test('that only reads stores nothing, and fails no build', async () => {
    const { nx, turbo } = await guarded();
    const body = Buffer.alloc(3_000_000, 1);
    expect((await nx('PUT', '1', { token: laptops.secret, body })).status).toBe(403);
    const put = await turbo('PUT', '1', { token: laptops.secret, body });
    expect([put.status, JSON.parse(put.text).error.code]).toEqual([403, 'forbidden']);
    expect((await nx('GET', '1', { token: main.secret })).status).toBe(404);
    await nx('PUT', '1', { token: main.secret, body: 'one' });
    expect((await nx('GET', '1', { token: laptops.secret })).text).toBe('one');
    expect((await turbo('GET', 'status', { token: laptops.secret })).status).toBe(200);
  });

  test('that only writes reads nothing, and fails no build', async () => {
    const { nx } = await guarded();
    expect((await nx('PUT', '1', { token: blind.secret, body: 'one' })).status).toBe(200);
    expect((await nx('GET', '1', { token: blind.secret })).status).toBe(404);
  });
});

describe('the scope of a token', () => {
  test('keeps what a pull request wrote from everybody else', async () => {
    const { nx } = await guarded();
    expect((await nx('PUT', '1', { token: pr(1), body: 'poison' })).status).toBe(200);
    expect((await nx('GET', '1', { token: pr(1) })).text).toBe('poison');
    for (const other of [main.secret, laptops.secret, release.secret, pr(2)]) {
      expect((await nx('GET', '1', { token: other })).status).toBe(404);
    }
    // Nor does it stand in the way of what is right.
    expect((await nx('PUT', '1', { token: main.secret, body: 'right' })).status).toBe(200);
    for (const other of [main.secret, laptops.secret, release.secret, pr(2)]) {
      expect((await nx('GET', '1', { token: other })).text).toBe('right');
    }
  });

  test('reads what is trusted first, even where it has written the same key', async () => {
    const { nx } = await guarded();
    await nx('PUT', '1', { token: pr(1), body: 'own' });
    await nx('PUT', '1', { token: main.secret, body: 'trusted' });
    expect((await nx('GET', '1', { token: pr(1) })).text).toBe('trusted');
  });

  test('is no other for Turborepo', async () => {
    const { turbo } = await guarded();
    const path = '88ddd474fa429bbe?slug=acme';
    await turbo('PUT', path, { token: pr(1), body: 'poison' });
    expect((await turbo('GET', path, { token: main.secret })).status).toBe(404);
    expect((await turbo('HEAD', path, { token: pr(2) })).status).toBe(404);
    expect((await turbo('GET', path, { token: pr(1) })).text).toBe('poison');
    await turbo('PUT', path, { token: main.secret, body: 'right' });
    expect((await turbo('GET', path, { token: pr(2) })).text).toBe('right');
  });

  test.each([
    ['that is not said', pulls.secret, 'the scope has to be said: TOKEN@SCOPE, as pr-* has it\n'],
    ['main', `${pulls.secret}@main`, 'this token is for pr-*, not for main\n'],
    ['of another', `${pulls.secret}@release`, 'this token is for pr-*, not for release\n'],
    ['of another token', `${release.secret}@main`, 'this token is for release, not for main\n'],
    [
      'that is none',
      `${pulls.secret}@pr-1/../x`,
      'the scope has to be said: TOKEN@SCOPE, as pr-* has it\n',
    ],
    [
      'that would be another tag',
      `${pulls.secret}@pr-1_nx_1`,
      'the scope has to be said: TOKEN@SCOPE, as pr-* has it\n',
    ],
  ])('is refused where it is one %s', async (_, given, why) => {
    const { nx } = await guarded();
    const answered = await nx('PUT', '1', { token: given, body: 'x' });
    expect([answered.status, answered.text]).toEqual([401, why]);
  });

  test('that stands for all does not stand for main', async () => {
    const all = token('all', ['read', 'write'], '*');
    const here = await place({ 'tokens.json': JSON.stringify({ tokens: [all.entry] }) });
    const { nx } = await caching(here, 'registry:cache', { tokenFile: 'tokens.json' });
    const body = 'x';
    expect((await nx('PUT', '1', { token: `${all.secret}@main`, body })).status).toBe(401);
    expect((await nx('PUT', '1', { token: `${all.secret}@mine`, body })).status).toBe(200);
  });
});

describe('where others than this machine come in', () => {
  const file = { 'tokens.json': JSON.stringify({ tokens: [main.entry] }) };

  test.each([
    ['no tokens and no TLS', {}],
    ['tokens and no TLS', { tokenFile: 'tokens.json' }],
    ['TLS and no tokens', { tlsCert: 'cert.pem', tlsKey: 'key.pem' }],
  ])('it takes more than %s', async (_, given) => {
    const here = await place({ ...file, 'cert.pem': tls.cert, 'key.pem': tls.key });
    const failed = await failureOf(caching(here, 'registry:cache', { host: '0.0.0.0', ...given }));
    expect([failed.code, failed.hint]).toEqual(['USAGE', expect.stringContaining('--token-file')]);
  });

  test('tokens are asked for behind a proxy that has the TLS', async () => {
    const here = await place(file);
    const given = { host: '0.0.0.0', tokenFile: 'tokens.json', allowAnyone: true };
    const { nx, url } = await caching(here, 'registry:cache', given);
    expect((await nx('GET', '1')).status).toBe(401);
    expect((await nx('GET', '1', { token: main.secret })).status).toBe(404);
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    expect((await fetch(`${url}/metrics`)).status).toBe(200);
  });
});

describe('a file of tokens', () => {
  const entry = main.entry;
  test.each([
    ['is no JSON', '{'],
    ['has no tokens', '{"tokens":[]}'],
    ['has the token itself', JSON.stringify({ tokens: [{ ...entry, token: main.secret }] })],
    ['has no digest', JSON.stringify({ tokens: [{ ...entry, sha256: main.secret.slice(1) }] })],
    ['knows other rights', JSON.stringify({ tokens: [{ ...entry, rights: ['delete'] }] })],
    ['gives no rights', JSON.stringify({ tokens: [{ ...entry, rights: [] }] })],
    ['has a scope that is none', JSON.stringify({ tokens: [{ ...entry, scope: 'Feature/X' }] })],
    ['has a name twice', JSON.stringify({ tokens: [entry, { ...laptops.entry, name: 'main' }] })],
    ['has a token twice', JSON.stringify({ tokens: [entry, { ...entry, name: 'other' }] })],
  ])('that %s is refused before anything is served', async (_, text) => {
    const here = await place({ 'tokens.json': text });
    const error = await failureOf(caching(here, 'registry:cache', { tokenFile: 'tokens.json' }));
    expect(error.code).toBe('INPUT_INVALID');
    expect(error.message).toContain('tokens.json');
    expect(error.message).not.toContain(main.secret);
  });

  test('has to be there', async () => {
    const here = await place();
    const given = { tokenFile: 'tokens.json' };
    expect((await failureOf(caching(here, 'registry:cache', given))).code).toBe('USAGE');
  });
});
