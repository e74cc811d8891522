import { handler, type ServerRequest } from '@cluster-image/distribution';
import {
  bytes,
  codeOf,
  type Digest,
  digestOf,
  memory,
  OciError,
  type Registry,
  type Spool,
} from '@cluster-image/oci';
import { noise } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { uploads } from '../src/uploads.ts';
import { type Answered, ask, sent } from './asking.ts';

const body = noise('upload', 1000);
const digest = digestOf(body);
const start = '/v2/team/app/blobs/uploads/';

interface Serving {
  readonly registry: Registry & Spool;
  /** How many uploads hold on to what they gathered. */
  readonly open: () => number;
  request(
    method: string,
    target: string,
    data?: Uint8Array | ServerRequest['body'],
    headers?: ServerRequest['headers'],
  ): Promise<Answered>;
  /** Begins an upload and returns where it goes on. */
  begun(): Promise<string>;
}

function serving(given: Registry & Spool = memory()): Serving {
  let open = 0;
  const registry: Registry & Spool = {
    ...given,
    async begin() {
      const spooled = await given.begin();
      open += 1;
      let isOpen = true;
      return {
        get size() {
          return spooled.size;
        },
        append: spooled.append,
        read: spooled.read,
        content: spooled.content,
        async end() {
          if (isOpen) open -= 1;
          isOpen = false;
          await spooled.end();
        },
      };
    },
  };
  const served = handler(registry, { pushes: registry });
  const request: Serving['request'] = (method, target, data, headers = {}) => {
    const isBytes = data instanceof Uint8Array;
    const length = isBytes && !('transfer-encoding' in headers);
    return ask(served, method, target, {
      body: isBytes ? sent(data) : data,
      headers: { ...(length && { 'content-length': String(data.length) }), ...headers },
    });
  };
  return {
    registry,
    open: () => open,
    request,
    async begun() {
      const answer = await request('POST', start);
      expect(answer.status).toBe(202);
      return answer.headers.location ?? '';
    },
  };
}

/** What a client that is cut off sends. */
async function* cutOff(data: Uint8Array): AsyncIterable<Uint8Array> {
  yield data;
  throw Object.assign(new Error('aborted'), { code: 'ECONNRESET' });
}

/** A body of which the rest comes when it is told to. */
function halting(data: Uint8Array) {
  const [come, more] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  async function* chunks(): AsyncIterable<Uint8Array> {
    yield data.subarray(0, 400);
    come.resolve();
    await more.promise;
    yield data.subarray(400);
  }
  return { chunks: chunks(), come: come.promise, goOn: more.resolve };
}

async function stored({ registry }: Serving, digest: Digest): Promise<Buffer | undefined> {
  const found = await registry.blob('team/app', digest);
  return found && Buffer.concat(await Array.fromAsync(found.open()));
}

describe('S07 an upload', () => {
  test('begins under a name of ours, at its end, and says how far it is', async () => {
    const served = serving();
    const first = await served.request('POST', start);
    expect(first.headers.location).toMatch(/^\/v2\/team\/app\/blobs\/uploads\/[0-9a-f-]{36}$/);
    expect(first.headers.range).toBe('0-0');
    expect((await served.request('POST', start)).headers.location).not.toBe(first.headers.location);
    const at = first.headers.location ?? '';
    const patched = await served.request('PATCH', at, body.subarray(0, 300));
    expect([patched.status, patched.headers.range]).toEqual([202, '0-299']);
    for (const method of ['GET', 'HEAD']) {
      const state = await served.request(method, at);
      expect([state.status, state.headers.range]).toEqual([204, '0-299']);
      expect(state.headers.location).toBe(at);
    }
  });

  test.each([
    ['again', '0-299'],
    ['with a gap', '301-999'],
    ['before its end', '299-999'],
    ['as nonsense', 'x-y'],
    ['as two', '300-399, 500-599'],
  ])('takes no chunk %s, and goes on after that', async (_, range) => {
    const served = serving();
    const at = await served.begun();
    await served.request('PATCH', at, body.subarray(0, 300), { 'content-range': '0-299' });
    for (const [method, target] of [
      ['PATCH', at],
      ['PUT', `${at}?digest=${digest}`],
    ] as const) {
      const chunk = { 'content-range': range, 'transfer-encoding': 'chunked' };
      const answer = await served.request(method, target, body.subarray(0, 300), chunk);
      expect([answer.status, answer.codes]).toEqual([416, ['BLOB_UPLOAD_INVALID']]);
      expect(answer.headers.range).toBe('0-299');
      expect(answer.headers.location).toBe(at);
    }
    const rest = { 'content-range': '300-999' };
    const ended = await served.request('PUT', `${at}?digest=${digest}`, body.subarray(300), rest);
    expect(ended.status).toBe(201);
    expect(await stored(served, digest)).toEqual(Buffer.from(body));
  });

  test('takes no chunk that is longer or shorter than it says', async () => {
    const served = serving();
    const at = await served.begun();
    const range = { 'content-range': '0-300' };
    const answer = await served.request('PATCH', at, body.subarray(0, 300), range);
    expect([answer.status, answer.codes]).toEqual([400, ['SIZE_INVALID']]);
    expect((await served.request('GET', at)).headers.range).toBe('0-0');
  });

  test('has one writer at a time; the other is told where it stands', async () => {
    const served = serving();
    const at = await served.begun();
    const slow = halting(body);
    const first = served.request('PATCH', at, slow.chunks);
    await slow.come;
    for (const [method, target] of [
      ['PATCH', at],
      ['PUT', `${at}?digest=${digest}`],
    ] as const) {
      const second = await served.request(method, target, noise('second', 500));
      expect([second.status, second.codes]).toEqual([416, ['BLOB_UPLOAD_INVALID']]);
    }
    slow.goOn();
    expect((await first).headers.range).toBe('0-999');
    expect((await served.request('PUT', `${at}?digest=${digest}`)).status).toBe(201);
    expect(await stored(served, digest)).toEqual(Buffer.from(body));
  });

  test('keeps what came before its client was cut off, and goes on', async () => {
    const served = serving();
    const at = await served.begun();
    await expect(served.request('PATCH', at, cutOff(body.subarray(0, 400)))).rejects.toThrow(
      'aborted',
    );
    expect((await served.request('GET', at)).headers.range).toBe('0-399');
    const rest = { 'content-range': '400-999' };
    await served.request('PATCH', at, body.subarray(400), rest);
    expect((await served.request('PUT', `${at}?digest=${digest}`)).status).toBe(201);
    expect(await stored(served, digest)).toEqual(Buffer.from(body));
  });

  test('whose end is cut off goes on as well', async () => {
    const served = serving();
    const at = await served.begun();
    const end = `${at}?digest=${digest}`;
    await served.request('PUT', end, cutOff(body.subarray(0, 400))).catch(() => {});
    expect((await served.request('GET', at)).headers.range).toBe('0-399');
    expect((await served.request('PUT', end, body.subarray(400))).status).toBe(201);
    expect(served.open()).toBe(0);
  });

  test.each(['sha256', 'sha512'] as const)('with another %s digest is gone', async (algorithm) => {
    const served = serving();
    const at = await served.begun();
    const wrong = digestOf(noise('other', 5), algorithm);
    const answer = await served.request('PUT', `${at}?digest=${wrong}`, body);
    expect([answer.status, answer.codes]).toEqual([400, ['DIGEST_INVALID']]);
    expect(await stored(served, wrong)).toBeUndefined();
    expect(await stored(served, digest)).toBeUndefined();
    expect(served.open()).toBe(0);
    for (const method of ['GET', 'PATCH', 'PUT', 'DELETE']) {
      const gone = await served.request(method, `${at}?digest=${digest}`);
      expect([gone.status, gone.codes]).toEqual([404, ['BLOB_UPLOAD_UNKNOWN']]);
    }
  });

  test.each([
    ['no digest', ''],
    ['a digest that is none', '?digest=sha256:abc'],
    ['an empty digest', '?digest='],
    ['a digest of another kind', '?digest=md5:d41d8cd98f00b204e9800998ecf8427e'],
  ])('that is to end with %s goes on', async (_, query) => {
    const served = serving();
    const at = await served.begun();
    const answer = await served.request('PUT', `${at}${query}`, body);
    expect([answer.status, answer.codes]).toEqual([400, ['DIGEST_INVALID']]);
    expect((await served.request('PUT', `${at}?digest=${digest}`, body)).status).toBe(201);
  });

  test('that was cancelled is gone, also for who is adding to it', async () => {
    const served = serving();
    const at = await served.begun();
    const slow = halting(body);
    const adding = served.request('PATCH', at, slow.chunks);
    await slow.come;
    expect((await served.request('DELETE', at)).status).toBe(204);
    slow.goOn();
    expect((await adding).codes).toEqual(['BLOB_UPLOAD_UNKNOWN']);
    expect((await served.request('DELETE', at)).status).toBe(404);
    expect(served.open()).toBe(0);
  });

  test('that was cancelled while it ends is not stored', async () => {
    const served = serving();
    const at = await served.begun();
    const slow = halting(body);
    const ending = served.request('PUT', `${at}?digest=${digest}`, slow.chunks);
    await slow.come;
    await served.request('DELETE', at);
    slow.goOn();
    expect((await ending).status).toBe(404);
    expect(await stored(served, digest)).toBeUndefined();
  });

  test('belongs to one repository, and its name cannot be guessed or bent', async () => {
    const served = serving();
    const at = await served.begun();
    const elsewhere = at.replace('team/app', 'team/other');
    expect((await served.request('PATCH', elsewhere, body)).status).toBe(404);
    expect((await served.request('DELETE', elsewhere)).status).toBe(404);
    for (const id of ['x', '__proto__', 'constructor', at.slice(-36).toUpperCase()]) {
      expect((await served.request('GET', `${start}${id}`)).codes).toEqual(['BLOB_UPLOAD_UNKNOWN']);
    }
    for (const id of ['..', '%2e%2e', 'a%2fb', 'a.b', 'x'.repeat(65)]) {
      expect((await served.request('GET', `${start}${id}`)).status).toBe(400);
    }
    expect((await served.request('GET', at)).status).toBe(204);
  });

  test('knows what it knows', async () => {
    const served = serving();
    const at = await served.begun();
    const posted = await served.request('POST', at);
    expect([posted.status, posted.headers.allow]).toEqual([405, 'GET, HEAD, PATCH, PUT, DELETE']);
    const listed = await served.request('GET', start);
    expect([listed.status, listed.headers.allow]).toEqual([405, 'POST']);
  });
});

describe('S07 a blob that is sent at once', () => {
  test('is there at once', async () => {
    const served = serving();
    const answer = await served.request('POST', `${start}?digest=${digest}`, body);
    expect(answer.status).toBe(201);
    expect(answer.headers.location).toBe(`/v2/team/app/blobs/${digest}`);
    expect(await stored(served, digest)).toEqual(Buffer.from(body));
  });

  test.each([
    ['is another', sent(noise('other', 1000))],
    ['is cut off', cutOff(body.subarray(0, 400))],
  ])('and %s leaves no upload behind', async (_, data) => {
    const served = serving();
    await served.request('POST', `${start}?digest=${digest}`, data).catch(() => {});
    expect(await stored(served, digest)).toBeUndefined();
    expect(served.open()).toBe(0);
  });
});

describe('S07 uploads', () => {
  const request = (method: string): ServerRequest => ({ method, target: '', headers: {} });
  const route = { kind: 'uploads', repository: 'team/app' } as const;

  test('are forgotten an hour after the last of them came', async () => {
    let now = 0;
    let open = 0;
    const registry = memory();
    const spool: Spool = {
      async begin() {
        open += 1;
        const end = async (): Promise<void> => {
          open -= 1;
        };
        return { ...(await registry.begin()), end };
      },
    };
    const all = uploads(registry, spool, () => now);
    const begin = async (): Promise<string> =>
      (await all.begin(route, request('POST'))).headers['docker-upload-uuid'] ?? '';
    const status = async (id: string, method = 'GET'): Promise<number> => {
      const named = { kind: 'upload', repository: 'team/app', id } as const;
      return (await all.continued(named, request(method))).status;
    };
    const [idle, used] = [await begin(), await begin()];
    now = 40 * 60_000;
    expect(await status(used, 'PATCH')).toBe(202);
    now = 61 * 60_000;
    await begin();
    expect(await status(idle)).toBe(404);
    expect(await status(used)).toBe(204);
    expect(open).toBe(2);
  });

  test('are not begun without end', async () => {
    const served = serving();
    const at = await served.begun();
    while ((await served.request('POST', start)).status === 202);
    const refused = await served.request('POST', start);
    expect([refused.status, refused.codes]).toEqual([429, ['TOOMANYREQUESTS']]);
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
    const most = served.open();
    expect(most).toBeLessThanOrEqual(2_000);
    await Promise.all(Array.from({ length: 50 }, () => served.request('POST', start)));
    expect(served.open()).toBe(most);
    // Those that are under way go on, and make room.
    expect((await served.request('PUT', `${at}?digest=${digest}`, body)).status).toBe(201);
    expect((await served.request('POST', start)).status).toBe(202);
  });

  test('are not more than may be where many begin at once', async () => {
    const served = serving();
    const answers = await Promise.all(
      Array.from({ length: 2_100 }, () => served.request('POST', start)),
    );
    expect(answers.filter(({ status }) => status === 202)).toHaveLength(2_000);
    expect(served.open()).toBe(2_000);
  });

  test('whose disk is full say so, and are gone', async () => {
    const registry = memory();
    const full: Registry & Spool = {
      ...registry,
      async begin() {
        const { content, read, end, append } = await registry.begin();
        const fail = async (chunks: AsyncIterable<Uint8Array>): Promise<void> => {
          await append(chunks);
          throw new OciError('NO_SPACE', 'no space left');
        };
        return { size: 0, content, read, end, append: fail };
      },
    };
    const served = serving(full);
    const at = await served.begun();
    const failure = await served.request('PATCH', at, body).catch((error: unknown) => error);
    expect(codeOf(failure)).toBe('NO_SPACE');
    expect(served.open()).toBe(0);
    expect((await served.request('GET', at)).status).toBe(404);
  });
});

describe('a mount', () => {
  test('is there at once where the other repository has the blob, and an upload where it has not', async () => {
    const served = serving();
    await served.registry.putBlob('team/base', digest, bytes(body));
    const mounted = await served.request('POST', `${start}?mount=${digest}&from=team/base`);
    expect([mounted.status, mounted.headers.location]).toEqual([
      201,
      `/v2/team/app/blobs/${digest}`,
    ]);
    expect(await stored(served, digest)).toEqual(Buffer.from(body));
    expect(served.open()).toBe(0);
    const other = digestOf(noise('other', 10));
    for (const query of [`mount=${other}&from=team/base`, `mount=${other}`]) {
      const begun = await served.request('POST', `${start}?${query}`);
      expect(begun.status).toBe(202);
      expect((await served.request('GET', begun.headers.location ?? '')).status).toBe(204);
    }
  });

  test.each([
    ['mount=sha256:abc&from=team/base', 'DIGEST_INVALID'],
    [`mount=${digest}&from=../etc`, 'NAME_INVALID'],
    [`mount=${digest}&from=Team`, 'NAME_INVALID'],
  ])('of %s is refused', async (query, code) => {
    const answer = await serving().request('POST', `${start}?${query}`);
    expect([answer.status, answer.codes]).toEqual([400, [code]]);
  });
});
