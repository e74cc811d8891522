import {
  blobsOf,
  bytes,
  type Context,
  type CopyOptions,
  codeOf,
  copy,
  createContext,
  type Descriptor,
  type Digest,
  describe as describeManifest,
  type Event,
  type Manifest,
  mediaTypes,
  memory,
  OciError,
  parseManifest,
  type Registry,
  readAll,
} from '@cluster-image/oci';
import {
  type ImageFixture,
  imageFixture,
  indexFixture,
  noise,
  putFixture,
} from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { recorder } from './recorder.ts';

interface Sides {
  readonly source: Registry;
  readonly target: Registry;
  readonly asked: string[];
  readonly told: string[];
  run(reference: string, options?: CopyOptions, context?: Context): Promise<Manifest>;
}

async function sides(fixture: ImageFixture, tag = 'v1'): Promise<Sides> {
  const [source, target] = [memory(), memory()];
  await putFixture(source, 'from', fixture, tag);
  const [asked, told]: [string[], string[]] = [[], []];
  return {
    source,
    target,
    asked,
    told,
    run: (reference, options = { tag: reference }, context = createContext()) =>
      copy(
        { registry: recorder(source, asked), repository: 'from' },
        reference,
        { registry: recorder(target, told), repository: 'to' },
        options,
        context,
      ),
  };
}

const writes = (calls: readonly string[]): string[] =>
  calls.filter((call) => call.startsWith('put'));

function indexOf(children: readonly Manifest[]): Manifest {
  const body = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociIndex,
    manifests: children.map(describeManifest),
  };
  return parseManifest(Buffer.from(JSON.stringify(body)), 'index');
}

async function expectWhole(target: Registry, fixture: ImageFixture): Promise<void> {
  for (const manifest of fixture.manifests) {
    expect((await target.manifest('to', manifest.digest))?.bytes).toEqual(manifest.bytes);
  }
  for (const [digest, body] of fixture.blobs) {
    const blob = await target.blob('to', digest);
    expect(blob && (await readAll(blob, body.length))).toEqual(body);
  }
}

describe('the order', () => {
  test('D02: parts come before what names them, and the tag comes last', async () => {
    const index = indexFixture(['linux/amd64', 'linux/arm64', 'linux/arm/v7']);
    const { target, told, run } = await sides(index);
    await run('v1');
    const order = writes(told);
    for (const manifest of index.manifests) {
      const parts = manifest.kind === 'image' ? blobsOf(manifest) : manifest.manifests;
      const own = order.findIndex((call) => call.startsWith(`putManifest ${manifest.digest}`));
      for (const part of parts) {
        const before = order.findIndex((call) => call.includes(part.digest));
        expect(before).toBeGreaterThanOrEqual(0);
        expect(before).toBeLessThan(own);
      }
    }
    expect(order.at(-1)).toBe(`putManifest ${index.root.digest} as v1`);
    expect(order.filter((call) => call.includes(' as '))).toHaveLength(1);
    await expectWhole(target, index);
  });

  test('a part that fails keeps back what names it, and the others are finished', async () => {
    const index = indexFixture(['linux/amd64', 'linux/arm64']);
    const { source, target, told, run } = await sides(index);
    const [first, second] = index.root.manifests;
    const broken = first && (await source.manifest('from', first.digest));
    const layer = broken?.kind === 'image' ? broken.layers[0]?.digest : undefined;
    const failing: Registry = {
      ...source,
      async blob(repository, digest, size) {
        if (digest === layer) throw new OciError('NETWORK', 'the line went dead');
        return source.blob(repository, digest, size);
      },
    };
    const failure = await copy(
      { registry: failing, repository: 'from' },
      'v1',
      { registry: recorder(target, told), repository: 'to' },
      { tag: 'v1' },
      createContext(),
    ).catch((error) => error);
    expect(codeOf(failure)).toBe('NETWORK');
    expect(await target.resolve('to', 'v1')).toBeUndefined();
    expect(first && (await target.manifest('to', first.digest))).toBeUndefined();
    expect(second && (await target.manifest('to', second.digest))).toBeDefined();
    expect(writes(told).some((call) => call.includes(index.root.digest))).toBe(false);
    await run('v1');
    await expectWhole(target, index);
  });
});

describe('what the target has is not read from the source', () => {
  test('an image under its tag costs one question to each side', async () => {
    const image = imageFixture();
    const { asked, told, run } = await sides(image);
    await run('v1');
    asked.length = told.length = 0;
    expect((await run('v1')).digest).toBe(image.root.digest);
    expect(asked).toEqual(['resolve v1', `manifest ${image.root.digest}`]);
    expect(told).toEqual(['resolve v1']);
  });

  test.each([
    ['an image', imageFixture()],
    ['an index', indexFixture(['linux/amd64', 'linux/arm64'])],
  ])('%s gets another tag without its parts being looked at', async (_, fixture) => {
    const { asked, told, run } = await sides(fixture);
    await run('v1');
    asked.length = told.length = 0;
    await run('v1', { tag: 'v2' });
    expect(asked).toEqual(['resolve v1', `manifest ${fixture.root.digest}`]);
    expect(writes(told)).toEqual([`putManifest ${fixture.root.digest} as v2`]);
  });

  test('a blob is skipped, and reported as present', async () => {
    const image = imageFixture();
    const { target, asked, run } = await sides(image);
    const [layer] = image.root.layers;
    const body = layer && image.blobs.get(layer.digest);
    if (!layer || !body) throw new Error('no layer');
    await target.putBlob('to', layer.digest, bytes(body));
    const events: Event[] = [];
    await run('v1', {}, createContext({ report: (event) => events.push(event) }));
    expect(asked).not.toContain(`open ${layer.digest}`);
    expect(states(events, layer.digest)).toEqual(['present']);
  });

  test('a child is skipped, manifest and all', async () => {
    const index = indexFixture(['linux/amd64', 'linux/arm64']);
    const { target, asked, told, run } = await sides(index);
    const [first, second] = index.root.manifests;
    if (!first || !second) throw new Error('no children');
    await copy(
      { registry: (await sides(index)).source, repository: 'from' },
      first.digest,
      { registry: target, repository: 'to' },
      {},
      createContext(),
    );
    await run('v1');
    expect(asked).toContain(`manifest ${second.digest}`);
    expect(asked).not.toContain(`manifest ${first.digest}`);
    expect(writes(told)).not.toContain(`putManifest ${first.digest}`);
    await expectWhole(target, index);
  });

  test('C22: what is named twice is moved once', async () => {
    const [layer, shared] = [noise('twice', 500), noise('shared', 700)];
    const one = imageFixture({ seed: 'one', layers: [layer, layer, shared] });
    const two = imageFixture({ seed: 'two', platform: 'linux/arm64', layers: [shared] });
    const root = indexOf([one.root, two.root, one.root]);
    const fixture = {
      root,
      manifests: [one.root, two.root, root],
      blobs: new Map([...one.blobs, ...two.blobs]),
    };
    const { target, asked, told, run } = await sides(fixture);
    await run('v1');
    const counted = [...asked, ...writes(told)];
    expect(new Set(counted).size).toBe(counted.length);
    expect(asked.filter((call) => call.startsWith('open'))).toHaveLength(fixture.blobs.size);
    await expectWhole(target, fixture);
  });

  test('a repository to mount from is handed on', async () => {
    const { told, run } = await sides(imageFixture({ layers: [10] }));
    await run('v1', { mountFrom: 'elsewhere' });
    expect(told.filter((call) => call.endsWith(' from elsewhere'))).toHaveLength(2);
  });
});

describe('a filter on children', () => {
  const index = indexFixture(['linux/amd64', 'linux/arm64', 'linux/arm/v6']);
  const only =
    (...architectures: readonly string[]) =>
    (child: Descriptor): boolean =>
      architectures.includes(child.platform?.architecture ?? '');

  test('brings the index as it is and only those children', async () => {
    const { target, asked, run } = await sides(index);
    await run('v1', { tag: 'v1', children: only('arm64') });
    const [amd64, arm64, arm] = index.root.manifests;
    expect((await target.resolve('to', 'v1'))?.digest).toBe(index.root.digest);
    expect(arm64 && (await target.manifest('to', arm64.digest))).toBeDefined();
    for (const other of [amd64, arm]) {
      expect(other && (await target.manifest('to', other.digest))).toBeUndefined();
      expect(asked).not.toContain(`manifest ${other?.digest}`);
    }
  });

  test('that lets more through than last time brings what was left out', async () => {
    const { target, asked, run } = await sides(index);
    await run('v1', { tag: 'v1', children: only('amd64') });
    asked.length = 0;
    await run('v1', { tag: 'v1', children: only('amd64', 'arm64') });
    const [amd64, arm64] = index.root.manifests;
    expect(arm64 && (await target.manifest('to', arm64.digest))).toBeDefined();
    expect(asked).not.toContain(`manifest ${amd64?.digest}`);
    await run('v1', { tag: 'v1', recheck: true });
    await expectWhole(target, index);
  });
});

describe('with recheck', () => {
  test('a blob that went missing under a manifest comes back', async () => {
    const image = imageFixture();
    const { target, run } = await sides(image);
    await target.putManifest('to', image.root, 'v1');
    await run('v1');
    expect(await target.blob('to', image.root.config.digest)).toBeUndefined();
    await run('v1', { tag: 'v1', recheck: true });
    await expectWhole(target, image);
  });
});

describe('a target that refuses a manifest for want of a part', () => {
  async function refusing(times: number) {
    const index = indexFixture(['linux/amd64', 'linux/arm64']);
    const { source, target } = await sides(index);
    const [child] = index.manifests.filter(({ kind }) => kind === 'image');
    if (!child) throw new Error('no child');
    // An interrupted push left the child without its blobs.
    await target.putManifest('to', child);
    let refused = 0;
    const registry: Registry = {
      ...target,
      async putManifest(repository, manifest, tag) {
        if (manifest.kind === 'index' && refused < times) {
          refused += 1;
          throw new OciError('NOT_FOUND', 'manifest blob unknown');
        }
        await target.putManifest(repository, manifest, tag);
      },
    };
    const from = { registry: source, repository: 'from' };
    const to = { registry, repository: 'to' };
    const done = copy(from, 'v1', to, { tag: 'v1' }, createContext());
    return { index, target, done, refused: () => refused };
  }

  test('C29: gets every part again', async () => {
    const { index, target, done } = await refusing(1);
    await done;
    await expectWhole(target, index);
  });

  test('C29: is not asked a third time', async () => {
    const { done, refused } = await refusing(9);
    await expect(done).rejects.toMatchObject({ code: 'NOT_FOUND' });
    expect(refused()).toBe(2);
  });
});

describe('a target that is damaged', () => {
  test.each(['DIGEST_MISMATCH', 'DIGEST_INVALID', 'SIZE_MISMATCH', 'MANIFEST_INVALID'] as const)(
    'D04: answers %s and gets the image again',
    async (code) => {
      const image = imageFixture();
      const { source, target } = await sides(image);
      const damaged: Registry = {
        ...target,
        async resolve() {
          throw new OciError(code, 'damaged');
        },
      };
      const from = { registry: source, repository: 'from' };
      await copy(
        from,
        'v1',
        { registry: damaged, repository: 'to' },
        { tag: 'v1' },
        createContext(),
      );
      await expectWhole(target, image);
      expect((await target.resolve('to', 'v1'))?.digest).toBe(image.root.digest);
    },
  );

  test('any other failure of it is the failure of the copy', async () => {
    const { source, target } = await sides(imageFixture());
    const refusing: Registry = {
      ...target,
      async resolve() {
        throw new OciError('DENIED', 'no');
      },
    };
    const from = { registry: source, repository: 'from' };
    const to = { registry: refusing, repository: 'to' };
    await expect(copy(from, 'v1', to, {}, createContext())).rejects.toMatchObject({
      code: 'DENIED',
    });
  });
});

describe('a source that lacks something', () => {
  const index = indexFixture(['linux/amd64', 'linux/arm64']);

  test.each([
    ['a tag', 'none', 'tag none'],
    ['a digest', `sha256:${'0'.repeat(64)}`, `manifest sha256:${'0'.repeat(64)}`],
  ])('%s is NOT_FOUND, naming it', async (_, reference, named) => {
    const { run, told } = await sides(index);
    const failure = await run(reference, {}).catch((error) => error);
    expect(codeOf(failure)).toBe('NOT_FOUND');
    expect(String(failure)).toContain(`from: the source has no ${named}`);
    expect(told).toEqual([]);
  });

  test('a child is NOT_FOUND, naming it and its index', async () => {
    const source = memory();
    await source.putManifest('from', index.root, 'v1');
    const to = { registry: memory(), repository: 'to' };
    const failure = await copy(
      { registry: source, repository: 'from' },
      'v1',
      to,
      {},
      createContext(),
    ).catch((error) => error);
    expect(codeOf(failure)).toBe('NOT_FOUND');
    expect(String(failure)).toContain(
      `manifest ${index.root.manifests[0]?.digest} of index ${index.root.digest}`,
    );
  });

  test('a blob is NOT_FOUND, naming it', async () => {
    const source = memory();
    const image = imageFixture();
    await source.putManifest('from', image.root, 'v1');
    const to = { registry: memory(), repository: 'to' };
    const failure = await copy(
      { registry: source, repository: 'from' },
      'v1',
      to,
      {},
      createContext(),
    ).catch((error) => error);
    expect(codeOf(failure)).toBe('NOT_FOUND');
    expect(String(failure)).toContain(`from: the source has no blob ${image.root.config.digest}`);
  });
});

describe('sizes', () => {
  test('C21: a blob of another size than its descriptor says is SIZE_MISMATCH, and not read', async () => {
    const image = imageFixture({ layers: [1000] });
    const { source, target, run } = await sides(image);
    const asked: string[] = [];
    const short = recorder({ ...source, blob: async () => bytes(noise('x', 999)) }, asked);
    const from = { registry: short, repository: 'from' };
    const to = { registry: target, repository: 'to' };
    await expect(copy(from, 'v1', to, {}, createContext())).rejects.toMatchObject({
      code: 'SIZE_MISMATCH',
    });
    expect(asked.filter((call) => call.startsWith('open'))).toEqual([]);
    expect(await target.resolve('to', image.root.digest)).toBeUndefined();
    await run('v1');
    await expectWhole(target, image);
  });

  test('C21: a child of another size than its index says is SIZE_MISMATCH', async () => {
    const { root } = imageFixture();
    const body = JSON.stringify({
      schemaVersion: 2,
      mediaType: mediaTypes.ociIndex,
      manifests: [{ ...describeManifest(root), size: root.size + 1 }],
    });
    const index = parseManifest(Buffer.from(body), 'index');
    const { run, target } = await sides({
      root: index,
      manifests: [root, index],
      blobs: new Map(),
    });
    await expect(run('v1')).rejects.toMatchObject({ code: 'SIZE_MISMATCH' });
    expect(await target.resolve('to', 'v1')).toBeUndefined();
  });
});

describe('nesting', () => {
  function nested(depth: number): ImageFixture {
    const image = imageFixture();
    const manifests: Manifest[] = [image.root];
    for (let level = 0; level < depth; level++) manifests.push(indexOf(manifests.slice(-1)));
    return { root: manifests.at(-1) ?? image.root, manifests, blobs: image.blobs };
  }

  test('of four levels is copied', async () => {
    const fixture = nested(4);
    const { target, run } = await sides(fixture);
    await run('v1');
    await expectWhole(target, fixture);
  });

  test('C22: of more levels is MANIFEST_INVALID, and nothing is tagged', async () => {
    const { target, run } = await sides(nested(5));
    await expect(run('v1')).rejects.toMatchObject({ code: 'MANIFEST_INVALID' });
    expect(await target.resolve('to', 'v1')).toBeUndefined();
  });
});

test('C23: a layer that may not be passed on is left out with a warning', async () => {
  const foreign = 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip';
  const image = imageFixture({ layers: [10] });
  const body = Buffer.from(image.root.bytes)
    .toString()
    .replace(/("layers":\[\{"mediaType":")[^"]*/, `$1${foreign}`);
  const root = parseManifest(Buffer.from(body), 'foreign');
  const { asked, run } = await sides({ ...image, root, manifests: [root] });
  const events: Event[] = [];
  await run('v1', {}, createContext({ report: (event) => events.push(event) }));
  const layer = image.root.layers[0]?.digest;
  expect(events.filter((event) => event.type === 'warning')).toMatchObject([
    { message: expect.stringContaining(`layer ${layer}`) },
  ]);
  expect(asked.filter((call) => layer && call.includes(layer))).toEqual([]);
});

test('events count the bytes of each blob', async () => {
  const image = imageFixture({ layers: [1000, 3000] });
  const { run } = await sides(image);
  const events: Event[] = [];
  await run('v1', {}, createContext({ report: (event) => events.push(event) }));
  for (const { digest, size } of blobsOf(image.root)) {
    expect(states(events, digest)).toEqual(['start', 'moved', 'done']);
    const moved = events.flatMap((event) =>
      event.type === 'blob' && event.digest === digest ? [event.moved ?? 0] : [],
    );
    expect(moved.reduce((sum, bytes) => sum + bytes, 0)).toBe(size);
  }
});

describe('an interruption', () => {
  test('before the start moves nothing', async () => {
    const { told, run } = await sides(imageFixture());
    await expect(
      run('v1', {}, createContext({ signal: AbortSignal.abort() })),
    ).rejects.toMatchObject({ code: 'ABORTED' });
    expect(writes(told)).toEqual([]);
  });

  test('in the middle lets no further blob begin, and nothing is tagged', async () => {
    const image = imageFixture({
      layers: [100, 100, 100, 100].map((size, at) => noise(`${at}`, size)),
    });
    const { target, told, run } = await sides(image);
    const controller = new AbortController();
    let queue = Promise.resolve();
    const context = createContext({
      signal: controller.signal,
      report: (event) => {
        if (event.type === 'blob' && event.state === 'done') controller.abort();
      },
      transfer(job) {
        const result = queue.then(job);
        queue = result.then(
          () => {},
          () => {},
        );
        return result;
      },
    });
    await expect(run('v1', { tag: 'v1' }, context)).rejects.toMatchObject({ code: 'ABORTED' });
    expect(writes(told)).toHaveLength(1);
    expect(await target.resolve('to', 'v1')).toBeUndefined();
  });
});

test('every read from the source of a child or a blob waits for its turn', async () => {
  let [running, most] = [0, 0];
  const waiting: (() => void)[] = [];
  const context = createContext({
    async transfer(job) {
      if (running === 2) await new Promise<void>((resolve) => waiting.push(resolve));
      running += 1;
      most = Math.max(most, running);
      try {
        return await job();
      } finally {
        running -= 1;
        waiting.shift()?.();
      }
    },
  });
  const { run } = await sides(indexFixture(['linux/amd64', 'linux/arm64', 'linux/386']));
  await run('v1', {}, context);
  expect(most).toBe(2);
});

function states(events: readonly Event[], digest: Digest): string[] {
  return events.flatMap((event) =>
    event.type === 'blob' && event.digest === digest ? [event.state] : [],
  );
}
