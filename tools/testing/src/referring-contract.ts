import {
  bytes,
  type Descriptor,
  type Digest,
  describe as describeManifest,
  type Manifest,
  mediaTypes,
  parseManifest,
  type Referring,
  type Registry,
  type Removable,
} from '@cluster-image/oci';
import { describe, expect, test } from 'vitest';
import { imageFixture, putFixture } from './fixtures.ts';
import { type OpenedAs, opening } from './opened.ts';

const one = 'team/app';

/** What is about another manifest: a signature, a bill of materials. */
export function aboutFixture(
  subject: Descriptor,
  fields: Readonly<Record<string, unknown>> = {},
): Manifest {
  const { mediaType, digest, size } = subject;
  const empty = { mediaType: 'application/vnd.oci.empty.v1+json', ...emptyConfig };
  const body = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: empty,
    layers: [],
    subject: { mediaType, digest, size },
    ...fields,
  };
  return parseManifest(new TextEncoder().encode(JSON.stringify(body)), 'about');
}

const emptyConfig = {
  digest: 'sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a',
  size: 2,
} as const;

/** What every registry promises that knows what is about a manifest, run against one implementation. */
export function referringContract(
  name: string,
  open: () => Promise<OpenedAs<Registry & Referring & Removable>>,
): void {
  const openOne = opening(open);
  const { root } = imageFixture();
  const subject = describeManifest(root);

  async function put(registry: Registry, repository: string, manifest: Manifest): Promise<void> {
    const config = manifest.kind === 'image' ? manifest.config.digest : undefined;
    if (config) await registry.putBlob(repository, config, bytes('{}'));
    await registry.putManifest(repository, manifest);
  }

  const listed = (registry: Referring, digest: Digest): Promise<readonly Descriptor[]> =>
    Array.fromAsync(registry.referrers(one, digest));

  describe(`the contract of referrers: ${name}`, () => {
    test('nothing is about what nothing is about, whether that is there or not', async () => {
      const registry = await openOne();
      expect(await listed(registry, root.digest)).toEqual([]);
      await putFixture(registry, one, imageFixture(), '1.0');
      expect(await listed(registry, root.digest)).toEqual([]);
    });

    test('what is about a manifest is told of as it describes itself', async () => {
      const registry = await openOne();
      await putFixture(registry, one, imageFixture(), '1.0');
      const annotations = { 'org.example.by': 'somebody' };
      const signature = aboutFixture(subject, { artifactType: 'application/x-sig', annotations });
      await put(registry, one, signature);
      expect(await listed(registry, root.digest)).toEqual([
        { ...describeManifest(signature), artifactType: 'application/x-sig', annotations },
      ]);
    });

    test('without a type of its own it has that of its config; an index has none', async () => {
      const registry = await openOne();
      const plain = aboutFixture(subject);
      await put(registry, one, plain);
      expect(await listed(registry, root.digest)).toEqual([
        { ...describeManifest(plain), artifactType: 'application/vnd.oci.empty.v1+json' },
      ]);
      const index = { mediaType: mediaTypes.ociIndex, manifests: [], config: undefined };
      const list = aboutFixture(subject, { ...index, layers: undefined });
      await put(registry, one, list);
      expect(await listed(registry, root.digest)).toContainEqual(describeManifest(list));
    });

    test('the subject need not be there, and may come later', async () => {
      const registry = await openOne();
      const early = aboutFixture(subject);
      await put(registry, one, early);
      const expected = (await listed(registry, root.digest)).map(({ digest }) => digest);
      expect(expected).toEqual([early.digest]);
      await putFixture(registry, one, imageFixture(), '1.0');
      expect((await listed(registry, root.digest)).map(({ digest }) => digest)).toEqual(expected);
    });

    test('they come in bytewise order of their digests, those of other subjects do not', async () => {
      const registry = await openOne();
      const about = Array.from({ length: 12 }, (_, at) =>
        aboutFixture(subject, { annotations: { at: String(at) } }),
      );
      const other = aboutFixture(describeManifest(imageFixture({ seed: 'other' }).root));
      for (const manifest of [...about, other]) await put(registry, one, manifest);
      await put(registry, 'team/other', aboutFixture(subject, { artifactType: 'elsewhere' }));
      expect((await listed(registry, root.digest)).map(({ digest }) => digest)).toEqual(
        about.map(({ digest }) => digest).sort(),
      );
    });

    test('one that is removed is told of no more, and again once it is back', async () => {
      const registry = await openOne();
      const signature = aboutFixture(subject);
      await put(registry, one, signature);
      expect(await listed(registry, root.digest)).toHaveLength(1);
      await registry.removeManifest(one, signature.digest);
      expect(await listed(registry, root.digest)).toEqual([]);
      await put(registry, one, signature);
      expect(await listed(registry, root.digest)).toHaveLength(1);
    });
  });
}
