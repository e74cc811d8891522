import { handler, listen, network, type RemoteRegistry } from '@cluster-image/distribution';
import {
  createContext,
  type Digest,
  describe as describeManifest,
  type Event,
  listedReferrers,
  type Manifest,
  memory,
  OciError,
  parsePlatform,
  type Referring,
  type Registry,
  referrersList,
  referrersTag,
} from '@cluster-image/oci';
import { distributionLayout, verifyLayout } from '@cluster-image/storage';
import {
  type FaultRegistry,
  type FaultRegistryOptions,
  faultRegistry,
  imageFixture,
  indexFixture,
  putFixture,
  temporaryDirectory,
} from '@cluster-image/testing';
import { describe, expect, onTestFinished, test } from 'vitest';
import { nameFilter } from '../src/sync/names.ts';
import type { SyncReport } from '../src/sync/report.ts';
import { type SyncSource, type SyncTarget, sync } from '../src/sync.ts';
import { bareIndexFixture } from './artifacts.ts';
import { failureOf } from './failure.ts';
import {
  about,
  abouts,
  cosign,
  cosignTag,
  image,
  index,
  provenance,
  putAbout,
  putLists,
  putSigned,
  sbom,
  signature,
} from './sync/signed.ts';

interface Choice {
  readonly only?: readonly string[];
  readonly except?: readonly string[];
  readonly platform?: string;
  readonly signal?: AbortSignal;
  readonly events?: Event[];
}

function run(source: SyncSource, target: SyncTarget, choice: Choice = {}): Promise<SyncReport> {
  const { only = [], except = [], platform, events, signal } = choice;
  return sync(
    source,
    target,
    {
      filter: nameFilter(only, except),
      ...(platform !== undefined && { platform: parsePlatform(platform) }),
    },
    createContext({
      ...(events && { report: (event) => events.push(event) }),
      ...(signal && { signal }),
    }),
  );
}

/** The registry at a host, over the network. */
function remoteAt(host: string): RemoteRegistry {
  const opened = network({
    context: createContext(),
    hosts: { [host]: { plainHttp: true } },
    sleep: async () => {},
  });
  onTestFinished(() => opened.close());
  return opened.registry(host);
}

const asSource = (registry: RemoteRegistry): SyncSource => ({ registry, referring: registry });

const asTarget = (registry: RemoteRegistry): SyncTarget => ({
  registry,
  knows: registry.knowsReferrers,
});

/** A target in memory that knows nothing by itself. */
function unknowing(registry: Registry = memory()): SyncTarget {
  return { registry, knows: async () => false };
}

interface Side {
  readonly server: FaultRegistry;
  readonly source: SyncSource;
  readonly target: SyncTarget;
}

/** A registry over the network that knows what is about manifests, or does not. */
async function side(knows: boolean, options: FaultRegistryOptions = {}): Promise<Side> {
  const registry = memory();
  const server = await faultRegistry({
    registry,
    pageSize: 100,
    ...(knows && { referring: registry }),
    ...options,
  });
  const remote = remoteAt(server.host);
  return { server, source: asSource(remote), target: asTarget(remote) };
}

const states = ({ images }: SyncReport): readonly string[] =>
  images.map(({ repository, tag, state }) => `${repository}:${tag} ${state}`).sort();

/** What was asked of a server since its log had that length, each kind of request with its number. */
function asked({ log }: FaultRegistry, from = 0): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const { method, kind } of log.slice(from)) {
    counts[`${method} ${kind}`] = (counts[`${method} ${kind}`] ?? 0) + 1;
  }
  return counts;
}

/** What is known at a registry to be about what. */
async function expectAbout(registry: Registry, referring: Referring): Promise<void> {
  for (const [repository, manifest] of abouts) {
    const subject = manifest.subject?.digest;
    if (!subject) throw new Error('no subject');
    const listed = await Array.fromAsync(referring.referrers(repository, subject));
    expect(listed.map(({ digest }) => digest)).toEqual([manifest.digest]);
    const found = await registry.manifest(repository, manifest.digest);
    expect(new Uint8Array(found?.bytes ?? [])).toEqual(manifest.bytes);
  }
  expect((await registry.resolve('app', '1'))?.digest).toBe(image.root.digest);
  expect((await registry.resolve('team/index', '1'))?.digest).toBe(index.root.digest);
  expect((await registry.resolve('app', cosignTag))?.digest).toBe(cosign.root.digest);
}

const listsOf = (registry: Registry): Referring => ({
  async *referrers(repository, subject) {
    yield* await listedReferrers(registry, repository, subject);
  },
});

describe('what is about images is brought with them', () => {
  test.each([
    ['knows', 'knows', false],
    ['knows', 'does not', true],
    ['does not', 'knows', false],
    ['does not', 'does not', true],
  ])('from a registry that %s to one that %s', async (from, to, isListed) => {
    const [source, target] = [await side(from === 'knows'), await side(to === 'knows')];
    await putSigned(source.server.registry);
    if (from === 'does not') await putLists(source.server.registry);
    const report = await run(source.source, target.target, { only: ['app:1', 'team/*:1'] });
    expect(states(report)).toEqual(['app:1 copied', 'team/index:1 copied']);
    const { registry } = target.server;
    await expectAbout(registry, to === 'knows' ? remoteAt(target.server.host) : listsOf(registry));
    const listTag = await registry.resolve('app', referrersTag(image.root.digest));
    expect(listTag !== undefined).toBe(isListed);
    expect(report.about).toEqual({ copied: 4, present: 0 });
    expect(report.images.find(({ repository }) => repository === 'app')?.about).toEqual([
      { subject: image.root.digest, digest: sbom.digest, artifactType: 'sbom', state: 'copied' },
      { subject: image.root.digest, digest: cosign.root.digest, tag: cosignTag, state: 'copied' },
      {
        subject: sbom.digest,
        digest: signature.digest,
        artifactType: 'signature',
        state: 'copied',
      },
    ]);
    const again = await run(source.source, target.target, { only: ['app:1', 'team/*:1'] });
    expect(states(again)).toEqual(['app:1 present', 'team/index:1 present']);
    expect([again.about, again.bytes]).toEqual([{ copied: 0, present: 4 }, 0]);
  });

  test('into a directory, which lists them for whoever serves it, and back', async () => {
    const source = await side(true);
    await putSigned(source.server.registry);
    const layout = distributionLayout(await temporaryDirectory());
    await run(source.source, unknowing(layout));
    await expectAbout(layout, layout);
    await expectAbout(layout, listsOf(layout));
    expect((await verifyLayout(layout, { sparse: false })).problems).toEqual([]);
    const back = await side(true);
    const report = await run({ registry: layout, referring: layout }, back.target);
    await expectAbout(back.server.registry, remoteAt(back.server.host));
    expect(report.counts.failed).toBe(0);
  });

  test('into our own server, which knows by itself', async () => {
    const source = await side(false);
    await putSigned(source.server.registry);
    await putLists(source.server.registry);
    const layout = distributionLayout(await temporaryDirectory());
    const listening = await listen(handler(layout, { pushes: layout, referring: layout }));
    onTestFinished(() => listening.close(0));
    const remote = remoteAt(listening.url.host);
    await run(source.source, asTarget(remote), { only: ['app:1', 'team/*:1'] });
    await expectAbout(layout, remote);
    expect(await layout.resolve('app', referrersTag(image.root.digest))).toBeUndefined();
  });

  test('before the tag is there that asks for them', async () => {
    const source = await side(true);
    await putSigned(source.server.registry);
    const order: string[] = [];
    const registry = memory();
    const noting: Registry = {
      ...registry,
      async putManifest(repository, manifest, tag) {
        order.push(tag ?? manifest.digest);
        await registry.putManifest(repository, manifest, tag);
      },
    };
    await run(source.source, unknowing(noting), { only: ['app:1'] });
    expect(order.indexOf('1')).toBe(order.length - 1);
    expect(order.indexOf(image.root.digest)).toBe(0);
    expect(order).toContain(signature.digest);
  });

  test('once for several tags of one image', async () => {
    const source = await side(true);
    await putSigned(source.server.registry);
    await source.server.registry.putManifest('app', image.root, 'latest');
    const report = await run(source.source, unknowing(), { only: ['app:{1,latest}'] });
    const { copied, present } = report.about;
    expect(copied + present).toBe(3);
  });

  test('though tags that cosign made have no image, each once', async () => {
    const source = await side(true);
    const { registry } = source.server;
    await putSigned(registry);
    const orphan = `sha256-${'0'.repeat(64)}.att`;
    await putFixture(registry, 'app', cosign, orphan);
    const target = memory();
    const report = await run(source.source, unknowing(target));
    expect(states(report)).toEqual(['app:1 copied', `app:${orphan} copied`, 'team/index:1 copied']);
    expect((await target.resolve('app', orphan))?.digest).toBe(cosign.root.digest);
    expect((await target.resolve('app', cosignTag))?.digest).toBe(cosign.root.digest);
  });

  test('unless it is excepted', async () => {
    const source = await side(true);
    await putSigned(source.server.registry);
    const target = memory();
    await run(source.source, unknowing(target), { only: ['app:1'], except: ['**:*.sig'] });
    expect(await Array.fromAsync(target.tags('app'))).toEqual([
      '1',
      ...[image.root.digest, sbom.digest].map(referrersTag).sort(),
    ]);
  });

  test('and is not asked for where nobody wants it', async () => {
    const source = await side(true);
    await putSigned(source.server.registry);
    const target = memory();
    await run({ registry: source.source.registry }, unknowing(target), { only: ['app:1'] });
    expect(await target.manifest('app', sbom.digest)).toBeUndefined();
    expect(asked(source.server)['GET referrers']).toBeUndefined();
  });
});

describe('a second time', () => {
  /** What each side is asked when everything is there already. */
  async function secondTime(
    knows: boolean,
    choice: Choice & { readonly referrers?: boolean } = {},
  ): Promise<readonly Readonly<Record<string, number>>[]> {
    const [source, target] = [await side(knows), await side(knows)];
    await putSigned(source.server.registry);
    if (!knows) await putLists(source.server.registry);
    const from = choice.referrers ? source.source : { registry: source.source.registry };
    await run(from, target.target, choice);
    const before = [source.server.log.length, target.server.log.length];
    const report = await run(from, target.target, choice);
    expect([report.counts.copied, report.about.copied, report.bytes]).toEqual([0, 0, 0]);
    return [asked(source.server, before[0]), asked(target.server, before[1])];
  }

  test('costs the lists and one HEAD a tag of the source, one HEAD a tag of the target', async () => {
    expect(await secondTime(true)).toEqual([
      { 'GET catalog': 1, 'GET tags': 2, 'HEAD manifest': 3 },
      { 'HEAD manifest': 3 },
    ]);
  });

  test('costs nothing but two HEADs for what is named', async () => {
    expect(await secondTime(true, { only: ['app:1'] })).toEqual([
      { 'HEAD manifest': 1 },
      { 'HEAD manifest': 1 },
    ]);
  });

  test('with what is about them, one question a manifest of the source, and a HEAD for each that is', async () => {
    expect(await secondTime(true, { referrers: true })).toEqual([
      // The tags, and that of cosign; the index, for its children.
      {
        'GET catalog': 1,
        'GET tags': 2,
        'HEAD manifest': 3,
        'GET manifest': 1,
        'GET referrers': 8,
      },
      // The tags and that of cosign, three that are about them, and once whether it knows.
      { 'HEAD manifest': 6, 'GET referrers': 1 },
    ]);
  });

  test('of registries that do not know, as many questions more for their lists', async () => {
    const [source, target] = await secondTime(false, { only: ['app:1'], referrers: true });
    // The image, its SBOM, the signature of that, and that of cosign.
    expect(source).toEqual({
      'GET tags': 1,
      'HEAD manifest': 2,
      'GET referrers': 4,
      'GET manifest': 4,
    });
    // Two that are about something, two lists of them.
    expect(target).toEqual({ 'HEAD manifest': 6, 'GET referrers': 1, 'GET manifest': 2 });
  });
});

describe('a list of what is about an image', () => {
  const subject = image.root.digest;
  const tag = referrersTag(subject);
  const other = about(describeManifest(image.root), 'other');

  /** A registry with an image and a list under the tag that stands for it. */
  async function listing(...manifests: readonly Manifest[]): Promise<Registry> {
    const registry = memory();
    await putFixture(registry, 'app', image, '1');
    for (const manifest of manifests) await putAbout(registry, 'app', manifest);
    const list = referrersList(manifests.map(describeManifest));
    await registry.putManifest('app', list, tag);
    return registry;
  }

  const digestsIn = async (registry: Registry): Promise<readonly Digest[]> =>
    (await listedReferrers(registry, 'app', subject)).map(({ digest }) => digest);

  test('is a tag like others, and takes nothing from the list of the target', async () => {
    const [source, target] = [await listing(sbom), await listing(other)];
    const report = await run({ registry: source }, unknowing(target));
    expect(states(report)).toEqual(['app:1 present', `app:${tag} copied`]);
    expect(await digestsIn(target)).toEqual([other.digest, sbom.digest]);
    expect(await target.manifest('app', sbom.digest)).toBeDefined();
    const merged = (await target.resolve('app', tag))?.digest;
    expect(report.images.find((image) => image.tag === tag)?.digest).toBe(merged);
    const again = await run({ registry: source }, unknowing(target));
    expect(states(again)).toEqual(['app:1 present', `app:${tag} present`]);
  });

  test('keeps its digest where the target has none', async () => {
    const [source, target] = [await listing(sbom, other), memory()];
    await run({ registry: source }, unknowing(target));
    expect((await target.resolve('app', tag))?.digest).toBe(
      (await source.resolve('app', tag))?.digest,
    );
  });

  test('that is empty empties no other', async () => {
    const [source, target] = [await listing(), await listing(other)];
    expect((await run({ registry: source }, unknowing(target))).counts.failed).toBe(0);
    expect(await digestsIn(target)).toEqual([other.digest]);
  });

  test('is brought without what is gone from the source', async () => {
    const [source, target] = [memory(), memory()];
    await putAbout(source, 'app', sbom);
    const list = referrersList([sbom, other].map(describeManifest));
    await source.putManifest('app', list, tag);
    expect((await run({ registry: source }, unknowing(target))).counts.copied).toBe(1);
    expect(await digestsIn(target)).toEqual([sbom.digest]);
  });

  test('is none where it lists images, and is then brought as the index it is', async () => {
    const [source, target] = [memory(), memory()];
    await putFixture(source, 'app', index, tag);
    await target.putManifest('app', referrersList([describeManifest(other)]), tag);
    await run({ registry: source }, unknowing(target));
    expect((await target.resolve('app', tag))?.digest).toBe(index.root.digest);
    for (const { digest } of index.root.manifests) {
      expect(await target.manifest('app', digest)).toBeDefined();
    }
  });

  test('has no place where the image has its tag, which is told, and the image stays', async () => {
    const [source, target] = [await side(true), memory()];
    await putSigned(source.server.registry);
    await putFixture(target, 'app', image, tag);
    const report = await run(source.source, unknowing(target), { only: ['app:1', 'team/*'] });
    expect(report.images.map(({ repository, state, code }) => [repository, state, code])).toEqual([
      ['app', 'failed', 'CONFLICT'],
      ['team/index', 'copied', undefined],
    ]);
    expect((await target.resolve('app', tag))?.digest).toBe(image.root.digest);
  });
});

describe('a source that is hostile or out of order', () => {
  /** A source that says of everything that these are about it. */
  async function saying(
    ...listed: readonly Manifest[]
  ): Promise<{ readonly registry: Registry; readonly source: SyncSource }> {
    const registry = memory();
    await putSigned(registry);
    const referring: Referring = {
      async *referrers() {
        yield* listed.map(describeManifest);
      },
    };
    return { registry, source: { registry, referring } };
  }

  test('and lists what is not about it, or not there, brings neither, which is told', async () => {
    const stranger = imageFixture({ seed: 'stranger' });
    const missing = about(describeManifest(image.root), 'missing');
    const { registry, source } = await saying(stranger.root, missing);
    await putFixture(registry, 'app', stranger);
    const target = memory();
    const events: Event[] = [];
    const report = await run(source, unknowing(target), { only: ['app:1'], events });
    expect(report.counts).toEqual({ copied: 1, present: 0, skipped: 0, failed: 0 });
    expect(await target.manifest('app', stranger.root.digest)).toBeUndefined();
    const told = events.flatMap((event) => (event.type === 'warning' ? [event.message] : []));
    for (const { digest } of [stranger.root, missing]) {
      expect(told).toContainEqual(expect.stringContaining(`${digest} is listed as being about`));
    }
  });

  test('and goes in circles comes to an end', async () => {
    const { source } = await saying(sbom, image.root);
    const target = memory();
    await putSigned(target);
    const circling = `${cosign.root.digest.replace(':', '-')}.sig`;
    const { registry } = source;
    const withTag: SyncSource = {
      ...source,
      registry: {
        ...registry,
        async *tags(repository) {
          yield* registry.tags(repository);
          yield circling;
        },
        resolve: async (repository, reference) =>
          registry.resolve(repository, reference === circling ? '1' : reference),
      },
    };
    const report = await run(withTag, unknowing(target), { only: ['app:1'] });
    expect(report.counts.failed).toBe(0);
    expect((await target.resolve('app', circling))?.digest).toBe(image.root.digest);
  });

  test('and always has one more is left after a thousand', async () => {
    const registry = memory();
    await putSigned(registry);
    let made = 0;
    const referring: Referring = {
      async *referrers(repository, subject) {
        const descriptor = { ...describeManifest(image.root), digest: subject };
        const more = about(descriptor, String(made++));
        await putAbout(registry, repository, more);
        yield describeManifest(more);
      },
    };
    const target = unknowing();
    const error = await failureOf(run({ registry, referring }, target, { only: ['app:1'] }));
    expect([error.code, made]).toEqual(['UPSTREAM', 1001]);
    expect(await target.registry.resolve('app', '1')).toBeUndefined();
  });

  test('and does not tell what is about one image fails for that one', async () => {
    const rules = [
      { match: { kind: 'referrers' as const, repository: 'app' }, fault: { status: 403 } },
    ];
    const source = await side(true, { rules });
    await putSigned(source.server.registry);
    const target = memory();
    const report = await run(source.source, unknowing(target), { only: ['app:1', 'team/*'] });
    expect(report.images.map(({ repository, state, code }) => [repository, state, code])).toEqual([
      ['app', 'failed', 'DENIED'],
      ['team/index', 'copied', undefined],
    ]);
    expect(await target.resolve('app', '1')).toBeUndefined();
  });
});

describe('one platform', () => {
  const [amd64, arm64] = index.root.manifests;

  test('has tags name the images of that one', async () => {
    const [source, target] = [memory(), memory()];
    await putFixture(source, 'app', image, '1');
    await putFixture(source, 'team/index', index, '1');
    const report = await run({ registry: source }, unknowing(target), { platform: 'linux/arm64' });
    expect(states(report)).toEqual(['app:1 copied', 'team/index:1 copied']);
    expect((await target.resolve('team/index', '1'))?.digest).toBe(arm64?.digest);
    expect(amd64 && (await target.manifest('team/index', amd64.digest))).toBeUndefined();
    expect((await target.resolve('app', '1'))?.digest).toBe(image.root.digest);
  });

  test('brings what is about that image, and not about others', async () => {
    const source = await side(true);
    await putSigned(source.server.registry);
    for (const [platform, expected] of [
      ['linux/arm64', undefined],
      ['linux/amd64', provenance.digest],
    ] as const) {
      const target = memory();
      await run(source.source, unknowing(target), { only: ['team/*'], platform });
      const found = await target.manifest('team/index', provenance.digest);
      expect(found?.digest).toBe(expected);
    }
  });

  test('that an index is not there for skips it, and tells so', async () => {
    const source = memory();
    await putFixture(source, 'team/index', index, '1');
    const report = await run({ registry: source }, unknowing(), { platform: 'linux/s390x' });
    expect(report.images).toEqual([
      {
        repository: 'team/index',
        tag: '1',
        state: 'skipped',
        reason: 'it is not there for linux/s390x',
        bytes: 0,
      },
    ]);
  });

  test('takes what is for none whole', async () => {
    const [source, target] = [memory(), memory()];
    const bare = bareIndexFixture([image]);
    await putFixture(source, 'app', bare, '1');
    await run({ registry: source }, unknowing(target), { platform: 'linux/arm64' });
    expect((await target.resolve('app', '1'))?.digest).toBe(bare.root.digest);
  });

  test('may be all that the source has of an index', async () => {
    const source = memory();
    const [first] = indexFixture(['linux/amd64'], { seed: 'index' }).manifests;
    expect(first?.digest).toBe(amd64?.digest);
    await putFixture(source, 'team/index', indexFixture(['linux/amd64'], { seed: 'index' }));
    await source.putManifest('team/index', index.root, '1');
    const error = await failureOf(run({ registry: source }, unknowing()));
    expect([error.code, error.hint]).toEqual(['NOT_FOUND', expect.stringContaining('--platform')]);
    const target = memory();
    await run({ registry: source }, unknowing(target), { platform: 'linux/amd64' });
    expect((await target.resolve('team/index', '1'))?.digest).toBe(amd64?.digest);
  });
});

describe('what fails', () => {
  const denied = new OciError('DENIED', 'no', { hint: 'Log in.' });

  function denying(registry: Registry, ...repositories: readonly string[]): Registry {
    return {
      ...registry,
      async putManifest(repository, manifest, tag) {
        if (repositories.includes(repository)) throw denied;
        await registry.putManifest(repository, manifest, tag);
      },
    };
  }

  test('is told with its next step beside what was done', async () => {
    const [source, target] = [memory(), memory()];
    await putSigned(source);
    const report = await run({ registry: source }, unknowing(denying(target, 'team/index')), {
      only: ['**:1'],
    });
    expect(report.counts).toEqual({ copied: 1, present: 0, skipped: 0, failed: 1 });
    expect(report.images).toEqual([
      { repository: 'app', tag: '1', digest: image.root.digest, state: 'copied', bytes: 7237 },
      {
        repository: 'team/index',
        tag: '1',
        state: 'failed',
        bytes: 8474,
        code: 'DENIED',
        reason: 'no',
        hint: 'Log in.',
      },
    ]);
    expect(report.bytes).toBe(7237 + 8474);
  });

  test('is thrown where nothing else was done, with the kind of all failures', async () => {
    const source = memory();
    await putSigned(source);
    const target = unknowing(denying(memory(), 'app', 'team/index'));
    const one = await failureOf(run({ registry: source }, target, { only: ['app:1'] }));
    expect([one.code, one.message]).toEqual(['DENIED', 'app:1: no']);
    const all = await failureOf(run({ registry: source }, target, { only: ['**:1'] }));
    expect([all.code, all.hint]).toEqual(['SOME_FAILED', 'Log in.']);
  });

  test('may be the tags of a repository', async () => {
    const rules = [{ match: { kind: 'tags' as const, repository: 'app' }, fault: { status: 403 } }];
    const { source, server } = await side(true, { rules });
    await putSigned(server.registry);
    const report = await run({ registry: source.registry }, unknowing());
    expect(report.images.map(({ repository, tag, code }) => [repository, tag, code])).toEqual([
      ['app', undefined, 'DENIED'],
      ['team/index', '1', undefined],
    ]);
  });

  test('may be a name that is not there', async () => {
    const source = memory();
    await putSigned(source);
    const report = await run({ registry: source }, unknowing(), { only: ['app:1', 'none:1'] });
    expect(report.images.map(({ repository, code }) => [repository, code])).toEqual([
      ['app', undefined],
      ['none', 'NOT_FOUND'],
    ]);
  });

  test('is the interruption where there was one', async () => {
    const source = memory();
    await putSigned(source);
    const controller = new AbortController();
    controller.abort();
    const interrupted = run({ registry: source }, unknowing(), { signal: controller.signal });
    expect((await failureOf(interrupted)).code).toBe('ABORTED');
  });
});

test('a layer that several repositories share is sent to a registry once', async () => {
  const [source, target] = [memory(), await side(true)];
  await putFixture(source, 'a', image, '1');
  await putFixture(source, 'b', image, '1');
  const report = await run({ registry: source }, target.target);
  expect(report.bytes).toBe(7237);
  expect(target.server.log.filter(({ target }) => /mount=/.test(target))).toHaveLength(3);
});
