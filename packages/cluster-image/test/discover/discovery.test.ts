import { describe, expect, test } from 'vitest';
import { type Found, merge, nothing } from '../../src/discover/discovery.ts';

const found = (reference: string, line: number, rest: Partial<Found> = {}): Found => ({
  reference,
  ...rest,
  origins: [{ file: 'f', line }],
});

function merged(...images: readonly Found[]) {
  return merge(images.map((image) => ({ ...nothing, images: [image] })));
}

describe('findings are put together', () => {
  test('sorted by reference, each once, with every place in the order of finding', () => {
    const { images } = merged(found('b', 2), found('a', 1), found('b', 1), found('b', 2));
    expect(images).toEqual([
      { reference: 'a', origins: [{ file: 'f', line: 1 }] },
      {
        reference: 'b',
        origins: [
          { file: 'f', line: 2 },
          { file: 'f', line: 1 },
        ],
      },
    ]);
  });

  test('suspects by text and reason', () => {
    const suspect = (text: string, reason: string, line: number) => ({
      ...nothing,
      suspects: [{ text, reason, origins: [{ file: 'f', line }] }],
    });
    const all = [suspect('x', 'one', 1), suspect('x', 'two', 2), suspect('x', 'one', 3)];
    expect(merge(all).suspects.map(({ reason, origins }) => [reason, origins.length])).toEqual([
      ['one', 2],
      ['two', 1],
    ]);
  });

  test('an image that an archive brings is that archive for whoever refers to it', () => {
    const archive = 'docker-archive:a.tar';
    expect(merged(found('a', 1), found('a', 2, { archive }))).toEqual({
      ...nothing,
      images: [
        {
          reference: 'a',
          archive,
          origins: [
            { file: 'f', line: 1 },
            { file: 'f', line: 2 },
          ],
        },
      ],
    });
  });

  test('an archive keeps a name of its own only while nobody asks for it by another', () => {
    const own = { archive: 'docker-archive:a.tar', repository: 'a' };
    expect(merged(found('a', 1, own)).images).toMatchObject([own]);
    const [shared] = merged(found('a', 1, own), found('a', 2)).images;
    expect(shared).toMatchObject({ archive: own.archive });
    expect(shared).not.toHaveProperty('repository');
  });

  test('two archives cannot bring one image', () => {
    const { images, unresolved } = merged(
      found('a', 1, { archive: 'docker-archive:a.tar' }),
      found('a', 2, { archive: 'oci-archive:b.tar' }),
    );
    expect(images).toHaveLength(1);
    expect(unresolved).toEqual([
      {
        text: 'a',
        reason: 'in oci-archive:b.tar and in docker-archive:a.tar',
        origin: { file: 'f', line: 2 },
      },
    ]);
  });

  test('one image in a hundred thousand places', () => {
    const images = Array.from({ length: 100_000 }, (_, at) => found('a', at));
    expect(merge([{ ...nothing, images }]).images[0]?.origins).toHaveLength(100_000);
  });
});
