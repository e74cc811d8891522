import { handler, listen } from '@cluster-image/distribution';
import {
  bytes,
  createContext,
  type Descriptor,
  describe as describeManifest,
  type Manifest,
  mediaTypes,
  memory,
  type Referring,
  referrersList,
  referrersTag,
} from '@cluster-image/oci';
import {
  aboutFixture,
  type Fault,
  faultRegistry,
  imageFixture,
  putFixture,
} from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { patience } from '../src/patience.ts';
import { remote } from '../src/remote.ts';
import { clientOf, failureOf } from './client.ts';

const image = imageFixture();
const subject = image.root.digest;
const about = ['a', 'b', 'c', 'd', 'e']
  .map((artifactType) => aboutFixture(describeManifest(image.root), { artifactType }))
  .sort((a, b) => (a.digest < b.digest ? -1 : 1));
const digests = about.map(({ digest }) => digest);

/** A registry that has five manifests about an image, and may know or not. */
async function referring({ knows = true, fault = {} }: { knows?: boolean; fault?: Fault } = {}) {
  const registry = memory();
  await putFixture(registry, 'team/app', image, '1');
  for (const manifest of about) await put(registry, manifest);
  const server = await faultRegistry({
    registry,
    ...(knows && { referring: registry }),
    rules: [{ match: { kind: 'referrers' }, fault }],
  });
  const client = clientOf(server).registry();
  return { server, registry, client, list: () => listed(client) };
}

async function put(registry: ReturnType<typeof memory>, manifest: Manifest): Promise<void> {
  if (manifest.kind === 'image') {
    await registry.putBlob('team/app', manifest.config.digest, bytes('{}'));
  }
  await registry.putManifest('team/app', manifest);
}

async function listed(registry: Referring): Promise<readonly string[]> {
  const found = await Array.fromAsync(registry.referrers('team/app', subject));
  return found.map(({ digest }) => digest);
}

function page(manifests: readonly Descriptor[]): string {
  return JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests });
}

describe('what is about a manifest', () => {
  test('is what the registry knows, page by page, with type and annotations', async () => {
    const { server, client } = await referring();
    const found = await Array.fromAsync(client.referrers('team/app', subject));
    expect(found).toEqual(
      about.map((manifest) => ({
        ...describeManifest(manifest),
        artifactType: manifest.artifactType,
      })),
    );
    const first = `/v2/team/app/referrers/${subject}`;
    expect(server.log.map(({ target }) => decodeURIComponent(target))).toEqual([
      first,
      `${first}?n=2&last=${digests[1]}`,
      `${first}?n=2&last=${digests[3]}`,
    ]);
    expect(await client.knowsReferrers('team/app', subject)).toBe(true);
  });

  test('is what our own server tells', async () => {
    const { registry } = await referring();
    const listening = await listen(handler(registry, { referring: registry }));
    try {
      expect(await listed(clientOf(listening.url).registry())).toEqual(digests);
    } finally {
      await listening.close(0);
    }
  });

  test('comes in order, each once, however the registry lists it', async () => {
    const descriptors = about.map(describeManifest).reverse();
    const { list } = await referring({ fault: { body: page([...descriptors, ...descriptors]) } });
    expect(await list()).toEqual(digests);
  });

  test.each([page([]), '{}', '{"manifests":null}'])(
    'is nothing where the registry says %s',
    async (body) => {
      const { server, list } = await referring({ fault: { body } });
      expect(await list()).toEqual([]);
      expect(server.log).toHaveLength(1);
    },
  );
});

describe('where the registry does not know', () => {
  test('what is about a manifest is what clients have listed', async () => {
    const { server, registry, client, list } = await referring({ knows: false });
    expect(await list()).toEqual([]);
    const some = about.slice(1, 3).map(describeManifest);
    await registry.putManifest('team/app', referrersList(some), referrersTag(subject));
    const before = server.log.length;
    expect(await list()).toEqual(digests.slice(1, 3));
    expect(
      server.log.slice(before).map(({ method, kind, reference }) => [method, kind, reference]),
    ).toEqual([
      ['GET', 'referrers', subject],
      ['GET', 'manifest', referrersTag(subject)],
    ]);
    expect(await client.knowsReferrers('team/app', subject)).toBe(false);
  });

  test.each([400, 405, 406, 501])('it may say so with %i', async (status) => {
    const { registry, client, list } = await referring({ fault: { status } });
    const all = referrersList(about.map(describeManifest));
    await registry.putManifest('team/app', all, referrersTag(subject));
    expect(await list()).toEqual(digests);
    expect(await client.knowsReferrers('team/app', subject)).toBe(false);
  });

  test('an image that has the tag of the list is no list', async () => {
    const { registry, list } = await referring({ knows: false });
    await putFixture(registry, 'team/app', image, referrersTag(subject));
    expect(await list()).toEqual([]);
  });
});

describe('a registry that is hostile or out of order', () => {
  test.each<[string, Fault, string]>([
    ['answers 403', { status: 403 }, 'DENIED'],
    ['answers 500', { status: 500 }, 'UPSTREAM'],
    [
      'answers a web page',
      { body: '<html>', headers: { 'content-type': 'text/html' } },
      'UPSTREAM',
    ],
    ['answers no JSON', { body: 'no' }, 'UPSTREAM'],
    [
      'lists what is no digest',
      { body: JSON.stringify({ manifests: [bad('sha256:../x')] }) },
      'UPSTREAM',
    ],
    [
      'lists a negative size',
      { body: JSON.stringify({ manifests: [bad(subject, -1)] }) },
      'UPSTREAM',
    ],
    ['answers more than a manifest may have', { body: new Uint8Array(5 << 20) }, 'UPSTREAM'],
    ['sends on to another', { headers: { link: '<http://localhost/x>; rel="next"' } }, 'UPSTREAM'],
  ])('and %s is %s', async (_, fault, code) => {
    const { list } = await referring({ fault });
    expect((await failureOf(list())).code).toBe(code);
  });

  test.each<[Fault, string]>([
    [{ status: 403 }, 'DENIED'],
    [{ body: '<html>', headers: { 'content-type': 'text/html' } }, 'UPSTREAM'],
  ])('is not taken for one that does not know (%#)', async (fault, code) => {
    const { client } = await referring({ fault });
    expect((await failureOf(client.knowsReferrers('team/app', subject))).code).toBe(code);
  });

  test('and always has one more is left after five thousand', async () => {
    let pages = 0;
    const context = createContext();
    const registry = remote({
      host: 'registry',
      url: new URL('http://registry'),
      prefix: '',
      exchange: async () => {
        const digest = `sha256:${(pages++).toString(16).padStart(64, '0')}`;
        const body = JSON.stringify({ manifests: [bad(digest)] });
        return {
          status: 200,
          header: () => undefined,
          headers: () => [`</v2/team/app/referrers/${subject}?page=${pages}>; rel="next"`],
          body: bytes(body).open(),
          discard: async () => {},
        };
      },
      patience: patience({ host: 'registry', context, sleep: async () => {}, now: Date.now }),
      credentials: async () => 'no credentials',
      context,
    });
    expect((await failureOf(listed(registry))).code).toBe('UPSTREAM');
    expect(pages).toBe(5_001);
  });
});

function bad(digest: string, size = 10) {
  return { mediaType: mediaTypes.ociManifest, digest, size };
}
