import {
  type GuardOptions,
  guard,
  type Right,
  type ServerRequest,
} from '@cluster-image/distribution';
import { memory, type RegistryReader } from '@cluster-image/oci';
import { imageFixture, putFixture } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { handler } from '../src/handler.ts';
import { listen } from '../src/listen.ts';
import { clientOf } from './client.ts';

const users: Readonly<Record<string, readonly Right[]>> = {
  'reader:one': ['pull'],
  'writer:with:colon': ['pull', 'push'],
};

function guarded(options: Partial<GuardOptions> = {}) {
  const rightsOf = async (user: string, password: string) => users[`${user}:${password}`];
  return guard(async () => ({ status: 200, headers: {} }), { rightsOf, ...options });
}

const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`;

function request(method: string, authorization?: string, target = '/v2/a/manifests/1') {
  const headers = { ...(authorization !== undefined && { authorization }) };
  return { method, target, headers } satisfies ServerRequest;
}

describe('names and passwords', () => {
  test.each<[string, string | undefined, number]>([
    ['GET', undefined, 401],
    ['GET', basic('reader:one'), 200],
    ['HEAD', basic('reader:one'), 200],
    ['PUT', basic('reader:one'), 403],
    ['PUT', basic('writer:with:colon'), 200],
    ['DELETE', basic('writer:with:colon'), 403],
    ['GET', basic('reader:two'), 401],
    ['GET', basic('reader'), 401],
    ['GET', basic(':one'), 401],
    ['GET', 'Basic', 401],
    ['GET', 'Basic !!!', 401],
    ['GET', 'Bearer x', 401],
    ['GET', `Digest ${basic('reader:one').slice(6)}`, 401],
  ])('%s with %s is answered with %i', async (method, authorization, status) => {
    const answer = await guarded()(request(method, authorization));
    expect(answer.status).toBe(status);
    const asks = answer.headers['www-authenticate'];
    expect(asks).toBe(status === 401 ? 'Basic realm="cluster-image"' : undefined);
  });

  test('are not asked for what anyone may do', async () => {
    const open = guarded({ anyone: ['pull'] });
    expect((await open(request('GET'))).status).toBe(200);
    expect((await open(request('PUT'))).status).toBe(401);
  });
});

const tokens = new URL('http://registry.example/token');

async function tokenOf(
  handle: ReturnType<typeof guarded>,
  authorization?: string,
): Promise<string | undefined> {
  const answer = await handle(request('GET', authorization, '/token?service=cluster-image'));
  const [chunk] = await Array.fromAsync(answer.body?.content.open() ?? []);
  const body = JSON.parse(Buffer.from(chunk ?? []).toString());
  return answer.status === 200 ? body.token : undefined;
}

describe('tokens', () => {
  test('are asked for with the scope that is needed', async () => {
    const handle = guarded({ tokens });
    const asked = async (method: string): Promise<string | undefined> =>
      (await handle(request(method))).headers['www-authenticate'];
    const bearer = 'Bearer realm="http://registry.example/token",service="cluster-image"';
    expect(await asked('GET')).toBe(`${bearer},scope="repository:a:pull"`);
    expect(await asked('PUT')).toBe(`${bearer},scope="repository:a:pull,push"`);
    expect((await handle(request('GET', undefined, '/v2/'))).headers['www-authenticate']).toBe(
      bearer,
    );
    expect((await handle(request('POST', undefined, '/token'))).status).toBe(405);
  });

  test('give the rights of who asked, for five minutes', async () => {
    let clock = 1_000_000;
    const handle = guarded({ tokens, now: () => clock });
    const token = await tokenOf(handle, basic('reader:one'));
    expect(token).toBeDefined();
    expect((await handle(request('GET', `Bearer ${token}`))).status).toBe(200);
    expect((await handle(request('PUT', `Bearer ${token}`))).status).toBe(401);
    clock += 301_000;
    expect((await handle(request('GET', `Bearer ${token}`))).status).toBe(401);
    expect(await tokenOf(handle, basic('reader:two'))).toBeUndefined();
  });

  test('give nothing to nobody, and to anybody what anyone may do', async () => {
    const strict = guarded({ tokens });
    const none = await tokenOf(strict);
    expect((await strict(request('GET', `Bearer ${none}`))).status).toBe(401);
    const open = guarded({ tokens, anyone: ['pull'] });
    const some = await tokenOf(open);
    expect((await open(request('GET', `Bearer ${some}`))).status).toBe(200);
    expect((await open(request('PUT', `Bearer ${some}`))).status).toBe(401);
  });

  test('that were changed or made elsewhere are none', async () => {
    const handle = guarded({ tokens });
    const token = (await tokenOf(handle, basic('reader:one'))) ?? '';
    const [end, , signature] = token.split('.');
    const forged = [
      `${end}.pull+push.${signature}`,
      `${Number(end) + 1000}.pull.${signature}`,
      `${token}x`,
      token.slice(0, -1),
      '',
      await tokenOf(guarded({ tokens }), basic('reader:one')),
    ];
    for (const other of forged) {
      expect((await handle(request('GET', `Bearer ${other}`))).status).toBe(401);
    }
  });
});

test.each(['basic', 'token'])('our own client logs in by %s', async (kind) => {
  const registry = memory();
  const image = imageFixture();
  await putFixture(registry, 'a', image, '1');
  const rightsOf = async (user: string, password: string) => users[`${user}:${password}`];
  const inner = handler(registry, { pushes: registry });
  let outer = guard(inner, { rightsOf });
  const listening = await listen((request) => outer(request));
  const url = new URL('/token', listening.url);
  if (kind === 'token') outer = guard(inner, { rightsOf, tokens: url });
  const who = (text: string): RegistryReader => {
    const [username = '', ...rest] = text.split(':');
    const credential = { source: 'test', basic: { username, password: rest.join(':') } };
    return clientOf(listening.url, { credentials: async () => credential }).registry();
  };
  try {
    expect((await who('reader:one').resolve('a', '1'))?.digest).toBe(image.root.digest);
    await expect(who('reader:two').resolve('a', '1')).rejects.toMatchObject({
      code: 'UNAUTHORIZED',
    });
  } finally {
    await listening.close(0);
  }
});
