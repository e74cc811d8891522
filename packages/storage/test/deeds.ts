import { bytes, readAll } from '@cluster-image/oci';
import {
  type DistributionLayout,
  directory,
  distributionLayout,
  type FileSystem,
  file,
  ociLayout,
  readThinImage,
  saveFile,
  type VirtualImage,
  writeThinImage,
} from '@cluster-image/storage';
import {
  type ImageFixture,
  imageFixture,
  indexFixture,
  noise,
  putFixture,
} from '@cluster-image/testing';
import { expect } from 'vitest';
import { wholeTag } from './wreck.ts';

export const root = '/disk';

/** Something that is written, and what must hold of the disk at any moment. */
export interface Deed {
  /** Brings an empty directory to where the deed begins. */
  prepare(fs: FileSystem): Promise<void>;
  run(fs: FileSystem): Promise<void>;
  /** Asserts that all is as before, or as after, and says which. */
  check(fs: FileSystem): Promise<'before' | 'after'>;
  /** It writes nothing. */
  readonly isRemoval?: true;
}

const one = imageFixture({ seed: 'one', layers: [1000] });
const two = imageFixture({ seed: 'two', layers: [2000] });
const out = `${root}/out/file.tar`;

/** An image for two platforms, put into a store: the deed of the most calls. */
export const largeDeed: Deed = putting(multiArch('before'), multiArch('after'), true);

export const deeds: Readonly<Record<string, Deed>> = {
  'an image, put into a store': putting(one, two, true),
  'an image, put into a registry directory': putting(one, two, false),
  'a tag that moves': {
    ...putting(one, two, false),
    async prepare(fs) {
      await put(fs, two, false);
      await put(fs, one, false);
    },
  },
  'an image that is pushed, its blobs gathered first': {
    ...putting(one, two, false),
    run: (fs) => push(fs, two),
  },
  'a tag that is claimed': {
    prepare: (fs) => put(fs, one, false),
    run: claim,
    async check(fs) {
      const layout = distributionLayout(root, { fs });
      expect(await wholeTag(layout, 'team/app', 'latest')).toBe(one.root.digest);
      const digest = await wholeTag(layout, 'team/app', 'claimed');
      if (digest) expect(digest).toBe(two.root.digest);
      return digest ? 'after' : 'before';
    },
  },
  'a tag that is removed': removing((layout) => layout.removeTag('team/app', 'latest')),
  'a manifest that is removed, with its tag': removing((layout) =>
    layout.removeManifest('team/app', one.root.digest),
  ),
  'an image in an OCI layout': {
    prepare: (fs) => putFixture(ociLayout(root, { fs }), '', one, '1'),
    run: (fs) => putFixture(ociLayout(root, { fs }), '', two, '2'),
    async check(fs) {
      const layout = ociLayout(root, { fs });
      expect(await wholeTag(layout, '', '1')).toBe(one.root.digest);
      const second = await wholeTag(layout, '', '2');
      if (second) expect(second).toBe(two.root.digest);
      return second ? 'after' : 'before';
    },
  },
  'a thin image': {
    prepare: (fs) => writeThinImage(root, thin('before'), fs),
    run: (fs) => writeThinImage(root, thin('after'), fs),
    async check(fs) {
      const found = await readThinImage(directory(root, undefined, fs), root);
      const moment = found?.name === 'after' ? 'after' : 'before';
      expect(found).toEqual(thin(moment));
      return moment;
    },
  },
  'a file': {
    prepare: (fs) => saveFile(out, bytes(noise('before', 3000)), fs),
    run: (fs) => saveFile(out, bytes(noise('after', 5000)), fs),
    async check(fs) {
      const found = await file(out, fs);
      const moment = found?.size === 5000 ? 'after' : 'before';
      const expected = noise(moment, moment === 'after' ? 5000 : 3000);
      expect(found && (await readAll(found, 5000))).toEqual(expected);
      return moment;
    },
  },
};

function putting(before: ImageFixture, after: ImageFixture, resumable: boolean): Deed {
  return {
    prepare: (fs) => put(fs, before, resumable),
    run: (fs) => put(fs, after, resumable),
    async check(fs) {
      const digest = await wholeTag(distributionLayout(root, { fs }), 'team/app', 'latest');
      expect([before.root.digest, after.root.digest]).toContain(digest);
      return digest === after.root.digest ? 'after' : 'before';
    },
  };
}

function put(fs: FileSystem, image: ImageFixture, resumable: boolean): Promise<void> {
  return putFixture(distributionLayout(root, { fs, resumable }), 'team/app', image, 'latest');
}

/** As the server does with what comes. */
async function push(fs: FileSystem, image: ImageFixture): Promise<void> {
  const layout = distributionLayout(root, { fs });
  for (const [digest, body] of image.blobs) {
    const spooled = await layout.begin();
    try {
      for (const half of [body.subarray(0, 500), body.subarray(500)]) {
        await spooled.append(bytes(half).open());
      }
      await layout.putBlob('team/app', digest, await spooled.content());
    } finally {
      await spooled.end();
    }
  }
  await layout.putManifest('team/app', image.root, 'latest');
}

async function claim(fs: FileSystem): Promise<void> {
  const layout = distributionLayout(root, { fs });
  for (const [digest, body] of two.blobs) await layout.putBlob('team/app', digest, bytes(body));
  expect(await layout.claimTag('team/app', two.root, 'claimed')).toBe(true);
}

function removing(remove: (layout: DistributionLayout) => Promise<boolean>): Deed {
  return {
    isRemoval: true,
    async prepare(fs) {
      await put(fs, two, false);
      await put(fs, one, false);
    },
    async run(fs) {
      await remove(distributionLayout(root, { fs }));
    },
    async check(fs) {
      const layout = distributionLayout(root, { fs });
      expect(await wholeTag(layout, 'team/app', two.root.digest)).toBe(two.root.digest);
      const digest = await wholeTag(layout, 'team/app', 'latest');
      if (digest) expect(digest).toBe(one.root.digest);
      return digest ? 'before' : 'after';
    },
  };
}

/** Two platforms that share three layers. */
function multiArch(seed: string): ImageFixture {
  const layers = [100, 2000, 50].map((size, at) => noise(`${seed} ${at}`, size));
  return indexFixture(['linux/amd64', 'linux/arm64'], { seed, layers });
}

function thin(name: string): VirtualImage {
  const image = imageFixture({ seed: name, layers: [200] });
  const [layer] = image.root.layers;
  const config = image.blobs.get(image.root.config.digest);
  if (!layer || !config) throw new Error('no layer');
  return {
    name,
    root: image.root,
    manifests: new Map([[image.root.digest, image.root]]),
    configs: new Map([[image.root.config.digest, config]]),
    plans: new Map([
      [
        layer.digest,
        { formatVersion: 1, entries: [{ type: 'text', path: name, mode: 0o644, text: name }] },
      ],
    ]),
  };
}
