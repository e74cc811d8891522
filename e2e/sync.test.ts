import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { network, type RemoteRegistry } from '@cluster-image/distribution';
import {
  bytes,
  createContext,
  type Digest,
  describe as describeManifest,
  describeReferrer,
  digestOf,
  type Manifest,
  mergeReferrers,
  referrersList,
  referrersTag,
} from '@cluster-image/oci';
import { aboutFixture, imageFixture, indexFixture, putFixture } from '@cluster-image/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ask, clusterImage, result, succeed } from './support/run.ts';
import {
  dockerRegistry,
  type RegistryServer,
  requestsSince,
  serveCommand,
} from './support/servers.ts';

const index = indexFixture(['linux/amd64', 'linux/arm64'], {
  seed: 'signed',
  layers: [2_000_000, 30_000],
});
const single = imageFixture({ seed: 'single', layers: [1_000_000] });
const [amd64] = index.root.manifests;
if (!amd64) throw new Error('no child');

const about = (subject: Parameters<typeof aboutFixture>[0], artifactType: string): Manifest =>
  aboutFixture(subject, { artifactType });
const signature = about(describeManifest(index.root), 'application/vnd.example.signature');
const sbom = about(amd64, 'application/spdx+json');
const sbomSignature = about(describeManifest(sbom), 'application/vnd.example.signature');
const theirs = about(describeManifest(index.root), 'application/vnd.example.scan');
/** As cosign has it: a manifest under a tag that names what it signs. */
const cosign = imageFixture({ seed: 'cosign', layers: [400] });
const cosignTag = `${index.root.digest.replace(':', '-')}.sig`;

let work: string;
let source: RegistryServer;
const opened: (() => Promise<void>)[] = [];

function registryAt(host: string): RemoteRegistry {
  const client = network({ context: createContext(), hosts: { [host]: { plainHttp: true } } });
  opened.push(() => client.close());
  return client.registry(host);
}

/** Pushes what is about something as clients do to a registry that does not know of such. */
async function attach(registry: RemoteRegistry, name: string, manifest: Manifest): Promise<void> {
  const subject = manifest.subject?.digest;
  if (manifest.kind !== 'image' || !subject) throw new Error('is about nothing');
  await registry.putBlob(name, manifest.config.digest, bytes('{}'));
  await registry.putManifest(name, manifest);
  const list = referrersList([describeReferrer(manifest)]);
  await mergeReferrers(registry, name, referrersTag(subject), list);
}

/** Runs sync and gives its report. */
function sync(from: string, to: string, ...options: readonly string[]) {
  const hosts = [from, to].flatMap((location) => /^docker:\/\/([^/]+)/.exec(location)?.[1] ?? []);
  const plain = hosts.flatMap((host) => ['--plain-http', host]);
  return result(['sync', from, to, ...plain, ...options], {
    env: { CLUSTER_IMAGE_STORE: join(work, 'store') },
  });
}

/** The digest of what skopeo gets, as it is. */
async function rawDigest(host: string, name: string): Promise<string> {
  const raw = await succeed('skopeo', [
    ...['inspect', '--raw', '--tls-verify=false'],
    `docker://${host}/${name}`,
  ]);
  return digestOf(Buffer.from(raw));
}

async function listed(host: string, name: string, subject: Digest): Promise<readonly string[]> {
  const raw = await succeed('skopeo', [
    ...['inspect', '--raw', '--tls-verify=false'],
    `docker://${host}/${name}:${referrersTag(subject)}`,
  ]);
  return JSON.parse(raw).manifests.map(({ digest }: { digest: string }) => digest);
}

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'cluster-image-e2e-'));
  source = await dockerRegistry(join(work, 'source'), work, { accessLog: true });
  const registry = registryAt(source.host);
  await putFixture(registry, 'team/signed', index, '1.0');
  await putFixture(registry, 'team/single', single, '2.0');
  await putFixture(registry, 'other/single', single, '2.0');
  for (const manifest of [signature, sbom, sbomSignature]) {
    await attach(registry, 'team/signed', manifest);
  }
  await putFixture(registry, 'team/signed', cosign, cosignTag);
});

afterAll(async () => {
  for (const close of opened) await close();
  await source?.stop();
  await rm(work, { recursive: true, force: true });
});

const choice = ['--only', 'team/*:[12].0', '--referrers', '--all'];

describe('what is about images', () => {
  test('goes from docker-registry to our server, to another docker-registry, to a directory, all the same', async () => {
    const served = await serveCommand([`registry:${join(work, 'ours')}`], work, ['--writable']);
    const target = await dockerRegistry(join(work, 'target'), work, { accessLog: true });
    try {
      const first = await sync(`docker://${source.host}`, `docker://${served.host}`, ...choice);
      expect([first.counts.copied, first.about]).toEqual([2, { copied: 4, present: 0 }]);
      const known = await ask(
        `http://${served.host}/v2/team/signed/referrers/${index.root.digest}`,
      );
      expect(known.manifests).toEqual([describeReferrer(signature)]);

      const ours = `docker://${served.host}`;
      await sync(ours, `docker://${target.host}/mirror`, ...choice);
      const name = 'mirror/team/signed';
      expect(await rawDigest(target.host, `${name}:1.0`)).toBe(index.root.digest);
      expect(await rawDigest(target.host, `${name}:${cosignTag}`)).toBe(cosign.root.digest);
      for (const manifest of [signature, sbom, sbomSignature]) {
        const subject = manifest.subject?.digest;
        expect(subject && (await listed(target.host, name, subject))).toEqual([manifest.digest]);
        const reference = `${name}@${manifest.digest}`;
        expect(await rawDigest(target.host, reference)).toBe(manifest.digest);
      }

      const before = target.log().length;
      const again = await sync(ours, `docker://${target.host}/mirror`, ...choice);
      expect([again.counts.present, again.counts.copied, again.about, again.bytes]).toEqual([
        ...[2, 0],
        { copied: 0, present: 4 },
        0,
      ]);
      const methods = requestsSince(target, before).map(({ method }) => method);
      expect(methods.length).toBeGreaterThan(0);
      expect(methods.filter((method) => method !== 'HEAD' && method !== 'GET')).toEqual([]);

      const directory = join(work, 'directory');
      await sync(`docker://${target.host}/mirror`, `registry:${directory}`, ...choice);
      const verified = await result(['verify', `registry:${directory}`]);
      expect(verified.problems).toEqual([]);
      const offline = await dockerRegistry(directory, work, { readonly: true });
      try {
        expect(await listed(offline.host, 'team/signed', index.root.digest)).toEqual([
          signature.digest,
        ]);
        await succeed('skopeo', [
          ...['copy', '--all', '--src-tls-verify=false'],
          `docker://${offline.host}/team/signed:1.0`,
          `dir:${await mkdtemp(join(work, 'copied-'))}`,
        ]);
      } finally {
        await offline.stop();
      }
    } finally {
      await served.stop();
      await target.stop();
    }
  });

  test('is added to what others have said at the target', async () => {
    const target = await dockerRegistry(join(work, 'shared'), work);
    try {
      const registry = registryAt(target.host);
      await putFixture(registry, 'team/signed', index, '1.0');
      await attach(registry, 'team/signed', theirs);
      await sync(`docker://${source.host}`, `docker://${target.host}`);
      expect(await listed(target.host, 'team/signed', index.root.digest)).toEqual([
        theirs.digest,
        signature.digest,
      ]);
      expect(await rawDigest(target.host, 'other/single:2.0')).toBe(single.root.digest);
    } finally {
      await target.stop();
    }
  });
});

describe('a registry as a whole', () => {
  test('costs, when all of it is there, its lists and one HEAD a tag on each side', async () => {
    const target = await dockerRegistry(join(work, 'whole'), work, { accessLog: true });
    try {
      const [from, to] = [`docker://${source.host}`, `docker://${target.host}`];
      const first = await sync(from, to);
      const before = [source.log().length, target.log().length];
      const again = await sync(from, to);
      expect(again.counts).toEqual({ ...first.counts, copied: 0, present: first.counts.copied });
      const [asked, told] = [source, target].map((server, at) =>
        requestsSince(server, before[at] ?? 0).map(({ method }) => method),
      );
      const tags = again.images.length;
      // The catalog, and the tags of three repositories.
      expect(asked?.filter((method) => method === 'GET')).toHaveLength(1 + 3);
      expect(asked?.filter((method) => method === 'HEAD')).toHaveLength(tags);
      expect(told).toEqual(new Array(tags).fill('HEAD'));
    } finally {
      await target.stop();
    }
  });

  test('is sent a layer once that several repositories have', async () => {
    const target = await dockerRegistry(join(work, 'mounted'), work);
    try {
      const only = ['--only', '**/single'];
      const synced = await sync(`docker://${source.host}`, `docker://${target.host}`, ...only);
      const size = [...single.blobs.values()].reduce((sum, body) => sum + body.length, 0);
      expect([synced.counts.copied, synced.bytes]).toEqual([2, size]);
    } finally {
      await target.stop();
    }
  });

  test('that is damaged is brought as far as it is not, with exit code 1', async () => {
    const directory = join(work, 'damaged');
    await succeed('cp', ['-r', source.directory, directory]);
    const [digest = ''] = single.blobs.keys();
    const hex = digest.replace('sha256:', '');
    const blob = `docker/registry/v2/blobs/sha256/${hex.slice(0, 2)}/${hex}/data`;
    await writeFile(join(directory, blob), new Uint8Array(1_000_000));
    const damaged = await dockerRegistry(directory, work, { readonly: true });
    try {
      const target = `registry:${join(work, 'rest')}`;
      const args = ['sync', `docker://${damaged.host}`, target, '--plain-http', damaged.host];
      const ran = await clusterImage([...args, '--json'], {
        env: { CLUSTER_IMAGE_STORE: join(work, 'store') },
      });
      expect(ran.code).toBe(1);
      const { images, counts } = JSON.parse(ran.stdout);
      expect(counts.failed).toBe(2);
      expect(counts.copied).toBe(images.length - 2);
      for (const image of images) {
        const isSingle = image.repository.endsWith('single');
        expect(image.code).toBe(isSingle ? 'DIGEST_MISMATCH' : undefined);
      }
      expect((await result(['verify', target])).problems).toEqual([]);
      const told = await clusterImage(args, { env: { CLUSTER_IMAGE_STORE: join(work, 'store') } });
      expect(told.code).toBe(1);
      expect(told.stdout).toContain('failed team/single:2.0: ');
      expect(told.stdout).toContain('2 failed; run it again');
    } finally {
      await damaged.stop();
    }
  });
});
