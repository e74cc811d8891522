import {
  type Algorithm,
  type Descriptor,
  digestAlgorithm,
  digestOf,
  mediaTypes,
} from '@cluster-image/oci';
import { describe, expect, test } from 'vitest';
import { everyImage, type Pushed, type Written, writer } from './images.ts';
import { type RegistryServer, registryServer } from './registry-server.ts';

const repository = 'conformance/images';

async function pushBlobs({ ask }: RegistryServer, { blobs }: Pushed): Promise<void> {
  for (const [digest, body] of blobs) {
    const answer = await ask('POST', `${repository}/blobs/uploads/?digest=${digest}`, { body });
    expect(answer.status).toBe(201);
  }
}

/** Pushes a manifest under its digest, and under its tags too where they can be named at once. */
async function pushManifest(
  { ask }: RegistryServer,
  { descriptor, body, tags }: Written,
  isTagged: boolean,
): Promise<void> {
  const { mediaType, digest } = descriptor;
  const query = isTagged && tags.length > 0 ? `?${tags.map((tag) => `tag=${tag}`).join('&')}` : '';
  const headers = { 'content-type': mediaType };
  const answer = await ask('PUT', `${repository}/manifests/${digest}${query}`, { body, headers });
  expect([answer.status, answer.codes]).toEqual([201, []]);
  expect(answer.headers.get('location')).toBe(`/v2/${repository}/manifests/${digest}`);
  expect(answer.headers.get('docker-content-digest')).toBe(digest);
  const { subject } = JSON.parse(Buffer.from(body).toString());
  expect(answer.headers.get('oci-subject')).toBe(subject?.digest ?? null);
  expect(answer.headers.get('oci-tag')).toBe(query === '' ? null : tags.join(', '));
}

async function pushTags({ ask }: RegistryServer, { descriptor, body, tags }: Written) {
  for (const tag of tags) {
    const headers = { 'content-type': descriptor.mediaType };
    const answer = await ask('PUT', `${repository}/manifests/${tag}`, { body, headers });
    expect(answer.status).toBe(201);
    expect(answer.headers.get('docker-content-digest')).toBe(descriptor.digest);
  }
}

async function expectThere({ ask }: RegistryServer, pushed: Pushed): Promise<void> {
  for (const { descriptor, body, tags } of pushed.manifests) {
    for (const reference of [descriptor.digest, ...tags]) {
      for (const method of ['HEAD', 'GET']) {
        const answer = await ask(method, `${repository}/manifests/${reference}`);
        expect(answer.status).toBe(200);
        expect(answer.headers.get('content-type')).toBe(descriptor.mediaType);
        expect(answer.headers.get('content-length')).toBe(String(body.length));
        expect(answer.headers.get('docker-content-digest')).toBe(descriptor.digest);
        if (method === 'GET') expect(answer.body.equals(body)).toBe(true);
      }
    }
  }
  const tags = pushed.manifests.flatMap(({ tags }) => tags);
  const listed = await ask('GET', `${repository}/tags/list`);
  expect(JSON.parse(listed.body.toString())).toEqual({ name: repository, tags: tags.sort() });
}

async function expectReferrers({ ask }: RegistryServer, { referrers }: Pushed): Promise<void> {
  for (const [subject, expected] of referrers) {
    const list = async (query: string): Promise<readonly Descriptor[]> => {
      const answer = await ask('GET', `${repository}/referrers/${subject}${query}`);
      expect(answer.status).toBe(200);
      expect(answer.headers.get('content-type')).toBe(mediaTypes.ociIndex);
      const applied = query === '' ? null : 'artifactType';
      expect(answer.headers.get('oci-filters-applied')).toBe(applied);
      return JSON.parse(answer.body.toString()).manifests;
    };
    expect(new Set(await list(''))).toEqual(new Set(expected));
    for (const { artifactType = '' } of expected) {
      const filtered = expected.filter((referrer) => referrer.artifactType === artifactType);
      expect(await list(`?artifactType=${encodeURIComponent(artifactType)}`)).toEqual(filtered);
    }
    expect(await list('?artifactType=none')).toEqual([]);
  }
}

/** Deletes all that was pushed, wholes before parts, and looks at what is left after each. */
async function deleteAll({ ask }: RegistryServer, pushed: Pushed): Promise<void> {
  const gone = async (target: string): Promise<void> => {
    expect((await ask('DELETE', target)).status).toBe(202);
    for (const method of ['HEAD', 'GET', 'DELETE']) {
      expect((await ask(method, target)).status).toBe(404);
    }
  };
  for (const { descriptor, tags } of [...pushed.manifests].reverse()) {
    const manifest = `${repository}/manifests/${descriptor.digest}`;
    const [kept, ...others] = tags;
    for (const tag of others) {
      await gone(`${repository}/manifests/${tag}`);
      expect((await ask('HEAD', manifest)).status).toBe(200);
    }
    await gone(manifest);
    // The last tag goes with what it means.
    if (kept) expect((await ask('HEAD', `${repository}/manifests/${kept}`)).status).toBe(404);
  }
  for (const subject of pushed.referrers.keys()) {
    const answer = await ask('GET', `${repository}/referrers/${subject}`);
    expect(JSON.parse(answer.body.toString()).manifests).toEqual([]);
  }
  expect((await ask('GET', `${repository}/tags/list`)).codes).toEqual(['NAME_UNKNOWN']);
  for (const digest of pushed.blobs.keys()) await gone(`${repository}/blobs/${digest}`);
}

function written(write: (to: ReturnType<typeof writer>) => void, algorithm: Algorithm): Pushed {
  const to = writer(algorithm);
  write(to);
  return to.written();
}

/** By digest with the tags at once, or, where a tag alone tells the digest, one after another. */
const waysToTag: readonly (readonly [Algorithm, 'at once' | 'one by one'])[] = [
  ['sha256', 'one by one'],
  ['sha256', 'at once'],
  ['sha512', 'at once'],
];

describe.each(waysToTag)('by %s, tagged %s,', (algorithm, way) => {
  test.each(Object.entries(everyImage))(
    '%s is pushed, listed, pulled and deleted',
    async (_, write) => {
      const server = await registryServer();
      const pushed = written(write, algorithm);
      await pushBlobs(server, pushed);
      for (const manifest of pushed.manifests) {
        expect(digestAlgorithm(manifest.descriptor.digest)).toBe(algorithm);
        await pushManifest(server, manifest, way === 'at once');
        if (way === 'one by one') await pushTags(server, manifest);
      }
      await expectThere(server, pushed);
      await expectReferrers(server, pushed);
      await deleteAll(server, pushed);
    },
  );
});

describe('a manifest that is wrong', () => {
  const pushed = written((to) => void to.image('wrong'), 'sha256');
  const { body = new Uint8Array() } = pushed.manifests[0] ?? {};
  const headers = { 'content-type': mediaTypes.ociManifest };

  test.each<Algorithm>(['sha256', 'sha512'])('in its %s digest is refused', async (algorithm) => {
    const server = await registryServer();
    await pushBlobs(server, pushed);
    const digest = digestOf(body, algorithm);
    const target = `${repository}/manifests/${digest}`;
    const spaced = Buffer.concat([body, Buffer.from('  ')]);
    const answer = await server.ask('PUT', target, { body: spaced, headers });
    expect([answer.status, answer.codes]).toEqual([400, ['DIGEST_INVALID']]);
    expect((await server.ask('HEAD', target)).status).toBe(404);
    await server.expectNoTrace(digest);
    await server.expectNoTrace(digestOf(spaced));
  });

  test.each(['GET', 'PUT', 'HEAD', 'DELETE'])(
    'in the grammar of its digest is refused by %s',
    async (method) => {
      const { ask } = await registryServer();
      const target = `${repository}/manifests/sha256:baddigeststring`;
      const answer = await ask(method, target, method === 'PUT' ? { body, headers } : {});
      expect(answer.status).toBe(400);
      if (method !== 'HEAD') expect(answer.codes).toEqual(['DIGEST_INVALID']);
    },
  );

  test('in what it is made of is refused, and leaves nothing', async () => {
    const server = await registryServer();
    const answer = await server.ask('PUT', `${repository}/manifests/latest`, { body, headers });
    expect([answer.status, answer.codes]).toEqual([400, ['MANIFEST_BLOB_UNKNOWN']]);
    await server.expectNoTrace(digestOf(body));
    expect((await server.ask('GET', '_catalog')).body.toString()).toBe('{"repositories":[]}');
  });

  test('in that it is not there is unknown', async () => {
    const { ask } = await registryServer();
    for (const reference of ['none', digestOf(body), digestOf(body, 'sha512')]) {
      const answer = await ask('GET', `${repository}/manifests/${reference}`);
      expect([answer.status, answer.codes]).toEqual([404, ['MANIFEST_UNKNOWN']]);
    }
  });
});
