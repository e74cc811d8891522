import { statSync } from 'node:fs';
import { join } from 'node:path';
import { codeOf } from '@cluster-image/oci';
import {
  type DistributionLayout,
  distributionLayout,
  type FileSystem,
  layoutPaths,
} from '@cluster-image/storage';
import { imageFixture, putFixture, temporaryDirectory } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { unsynced } from './unsynced.ts';

const images = ['one', 'two', 'three', 'four'].map((seed) => imageFixture({ seed, layers: [100] }));
const [one, two] = [imageFixture({ seed: 'one' }), imageFixture({ seed: 'two' })];

/** A file system whose files have one name only. */
function singleNames(code: string): FileSystem {
  return {
    ...unsynced,
    link: () => Promise.reject(Object.assign(new Error(code), { code })),
  };
}

async function meaningOf(layout: DistributionLayout, tag: string): Promise<string | undefined> {
  return (await layout.resolve('team/app', tag))?.digest;
}

describe.each([
  ['', unsynced],
  [', where files have one name only', singleNames('EPERM')],
])('a tag that is claimed%s', (_, fs) => {
  test('is given its meaning once, and tells who comes later', async () => {
    const layout = distributionLayout(await temporaryDirectory(), { fs });
    await putFixture(layout, 'team/app', one, 'other');
    await putFixture(layout, 'team/app', two, 'another');
    expect(await layout.claimTag('team/app', one.root, 'key')).toBe(true);
    expect(await layout.claimTag('team/app', two.root, 'key')).toBe(false);
    expect(await layout.claimTag('team/app', one.root, 'key')).toBe(true);
    expect(await meaningOf(layout, 'key')).toBe(one.root.digest);
    expect(await layout.claimTag('team/app', two.root, 'other')).toBe(false);
    expect(await meaningOf(layout, 'other')).toBe(one.root.digest);
  });

  test('is one of those that claim it at a time', async () => {
    const root = await temporaryDirectory();
    for (const image of images) {
      await putFixture(distributionLayout(root, { fs }), 'team/app', image, 'stored');
    }
    for (let round = 0; round < 10; round++) {
      const claims = images.map(({ root: manifest }) =>
        distributionLayout(root, { fs }).claimTag('team/app', manifest, `key-${round}`),
      );
      const won = await Promise.all(claims);
      const winner = images[won.indexOf(true)]?.root.digest;
      expect(won.filter((isWon) => isWon)).toEqual([true]);
      expect(await meaningOf(distributionLayout(root), `key-${round}`)).toBe(winner);
    }
  });
});

test('a claimed tag is a file of its own, as docker-registry has it', async () => {
  const root = await temporaryDirectory();
  const layout = distributionLayout(root, { fs: unsynced });
  await putFixture(layout, 'team/app', one, 'other');
  await layout.claimTag('team/app', one.root, 'key');
  const { nlink, mode } = statSync(join(root, layoutPaths.tag('team/app', 'key')));
  expect([nlink, mode & 0o777]).toEqual([1, 0o644]);
});

test('a disk that fails otherwise is FILE_SYSTEM, and nothing is claimed', async () => {
  const root = await temporaryDirectory();
  await putFixture(distributionLayout(root, { fs: unsynced }), 'team/app', one, 'other');
  const layout = distributionLayout(root, { fs: singleNames('EIO') });
  const failure = await layout.claimTag('team/app', one.root, 'key').catch((error) => error);
  expect(codeOf(failure)).toBe('FILE_SYSTEM');
  expect(await meaningOf(layout, 'key')).toBeUndefined();
});
