import { type Digest, digestOf } from '@cluster-image/oci';
import { type LayerPlan, type PlanEntry, parseLayerPlan } from '@cluster-image/storage';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type PackOptions, pack } from '../../src/assemble/pack.ts';
import { directoryEntry, parentsOf } from '../../src/assemble/source.ts';

const megabyte = 1024 * 1024;

/** A layer of an image, and the repository of that. */
interface Blob {
  readonly name: string;
  readonly size: number;
  readonly of: string;
}

const digestFor = ({ name, size }: Blob): Digest => digestOf(Buffer.from(`${name} ${size}`));
const pathFor = (blob: Blob): string => `registry/blobs/${digestFor(blob).slice(7)}/data`;
const configOf = (repository: string, blobs: readonly Blob[]): Digest =>
  digestOf(Buffer.from([repository, ...blobs.map(digestFor)].join()));

function fileEntry(path: string, digest: Digest, size: number): PlanEntry & { type: 'file' } {
  return { type: 'file', path, mode: 0o644, digest, size };
}

const repositoriesOf = (blobs: readonly Blob[]): readonly string[] => [
  ...new Set(blobs.map(({ of }) => of)),
];

/** The files of an image: blobs and a link for each, a config for each repository, a file of the context. */
function filesOf(blobs: readonly Blob[]): ReadonlyMap<string, PlanEntry> {
  const entries: PlanEntry[] = [
    fileEntry('charts/web.yaml', digestOf(Buffer.from('web')), 3),
    ...blobs.flatMap((blob): PlanEntry[] => [
      fileEntry(pathFor(blob), digestFor(blob), blob.size),
      {
        type: 'text',
        path: `registry/links/${blob.of}/${blob.name}`,
        mode: 0o644,
        text: digestFor(blob),
      },
    ]),
    ...repositoriesOf(blobs).map((repository) => {
      const config = configOf(
        repository,
        blobs.filter(({ of }) => of === repository),
      );
      return fileEntry(`registry/blobs/${config.slice(7)}/data`, config, 10);
    }),
  ];
  const files = new Map<string, PlanEntry>();
  for (const entry of entries) {
    for (const parent of parentsOf(entry.path)) files.set(parent, directoryEntry(parent));
    files.set(entry.path, entry);
  }
  return files;
}

function ownersOf(blobs: readonly Blob[]): Pick<PackOptions, 'blobOf' | 'metadataOf'> {
  const owners = new Map(blobs.map((blob) => [digestFor(blob), blob.of]));
  const configs = new Map(
    repositoriesOf(blobs).map((name) => [
      configOf(
        name,
        blobs.filter(({ of }) => of === name),
      ),
      name,
    ]),
  );
  return {
    blobOf: (digest) => owners.get(digest),
    metadataOf: (entry) =>
      entry.type === 'file'
        ? configs.get(entry.digest)
        : /^registry\/links\/([^/]+)/.exec(entry.path)?.[1],
  };
}

function packed(blobs: readonly Blob[], options: Partial<PackOptions> = {}): readonly LayerPlan[] {
  const bounds = { maxLayers: 100, baseLayers: 0 };
  return pack(filesOf(blobs), { ...bounds, ...ownersOf(blobs), ...options });
}

/** What a layer has besides directories. */
function contents(plan: LayerPlan | undefined): readonly string[] {
  return (plan?.entries ?? []).filter(({ type }) => type !== 'directory').map(({ path }) => path);
}

const large = (name: string, size = 2 * megabyte, of = 'app'): Blob => ({ name, size, of });
const small = (name: string, size = 1000, of = 'app'): Blob => ({ name, size, of });
const many = (count: number, make: (at: number) => Blob): readonly Blob[] =>
  Array.from({ length: count }, (_, at) => make(at));

const layersBetween = (a: readonly LayerPlan[], b: readonly LayerPlan[]): number => {
  const known = new Set(a.map((plan) => JSON.stringify(plan)));
  return b.filter((plan) => !known.has(JSON.stringify(plan))).length;
};

describe('files are distributed over layers', () => {
  test('a large blob to each, small ones together, then metadata, then the context', () => {
    const blobs = [large('one'), large('two'), small('three')];
    const [first, second, third, fourth, fifth, ...more] = packed(blobs).map(contents);
    expect([first?.length, second?.length, more.length]).toEqual([1, 1, 0]);
    expect(new Set([...(first ?? []), ...(second ?? [])])).toEqual(
      new Set([pathFor(large('one')), pathFor(large('two'))]),
    );
    expect(third).toEqual([pathFor(small('three'))]);
    expect(fourth).toEqual([
      `registry/blobs/${configOf('app', blobs).slice(7)}/data`,
      'registry/links/app/one',
      'registry/links/app/three',
      'registry/links/app/two',
    ]);
    expect(fifth).toEqual(['charts/web.yaml']);
  });

  test('sorted, each with the directories above its files', () => {
    for (const plan of packed([large('one'), ...many(20, (at) => small(`b${at}`))])) {
      const paths = plan.entries.map(({ path }) => path);
      expect(paths).toEqual([...paths].sort());
      for (const path of paths) {
        expect(paths).toEqual(expect.arrayContaining([...parentsOf(path)]));
      }
      expect(parseLayerPlan(JSON.stringify(plan), 'plan')).toEqual(plan);
    }
  });

  test('every one of them once, in at most so many layers', () => {
    const blob = fc.record({ size: fc.integer({ min: 0, max: 4 * megabyte }), of: fc.nat(20) });
    const blobs = fc
      .array(blob, { maxLength: 60 })
      .map((all) => all.map(({ size, of }, at) => ({ name: `b${at}`, size, of: `r${of}` })));
    const bounds = fc.record({
      maxLayers: fc.integer({ min: 10, max: 60 }),
      baseLayers: fc.integer({ min: 0, max: 40 }),
    });
    fc.assert(
      fc.property(blobs, bounds, (blobs, { maxLayers, baseLayers }) => {
        fc.pre(maxLayers - baseLayers >= 4);
        const plans = packed(blobs, { maxLayers, baseLayers });
        // One is for the index.
        expect(plans.length + 1 + baseLayers).toBeLessThanOrEqual(maxLayers);
        const found = plans.flatMap(contents);
        const wanted = [...filesOf(blobs).values()].filter(({ type }) => type !== 'directory');
        expect([...found].sort()).toEqual(wanted.map(({ path }) => path).sort());
        for (const plan of plans) expect(contents(plan).length).toBeGreaterThan(0);
      }),
    );
  });

  test('in whatever order they come', () => {
    const blobs = [large('one'), ...many(30, (at) => small(`b${at}`, 1000, `r${at}`))];
    const files = filesOf(blobs);
    const options = { maxLayers: 100, baseLayers: 0, ...ownersOf(blobs) };
    expect(pack(new Map([...files].toReversed()), options)).toEqual(pack(files, options));
  });

  test('a blob that is in two places once as such', () => {
    const blob = large('one');
    const copied = fileEntry('copy/data', digestFor(blob), blob.size);
    const files = new Map([...filesOf([blob]), ['copy/data', copied] as const]);
    const plans = pack(files, { maxLayers: 100, baseLayers: 0, ...ownersOf([blob]) });
    expect(contents(plans[0])).toEqual([pathFor(blob)]);
    expect(contents(plans.at(-1))).toEqual(['charts/web.yaml', 'copy/data']);
  });

  test('an empty directory of the context with the context, those above blobs with the blobs only', () => {
    const files = new Map([
      ...filesOf([large('one')]),
      ['empty', directoryEntry('empty')] as const,
      ['registry/empty', directoryEntry('registry/empty')] as const,
    ]);
    const plans = pack(files, { maxLayers: 100, baseLayers: 0, ...ownersOf([large('one')]) });
    expect(plans.at(-1)?.entries.map(({ path }) => path)).toEqual([
      'charts',
      'charts/web.yaml',
      'empty',
      'registry',
      'registry/empty',
    ]);
  });

  test('none where there are none', () => {
    const options = { maxLayers: 10, baseLayers: 8, ...ownersOf([]) };
    expect(pack(new Map(), options)).toEqual([]);
  });
});

describe('what changes in few layers', () => {
  const images = many(30, (at) => large(`l${at}`, 2 * megabyte, `r${at}`));
  const blobs = [...images, ...many(90, (at) => small(`s${at}`, 1000, `r${at % 30}`))];

  test('when a large blob changes: its own and one of metadata', () => {
    const changed = blobs.map((blob) =>
      blob.name === 'l7' ? { ...blob, size: 3 * megabyte } : blob,
    );
    expect(layersBetween(packed(blobs), packed(changed))).toBe(2);
  });

  test('when an image with a large blob comes or goes: its own and one of metadata', () => {
    const more = [...blobs, large('new', 2 * megabyte, 'new')];
    expect(layersBetween(packed(blobs), packed(more))).toBe(2);
    expect(layersBetween(packed(more), packed(blobs))).toBe(1);
  });

  test('when a small blob changes: one of small blobs and one of metadata', () => {
    const changed = blobs.map((blob) => (blob.name === 's7' ? { ...blob, size: 999 } : blob));
    expect(layersBetween(packed(blobs), packed(changed))).toBe(2);
  });

  test('when the context changes: one', () => {
    const files = filesOf(blobs);
    const options = { maxLayers: 100, baseLayers: 0, ...ownersOf(blobs) };
    const path = 'charts/web.yaml';
    const other = fileEntry(path, digestOf(Buffer.from('other')), 5);
    expect(
      layersBetween(pack(files, options), pack(new Map([...files, [path, other]]), options)),
    ).toBe(1);
  });

  test('when there are more large blobs than layers: the largest have their own', () => {
    const all = many(200, (at) => large(`b${at}`, (at + 2) * megabyte, `r${at}`));
    const plans = packed(all);
    expect(plans.length).toBeLessThan(100);
    const own = plans
      .map(contents)
      .filter(([path, ...more]) => more.length === 0 && path?.endsWith('data'));
    expect(own.length).toBeGreaterThanOrEqual(45);
    const largest = new Set(all.slice(-45).map(pathFor));
    expect(plans.slice(0, 45).every((plan) => largest.has(contents(plan)[0] ?? ''))).toBe(true);
    const changed = all.map((blob) =>
      blob.name === 'b40' ? { ...blob, size: blob.size + 1 } : blob,
    );
    expect(layersBetween(plans, packed(changed))).toBe(2);
  });
});

describe('a base', () => {
  test('takes its layers from those there are', () => {
    const blobs = many(50, (at) => large(`b${at}`, 2 * megabyte, `r${at}`));
    expect(packed(blobs, { maxLayers: 40, baseLayers: 20 }).length).toBeLessThan(20);
  });

  test.each([97, 100, 120])('of %i layers leaves too few for images', (baseLayers) => {
    expect(() => packed([small('one')], { baseLayers })).toThrow(
      expect.objectContaining({
        code: 'UNSUPPORTED',
        message: `the base image has ${baseLayers} layers, which leaves too few of 100`,
        hint: expect.stringContaining('--max-layers'),
      }),
    );
    expect(packed([small('one')], { baseLayers: 96 })).toHaveLength(3);
  });

  test('leaves enough for what has no images', () => {
    expect(() => packed([], { baseLayers: 99 })).toThrow(/leaves too few/);
    expect(packed([], { baseLayers: 98 }).map(contents)).toEqual([['charts/web.yaml']]);
  });
});
