import { type Digest, digestOf, mediaTypes } from '@cluster-image/oci';
import { describe, expect, test } from 'vitest';
import { writer } from './images.ts';
import { type RegistryServer, registryServer } from './registry-server.ts';

const repository = 'conformance/lists';

/** A registry in which an image has many tags, and many repositories have it. */
async function filled(
  tags: readonly string[],
  repositories: readonly string[] = [repository],
): Promise<RegistryServer> {
  const server = await registryServer();
  const to = writer();
  to.image('listed');
  const { blobs, manifests } = to.written();
  for (const name of repositories) {
    for (const [digest, body] of blobs) {
      await server.ask('POST', `${name}/blobs/uploads/?digest=${digest}`, { body });
    }
    for (const { body, descriptor } of manifests) {
      const headers = { 'content-type': descriptor.mediaType };
      for (const reference of [descriptor.digest, ...tags]) {
        const target = `${name}/manifests/${reference}`;
        expect((await server.ask('PUT', target, { body, headers })).status).toBe(201);
      }
    }
  }
  return server;
}

async function listed({ ask }: RegistryServer, target: string, field: string) {
  const answer = await ask('GET', target);
  expect(answer.status).toBe(200);
  const names: readonly string[] = JSON.parse(answer.body.toString())[field];
  const next = /^<(\/v2\/[^>]+)>; rel="next"$/.exec(answer.headers.get('link') ?? '')?.[1];
  return { names, next };
}

const tags = ['0', '1.0', 'A', 'Z', 'a', 'latest', 'v1', 'v1.0', 'v1.0.0', 'v10', 'v2', '_x'];
const sorted = [...tags].sort();

describe('tags', () => {
  test.each([
    ['', sorted],
    ['?n=3', sorted.slice(0, 3)],
    ['?n=100', sorted],
    ['?n=0', []],
    ['?last=v1', sorted.slice(sorted.indexOf('v1') + 1)],
    ['?last=v1.0.5', sorted.slice(sorted.indexOf('v1.0.0') + 1)],
    ['?n=2&last=A', sorted.slice(sorted.indexOf('A') + 1).slice(0, 2)],
    ['?last=zzz', []],
  ])('by %j are listed in order', async (query, expected) => {
    const server = await filled(tags);
    const { names } = await listed(server, `${repository}/tags/list${query}`, 'tags');
    expect(names).toEqual(expected);
  });

  test.each([1, 2, 5, 11, 12])('are read %i at a time by following the links', async (n) => {
    const server = await filled(tags);
    const found: string[] = [];
    let pages = 0;
    let target: string | undefined = `${repository}/tags/list?n=${n}`;
    for (; target; pages++) {
      const page = await listed(server, target, 'tags');
      found.push(...page.names);
      target = page.next;
    }
    expect(found).toEqual(sorted);
    expect(pages).toBe(Math.ceil(tags.length / n));
  });

  test('of a repository that is not there are none', async () => {
    const { ask } = await registryServer();
    const answer = await ask('GET', `${repository}/tags/list`);
    expect([answer.status, answer.codes]).toEqual([404, ['NAME_UNKNOWN']]);
  });

  test('move, and go one by one', async () => {
    const server = await filled(['one', 'two', 'three']);
    for (const [tag, left] of [
      ['two', ['one', 'three']],
      ['one', ['three']],
    ] as const) {
      const target = `${repository}/manifests/${tag}`;
      expect((await server.ask('DELETE', target)).status).toBe(202);
      expect((await server.ask('GET', target)).status).toBe(404);
      expect((await listed(server, `${repository}/tags/list`, 'tags')).names).toEqual(left);
    }
  });
});

test('repositories are listed in order and in pages, those below others too', async () => {
  const names = ['a', 'a-b', 'a/b', 'a/b/c', 'b'];
  const server = await filled(['1'], names);
  expect((await listed(server, '_catalog', 'repositories')).names).toEqual(names);
  const first = await listed(server, '_catalog?n=3', 'repositories');
  expect(first.names).toEqual(names.slice(0, 3));
  const second = await listed(server, first.next ?? '', 'repositories');
  expect([second.names, second.next]).toEqual([names.slice(3), undefined]);
});

test('a registry says that it is one', async () => {
  const { ask } = await registryServer();
  for (const target of ['/v2/', '/v2']) {
    const answer = await ask('GET', target);
    expect([answer.status, answer.body.toString()]).toEqual([200, '{}']);
    expect(answer.headers.get('docker-distribution-api-version')).toBe('registry/2.0');
  }
});

describe('what is about a manifest', () => {
  const empty = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [] };

  test.each([
    ['a manifest of an empty registry', digestOf(Buffer.from('x'))],
    ['a manifest of sha512', digestOf(Buffer.from('x'), 'sha512')],
  ])('is nothing for %s', async (_, digest: Digest) => {
    const { ask } = await registryServer();
    const answer = await ask('GET', `${repository}/referrers/${digest}`);
    expect(answer.status).toBe(200);
    expect(JSON.parse(answer.body.toString())).toEqual(empty);
  });

  test.each(['latest', 'sha256:abc'])('cannot be asked by %s', async (reference) => {
    const { ask } = await registryServer();
    const answer = await ask('GET', `${repository}/referrers/${reference}`);
    expect([answer.status, answer.codes]).toEqual([400, ['DIGEST_INVALID']]);
  });

  test('is also what clients keep under the tag for it, until that is deleted', async () => {
    const server = await filled([]);
    const to = writer();
    const digest = digestOf(Buffer.from('subject'));
    const signature = { ...to.artifact('signature'), artifactType: 'application/x-sig' };
    to.index([signature], {}, digest.replace(':', '-'));
    const { blobs, manifests } = to.written();
    for (const [digest, body] of blobs) {
      await server.ask('POST', `${repository}/blobs/uploads/?digest=${digest}`, { body });
    }
    for (const { body, descriptor, tags } of manifests) {
      const target = `${repository}/manifests/${tags[0] ?? descriptor.digest}`;
      const headers = { 'content-type': descriptor.mediaType };
      expect((await server.ask('PUT', target, { body, headers })).status).toBe(201);
    }
    const list = async (): Promise<unknown> => {
      const answer = await server.ask('GET', `${repository}/referrers/${digest}`);
      return JSON.parse(answer.body.toString()).manifests;
    };
    expect(await list()).toEqual([signature]);
    await server.ask('DELETE', `${repository}/manifests/${digest.replace(':', '-')}`);
    expect(await list()).toEqual([]);
  });
});
