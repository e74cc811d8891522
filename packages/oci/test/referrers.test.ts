import {
  codeOf,
  type Descriptor,
  type Digest,
  describe as describeManifest,
  jsonOf,
  keepingLists,
  listedReferrers,
  type Manifest,
  mediaTypes,
  memory,
  mergeReferrers,
  parseDigest,
  parseManifest,
  type Registry,
  referrersIn,
  referrersList,
  referrersTag,
} from '@cluster-image/oci';
import { aboutFixture, imageFixture, indexFixture, putFixture } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';

const image = imageFixture();
const subject = image.root.digest;
const tag = referrersTag(subject);
const [first, second, third] = ['a', 'b', 'c'].map((artifactType) =>
  describeManifest(aboutFixture(describeManifest(image.root), { artifactType })),
);
if (!first || !second || !third) throw new Error('no fixtures');

const listOf = (...manifests: readonly Descriptor[]): Manifest => referrersList(manifests);

async function digestsIn(registry: Registry): Promise<readonly Digest[]> {
  const found = await listedReferrers(registry, 'app', subject);
  return found.map(({ digest }) => digest);
}

describe('the tag of a list of referrers', () => {
  test('is the digest, of which it has 64 characters at most', () => {
    const hex = '0123456789abcdef'.repeat(8);
    expect(tag).toBe(subject.replace(':', '-'));
    expect(referrersTag(parseDigest(`sha512:${hex}`))).toBe(`sha512-${hex.slice(0, 64)}`);
  });

  test('tells a list from an image that is known by its digest only', () => {
    const index = indexFixture(['linux/amd64']).root;
    expect(referrersIn(index, tag)).toEqual(index.manifests);
    expect(referrersIn(index, referrersTag(index.digest))).toBeUndefined();
    expect(referrersIn(image.root, tag)).toBeUndefined();
    expect(referrersIn(index, 'latest')).toBeUndefined();
    expect(referrersIn(index, `${tag}.sig`)).toBeUndefined();
  });
});

describe('a list that is merged', () => {
  test('is the list, byte by byte, where there is none', async () => {
    const registry = memory();
    const list = listOf(first, second);
    expect(await mergeReferrers(registry, 'app', tag, list)).toBe(true);
    expect((await registry.resolve('app', tag))?.digest).toBe(list.digest);
    expect(await digestsIn(registry)).toEqual([first.digest, second.digest]);
  });

  test('takes nothing from the one that is there, nor what else that says', async () => {
    const registry = memory();
    const body = {
      schemaVersion: 2,
      mediaType: mediaTypes.ociIndex,
      manifests: [first, second],
      annotations: { by: 'another' },
      unheard: ['of'],
    };
    await registry.putManifest(
      'app',
      parseManifest(Buffer.from(JSON.stringify(body)), 'list'),
      tag,
    );
    expect(await mergeReferrers(registry, 'app', tag, listOf(third, first))).toBe(true);
    const found = await registry.resolve('app', tag);
    const merged = found && (await registry.manifest('app', found.digest));
    expect(jsonOf(merged?.bytes ?? '')).toEqual({ ...body, manifests: [first, second, third] });
  });

  test('is the longer one as it is, where that has all of the other', async () => {
    const registry = memory();
    const longer = listOf(third, first, second);
    await registry.putManifest('app', listOf(first), tag);
    await mergeReferrers(registry, 'app', tag, longer);
    expect((await registry.resolve('app', tag))?.digest).toBe(longer.digest);
  });

  test('is not written where it has nothing new', async () => {
    const there = memory();
    await there.putManifest('app', listOf(first, second), tag);
    const readOnly: Registry = {
      ...there,
      putManifest: () => Promise.reject(new Error('written')),
    };
    expect(await mergeReferrers(readOnly, 'app', tag, listOf(second))).toBe(false);
  });

  test('has each once, however often it was listed', async () => {
    const registry = memory();
    await registry.putManifest('app', listOf(first, first), tag);
    expect(await mergeReferrers(registry, 'app', tag, listOf(first))).toBe(false);
    await mergeReferrers(registry, 'app', tag, listOf(second, second));
    expect(await digestsIn(registry)).toEqual([first.digest, second.digest]);
  });

  test('leaves a tag that is something else, which is CONFLICT', async () => {
    const registry = memory();
    await putFixture(registry, 'app', image, tag);
    const failure = await mergeReferrers(registry, 'app', tag, listOf(first)).catch(
      (error: unknown) => error,
    );
    expect(codeOf(failure)).toBe('CONFLICT');
    expect((await registry.resolve('app', tag))?.digest).toBe(subject);
    expect(await listedReferrers(registry, 'app', subject)).toEqual([]);
  });

  test('that would be larger than any manifest is MANIFEST_INVALID, and nothing is lost', async () => {
    const registry = memory();
    const large = { ...first, annotations: { text: 'x'.repeat(3_000_000) } };
    const other = { ...second, annotations: { text: 'y'.repeat(3_000_000) } };
    await registry.putManifest('app', listOf(large), tag);
    const failure = await mergeReferrers(registry, 'app', tag, listOf(other)).catch(
      (error: unknown) => error,
    );
    expect(codeOf(failure)).toBe('MANIFEST_INVALID');
    expect(await digestsIn(registry)).toEqual([first.digest]);
  });
});

describe('a registry that keeps lists', () => {
  const fixtures = ['a', 'b', 'c'].map((artifactType) =>
    aboutFixture(describeManifest(image.root), { artifactType }),
  );

  test('lists what is put into it about another, however many come at once', async () => {
    const inner = memory();
    const registry = keepingLists(inner);
    await Promise.all(fixtures.map((about) => registry.putManifest('app', about)));
    expect((await digestsIn(inner)).toSorted()).toEqual(
      fixtures.map(({ digest }) => digest).toSorted(),
    );
    await registry.putManifest('app', image.root, '1');
    expect(await Array.fromAsync(inner.tags('app'))).toEqual(['1', tag]);
  });

  test('leaves the tag to an image that has it', async () => {
    const inner = memory();
    await putFixture(inner, 'app', image, tag);
    const [about] = fixtures;
    if (about) await keepingLists(inner).putManifest('app', about);
    expect((await inner.resolve('app', tag))?.digest).toBe(image.root.digest);
  });
});
