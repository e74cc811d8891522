import { bytes, type Content, digestOf, memory, OciError } from '@cluster-image/oci';
import {
  type FaultRegistry,
  type FaultRule,
  faultRegistry,
  imageFixture,
  indexFixture,
  noise,
  putFixture,
} from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { type Client, clientOf, failureOf, patienceFor } from './client.ts';

/** A quarter of it is the smallest chunk there is. */
const body = noise('upload', 1024 * 1024);
const quarter = body.length / 4;
const digest = digestOf(body);

interface Uploading extends Client {
  readonly server: FaultRegistry;
  /** Uploads the blob to `team/app`. */
  upload(mountFrom?: string): Promise<void>;
}

async function uploading(rules: readonly FaultRule[], content?: Content): Promise<Uploading> {
  const server = await faultRegistry({ rules });
  const client = clientOf(server, patienceFor(...rules.map(({ fault }) => fault)));
  const upload = (mountFrom?: string) =>
    client.registry().putBlob('team/app', digest, content ?? bytes(body), mountFrom);
  return { ...client, server, upload };
}

/** What was asked, its answer, and how many bytes came with it. */
function stepsOf({ log }: FaultRegistry): readonly string[] {
  return log.map(({ method, status, received }) => `${method} ${status} ${received}`);
}

async function isStored({ registry }: FaultRegistry): Promise<boolean> {
  return (await registry.blob('team/app', digest))?.size === body.length;
}

/** Refuses whole blobs, and chunks of more than a quarter, so that four are sent. */
const inQuarters: readonly FaultRule[] = [
  { match: { method: 'PUT', kind: 'upload', nth: 1 }, fault: { status: 413 } },
  { match: { method: 'PATCH', nth: 1 }, fault: { status: 413 } },
];

describe('a blob', () => {
  test('C27 goes in one request', async () => {
    const { server, upload } = await uploading([]);
    await upload();
    expect(stepsOf(server)).toEqual(['HEAD 404 0', 'POST 202 0', `PUT 201 ${body.length}`]);
    expect(await isStored(server)).toBe(true);
  });

  test('that is there is not sent', async () => {
    const { server, upload } = await uploading([]);
    await upload();
    await upload();
    expect(stepsOf(server).slice(3)).toEqual(['HEAD 200 0']);
  });

  test('that another repository has is taken over from there', async () => {
    const { server, upload } = await uploading([]);
    await server.registry.putBlob('other/app', digest, bytes(body));
    await upload('other/app');
    expect(stepsOf(server)).toEqual(['HEAD 404 0', 'POST 201 0']);
    expect(await isStored(server)).toBe(true);
  });

  test('that the other repository has not is sent', async () => {
    const { server, upload } = await uploading([]);
    await upload('other/app');
    expect(stepsOf(server)).toEqual(['HEAD 404 0', 'POST 202 0', `PUT 201 ${body.length}`]);
  });

  test.each([400, 401, 403, 404, 405])(
    'that may not be taken over (%i) is sent',
    async (status) => {
      const { server, upload } = await uploading([
        { match: { kind: 'uploads', nth: 1 }, fault: { status } },
      ]);
      await upload('other/app');
      expect(stepsOf(server).slice(1)).toEqual([
        `POST ${status} 0`,
        'POST 202 0',
        `PUT 201 ${body.length}`,
      ]);
    },
  );

  test('C26 is sent where the registry does not know HEAD', async () => {
    const { server, upload } = await uploading([
      { match: { method: 'HEAD' }, fault: { status: 405 } },
    ]);
    await upload();
    expect(await isStored(server)).toBe(true);
    await upload();
    expect(server.requests('upload')).toHaveLength(1);
  });

  test('whose last answer was lost is found, and not sent again', async () => {
    const { server, upload, waits } = await uploading([
      { match: { method: 'PUT' }, fault: { drop: 'fin' } },
    ]);
    await upload();
    expect(stepsOf(server).slice(2)).toEqual([`PUT undefined ${body.length}`, 'HEAD 200 0']);
    expect(waits).toHaveLength(1);
  });

  test.each(['rst', 'silence'] as const)(
    'C12 that breaks off on its way (%s) is begun anew',
    async (how) => {
      const { server, upload, waits } = await uploading([
        { match: { method: 'PUT', nth: 1 }, fault: { receive: { upTo: 1, how } } },
      ]);
      await upload();
      expect(server.log.slice(3).map(({ method, status }) => `${method} ${status}`)).toEqual([
        'HEAD 404',
        'POST 202',
        'PUT 201',
      ]);
      expect(waits).toHaveLength(1);
      expect(await isStored(server)).toBe(true);
    },
  );

  test('that breaks off in one piece again and again goes in chunks', async () => {
    const { server, upload } = await uploading([
      { match: { method: 'PUT' }, fault: { receive: { upTo: 1, how: 'rst' } }, times: 2 },
    ]);
    await upload();
    expect(server.requests('upload', 'PUT')).toHaveLength(3);
    expect(server.requests('upload', 'PATCH')).toHaveLength(1);
    expect(await isStored(server)).toBe(true);
  });

  test('C13 waits as long as the registry asks', async () => {
    const busy = { status: 429, headers: { 'retry-after': '3' } };
    const { server, upload, waits } = await uploading([
      { match: { method: 'PUT' }, fault: busy, times: 1 },
    ]);
    await upload();
    expect(waits).toEqual([3_000]);
    expect(await isStored(server)).toBe(true);
  });

  test.each([
    [429, 'TOO_MANY_REQUESTS'],
    [503, 'UPSTREAM'],
  ])('C15 that is refused with %i for good is %s', async (status, code) => {
    const { server, upload } = await uploading([{ match: { kind: 'upload' }, fault: { status } }]);
    expect((await failureOf(upload())).code).toBe(code);
    expect(server.requests('upload', 'PUT')).toHaveLength(2);
    expect(server.requests('upload', 'PATCH')).toHaveLength(2);
  });

  test.each([
    [401, 'UNAUTHORIZED'],
    [403, 'DENIED'],
    [400, 'UPSTREAM'],
  ])('C15 that is refused with %i is %s at once', async (status, code) => {
    const { server, upload, waits } = await uploading([
      { match: { method: 'PUT' }, fault: { status } },
    ]);
    expect((await failureOf(upload())).code).toBe(code);
    expect(server.requests('upload')).toHaveLength(1);
    expect(waits).toEqual([]);
  });

  test('to a repository that has to be made first is NOT_FOUND, and the hint says so', async () => {
    const { upload } = await uploading([{ match: { kind: 'uploads' }, fault: { status: 404 } }]);
    const error = await failureOf(upload());
    expect(error.code).toBe('NOT_FOUND');
    expect(error.hint).toContain('ECR');
  });

  test('whose source fails is not tried again', async () => {
    const broken: Content = {
      size: body.length,
      async *open() {
        yield body.subarray(0, quarter);
        throw new OciError('FILE_SYSTEM', 'the disk is gone');
      },
    };
    const { server, upload, waits } = await uploading([], broken);
    expect((await failureOf(upload())).code).toBe('FILE_SYSTEM');
    expect(server.requests('uploads')).toHaveLength(1);
    expect(waits).toEqual([]);
    expect(await isStored(server)).toBe(false);
  });

  test('that is wrong is not sent in chunks either', async () => {
    const wrong = bytes(noise('other', body.length));
    const { server, upload } = await uploading(
      [{ match: { method: 'PUT' }, fault: { receive: { upTo: 1, how: 'rst' } } }],
      { ...bytes(body), open: wrong.open },
    );
    expect((await failureOf(upload())).code).toBe('DIGEST_MISMATCH');
    expect(server.requests('upload', 'PATCH')).toEqual([]);
  });

  test('of sha512 can be sent in chunks', async () => {
    const long = digestOf(body, 'sha512');
    const { server, registry } = await uploading(inQuarters);
    await registry().putBlob('team/app', long, bytes(body));
    expect(server.requests('upload', 'PATCH')).toHaveLength(5);
    expect((await server.registry.blob('team/app', long))?.size).toBe(body.length);
  });
});

describe('chunks', () => {
  test('C27 are made smaller until the registry takes them, and are sent in order', async () => {
    const { server, upload } = await uploading(inQuarters);
    await upload();
    const chunks = server.requests('upload', 'PATCH').slice(1);
    expect(chunks.map(({ headers }) => headers['content-range'])).toEqual([
      `0-${quarter - 1}`,
      `${quarter}-${2 * quarter - 1}`,
      `${2 * quarter}-${3 * quarter - 1}`,
      `${3 * quarter}-${4 * quarter - 1}`,
    ]);
    expect(chunks.map(({ received }) => received)).toEqual([quarter, quarter, quarter, quarter]);
    expect(server.log.at(-1)).toMatchObject({ method: 'PUT', status: 201, received: 0 });
    expect(await isStored(server)).toBe(true);
  });

  test('C27 are not made smaller for ever', async () => {
    const { server, upload } = await uploading([
      { match: { kind: 'upload' }, fault: { status: 413 } },
    ]);
    expect((await failureOf(upload())).code).toBe('UPSTREAM');
    expect(server.requests('upload', 'PATCH')).toHaveLength(2);
  });

  test('C27 that the registry takes and throws away are given up after three', async () => {
    const { server, upload } = await uploading([
      ...inQuarters,
      {
        match: { method: 'PATCH', nth: 2 },
        fault: { answer: (right) => ({ ...right, status: 201 }) },
      },
      {
        match: { method: 'PATCH' },
        fault: { status: 201, headers: { range: `0-${quarter - 1}` } },
      },
    ]);
    expect((await failureOf(upload())).code).toBe('UPSTREAM');
    expect(server.requests('upload', 'PATCH')).toHaveLength(2 + 3);
    expect(await isStored(server)).toBe(false);
  });

  test('C27 of which the registry claims more than was sent are given up', async () => {
    const { server, upload } = await uploading([
      ...inQuarters,
      { match: { method: 'PATCH' }, fault: { status: 202, headers: { range: '0-99999999' } } },
    ]);
    expect((await failureOf(upload())).code).toBe('UPSTREAM');
    expect(server.requests('upload', 'PATCH')).toHaveLength(2);
    expect(server.requests('upload', 'PUT')).toHaveLength(1);
  });

  test('C27 go on where the registry says it is', async () => {
    const { server, upload } = await uploading([
      ...inQuarters,
      {
        match: { method: 'PATCH', nth: 3 },
        fault: { status: 416, headers: { range: `0-${quarter - 1}` } },
      },
    ]);
    await upload();
    const ranges = server
      .requests('upload', 'PATCH')
      .map(({ headers }) => headers['content-range']);
    expect(ranges[2]).toBe(ranges[3]);
    expect(ranges).toHaveLength(6);
    expect(await isStored(server)).toBe(true);
  });

  test('that break off go on where the registry says it is', async () => {
    const { server, upload, waits } = await uploading([
      ...inQuarters,
      { match: { method: 'PATCH', nth: 3 }, fault: { receive: { upTo: 1, how: 'rst' } } },
      { match: { method: 'PATCH', nth: 5 }, fault: { drop: 'rst' } },
    ]);
    await upload();
    expect(server.requests('upload', 'GET')).toHaveLength(2);
    expect(server.requests('upload', 'PATCH')).toHaveLength(6);
    expect(server.requests('uploads')).toHaveLength(2);
    expect(waits).toHaveLength(2);
    expect(await isStored(server)).toBe(true);
  });

  test('of which the first breaks off begin at the first byte again', async () => {
    const { server, upload } = await uploading([
      { match: { method: 'PUT', nth: 1 }, fault: { status: 413 } },
      { match: { method: 'PATCH', nth: 1 }, fault: { receive: { upTo: 1, how: 'rst' } } },
    ]);
    await upload();
    const chunks = server.requests('upload', 'PATCH');
    const whole = `0-${body.length - 1}`;
    expect(chunks.map(({ headers }) => headers['content-range'])).toEqual([whole, whole]);
  });

  test('whose upload the registry has forgotten are begun anew', async () => {
    const { server, upload } = await uploading([
      ...inQuarters,
      {
        match: { method: 'PATCH', nth: 3 },
        fault: { status: 404 },
      },
      { match: { method: 'GET', kind: 'upload' }, fault: { status: 404 } },
    ]);
    await upload();
    expect(server.requests('uploads')).toHaveLength(3);
    expect(await isStored(server)).toBe(true);
  });

  test('are no smaller than the registry wants them', async () => {
    const { server, upload } = await uploading([
      ...inQuarters,
      {
        match: { kind: 'uploads' },
        fault: { headers: { 'oci-chunk-min-length': String(2 * quarter) } },
      },
    ]);
    await upload();
    const sent = server.requests('upload', 'PATCH').slice(1);
    expect(sent.map(({ received }) => received)).toEqual([2 * quarter, 2 * quarter]);
  });

  test('are no way for an empty blob, which ends as it begins', async () => {
    const { server, registry } = await uploading([
      { match: { method: 'PUT', nth: 1 }, fault: { status: 413 } },
    ]);
    const empty = bytes('');
    await registry().putBlob('team/app', digestOf(new Uint8Array()), empty);
    expect(server.requests('upload', 'PATCH')).toEqual([]);
    expect(server.log.at(-1)).toMatchObject({ method: 'PUT', status: 201 });
  });
});

describe('C28 where an upload goes', () => {
  const auth = { scheme: 'basic', users: ['me:canary'] } as const;
  const credentials = async () => ({
    source: 'the test',
    basic: { username: 'me', password: 'canary' },
  });

  test('is a path with a query that comes back as it was', async () => {
    const { server, upload } = await uploading([]);
    await upload();
    const target = server.requests('upload')[0]?.target;
    expect(target).toMatch(/\?_state=a%2Fb%20c~&digest=sha256%3A[0-9a-f]{64}$/);
  });

  test('is a path without a query', async () => {
    const { server, upload } = await uploading([
      {
        match: { kind: 'uploads' },
        fault: { status: 202, headers: { location: '/v2/team/app/blobs/uploads/1' } },
      },
      { match: { kind: 'upload' }, fault: { status: 201 } },
    ]);
    await upload();
    expect(server.requests('upload')[0]?.target).toBe(
      `/v2/team/app/blobs/uploads/1?digest=${encodeURIComponent(digest)}`,
    );
  });

  test('is another host, which sees no credentials', async () => {
    const server = await faultRegistry({
      auth: { ...auth, isPublic: ({ host }) => host.startsWith('localhost') },
      rules: [
        {
          match: { kind: 'uploads' },
          fault: {
            answer: (right, { host }) => ({
              ...right,
              headers: {
                ...right.headers,
                ...(right.status === 202 && {
                  location: `http://${host.replace('127.0.0.1', 'localhost')}${right.headers.location}`,
                }),
              },
            }),
          },
        },
      ],
    });
    const { registry } = clientOf(server, { credentials });
    await registry().putBlob('team/app', digest, bytes(body));
    expect(await isStored(server)).toBe(true);
    const elsewhere = server.log.filter(({ host }) => host === server.hostAt('localhost'));
    expect(elsewhere.map(({ method, headers }) => [method, headers.authorization])).toEqual([
      ['PUT', undefined],
    ]);
  });

  test.each(['ftp://127.0.0.1/x', 'file:///tmp/x', 'http://[', 'data:,x'])(
    'is not %j',
    async (location) => {
      const { server, upload } = await uploading([
        { match: { kind: 'uploads' }, fault: { headers: { location } } },
      ]);
      expect((await failureOf(upload())).code).toBe('UPSTREAM');
      expect(server.requests('upload')).toEqual([]);
    },
  );
});

describe('a manifest', () => {
  test('C29 whose parts the registry has lost is NOT_FOUND, so that they can be sent again', async () => {
    const index = indexFixture(['linux/amd64']);
    const server = await faultRegistry();
    const { registry } = clientOf(server);
    const put = () => registry().putManifest('team/app', index.root, '1.0');
    expect((await failureOf(put())).code).toBe('NOT_FOUND');
    await putFixture(registry(), 'team/app', index, '1.0');
    expect((await server.registry.resolve('team/app', '1.0'))?.digest).toBe(index.root.digest);
  });

  test('C19 that the registry stores as another is DIGEST_MISMATCH', async () => {
    const image = imageFixture();
    const registry = memory();
    await putFixture(registry, 'team/app', image);
    const server = await faultRegistry({
      registry,
      rules: [
        { match: { method: 'PUT' }, fault: { headers: { 'docker-content-digest': digest } } },
      ],
    });
    const put = clientOf(server).registry().putManifest('team/app', image.root, '1.0');
    expect((await failureOf(put)).code).toBe('DIGEST_MISMATCH');
  });

  test('C15 is sent again where the registry is busy', async () => {
    const image = imageFixture();
    const server = await faultRegistry({
      rules: [{ match: { method: 'PUT', kind: 'manifest' }, fault: { status: 503 }, times: 2 }],
    });
    const { registry, waits } = clientOf(server);
    await putFixture(registry(), 'team/app', image, '1.0');
    expect(waits).toHaveLength(2);
    expect((await server.registry.resolve('team/app', '1.0'))?.digest).toBe(image.root.digest);
  });
});
