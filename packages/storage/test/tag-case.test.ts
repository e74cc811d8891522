import { codeOf } from '@cluster-image/oci';
import { distributionLayout, type FileSystem } from '@cluster-image/storage';
import { imageFixture, putFixture } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { simulatedDisk } from './simulated-disk.ts';

/** A disk that keeps the case of names and does not tell them apart by it. */
function foldingDisk(): FileSystem {
  const { fs } = simulatedDisk();
  const spelled = new Map<string, string>();
  const fold = (path: string): string => {
    const folded = path.toLowerCase();
    for (let end = path.length; end > 0; end = path.lastIndexOf('/', end - 1)) {
      const key = folded.slice(0, end);
      if (!spelled.has(key)) spelled.set(key, path.slice(path.lastIndexOf('/', end - 1) + 1, end));
    }
    return folded;
  };
  return {
    chmod: (path, mode) => fs.chmod(fold(path), mode),
    link: (existing, path) => fs.link(fold(existing), fold(path)),
    lstat: (path) => fs.lstat(path.toLowerCase()),
    mkdir: (path, options) => fs.mkdir(fold(path), options),
    open: (path, flags, mode) => fs.open(fold(path), flags, mode),
    async opendir(path) {
      const folded = path.toLowerCase();
      const names = await Array.fromAsync(await fs.opendir(folded));
      return (async function* () {
        for (const { name } of names) yield { name: spelled.get(`${folded}/${name}`) ?? name };
      })();
    },
    readFile: (path, encoding) => fs.readFile(path.toLowerCase(), encoding),
    readlink: (path) => fs.readlink(path.toLowerCase()),
    rename: (from, to) => fs.rename(fold(from), fold(to)),
    rm: (path, options) => fs.rm(path.toLowerCase(), options),
    rmdir: (path) => fs.rmdir(path.toLowerCase()),
    stat: (path) => fs.stat(path.toLowerCase()),
    statfs: (path) => fs.statfs(path.toLowerCase()),
    symlink: (target, path) => fs.symlink(target, fold(path)),
    utimes: (path, accessed, modified) => fs.utimes(path.toLowerCase(), accessed, modified),
  };
}

const [one, two] = [imageFixture({ seed: 'one' }), imageFixture({ seed: 'two' })];

describe('S03 tags that differ in case only', () => {
  test('are two where the disk tells them apart', async () => {
    const layout = distributionLayout('/disk', { fs: simulatedDisk().fs });
    await putFixture(layout, 'team/app', one, 'V1');
    await putFixture(layout, 'team/app', two, 'v1');
    expect((await layout.resolve('team/app', 'V1'))?.digest).toBe(one.root.digest);
    expect((await layout.resolve('team/app', 'v1'))?.digest).toBe(two.root.digest);
  });

  test('are refused where it does not, and the first stays', async () => {
    const fs = foldingDisk();
    for (const layout of [
      distributionLayout('/disk', { fs }),
      distributionLayout('/disk', { fs }),
    ]) {
      await putFixture(layout, 'team/app', one, 'V1');
      const second = putFixture(layout, 'team/app', two, 'v1').catch((error: unknown) => error);
      expect(codeOf(await second)).toBe('CONFLICT');
      expect((await layout.resolve('team/app', 'V1'))?.digest).toBe(one.root.digest);
      await putFixture(layout, 'team/other', two, 'v1');
    }
  });

  test('leave alone a tag that moves there', async () => {
    const layout = distributionLayout('/disk', { fs: foldingDisk() });
    await putFixture(layout, 'team/app', one, 'V1');
    await putFixture(layout, 'team/app', two, 'V1');
    expect((await layout.resolve('team/app', 'V1'))?.digest).toBe(two.root.digest);
    expect(await Array.fromAsync(layout.tags('team/app'))).toEqual(['V1']);
  });
});
