import { type Digest, digestOf } from '@cluster-image/oci';
import { type LayerPlan, type PlanEntry, parseLayerPlan } from '@cluster-image/storage';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type PackOptions, pack } from '../../src/assemble/pack.ts';
import { directoryEntry, parentsOf } from '../../src/assemble/source.ts';

const megabyte = 1024 * 1024;

interface Blob {
  readonly name: string;
  readonly size: number;
}

const digestFor = ({ name, size }: Blob): Digest => digestOf(Buffer.from(`${name} ${size}`));
const pathFor = (blob: Blob): string => `registry/blobs/${digestFor(blob).slice(7)}/data`;

/** The files of an image with these blobs, a link for each, and a file of the context. */
function filesOf(blobs: readonly Blob[]): ReadonlyMap<string, PlanEntry> {
  const entries: PlanEntry[] = [
    { type: 'text', path: 'registry/tag', mode: 0o644, text: blobs.map(digestFor).join() },
    {
      type: 'file',
      path: 'charts/web.yaml',
      mode: 0o644,
      digest: digestOf(Buffer.from('web')),
      size: 3,
    },
    ...blobs.flatMap((blob): PlanEntry[] => [
      { type: 'file', path: pathFor(blob), mode: 0o644, digest: digestFor(blob), size: blob.size },
      { type: 'text', path: `registry/links/${blob.name}`, mode: 0o644, text: digestFor(blob) },
    ]),
  ];
  const files = new Map<string, PlanEntry>();
  for (const entry of entries) {
    for (const parent of parentsOf(entry.path)) files.set(parent, directoryEntry(parent));
    files.set(entry.path, entry);
  }
  return files;
}

function packed(blobs: readonly Blob[], options: Partial<PackOptions> = {}): readonly LayerPlan[] {
  const known = new Set(blobs.map(digestFor));
  return pack(filesOf(blobs), {
    maxLayers: 100,
    baseLayers: 0,
    isBlob: (digest) => known.has(digest),
    isInRegistry: (path) => path === 'registry' || path.startsWith('registry/'),
    ...options,
  });
}

/** What a layer has besides directories. */
function contents(plan: LayerPlan | undefined): readonly string[] {
  return (plan?.entries ?? []).filter(({ type }) => type !== 'directory').map(({ path }) => path);
}

const large = (name: string, size = 2 * megabyte): Blob => ({ name, size });
const small = (name: string, size = 1000): Blob => ({ name, size });
const many = (count: number, of: (name: string) => Blob, name = 'b'): readonly Blob[] =>
  Array.from({ length: count }, (_, at) => of(`${name}${at}`));

const layersBetween = (a: readonly LayerPlan[], b: readonly LayerPlan[]): number => {
  const known = new Set(a.map((plan) => JSON.stringify(plan)));
  return b.filter((plan) => !known.has(JSON.stringify(plan))).length;
};

describe('files are distributed over layers', () => {
  test('a large blob to each, small ones together, then links, then the context', () => {
    const plans = packed([large('one'), large('two'), small('three')]);
    const layers = plans.map(contents);
    expect(layers.slice(0, 2).map((paths) => paths.length)).toEqual([1, 1]);
    expect(new Set(layers.slice(0, 2).flat())).toEqual(
      new Set([pathFor(large('one')), pathFor(large('two'))]),
    );
    expect(layers[2]).toEqual([pathFor(small('three'))]);
    expect(layers[3]).toEqual([
      'registry/links/one',
      'registry/links/three',
      'registry/links/two',
      'registry/tag',
    ]);
    expect(layers[4]).toEqual(['charts/web.yaml']);
    expect(layers).toHaveLength(5);
  });

  test('sorted, each with the directories above its files', () => {
    for (const plan of packed([large('one'), ...many(20, small)])) {
      const paths = plan.entries.map(({ path }) => path);
      expect(paths).toEqual([...paths].sort());
      for (const path of paths) {
        expect(paths).toEqual(expect.arrayContaining([...parentsOf(path)]));
      }
      expect(parseLayerPlan(JSON.stringify(plan), 'plan')).toEqual(plan);
    }
  });

  test('every one of them once, in at most so many layers', () => {
    const blob = fc.record({ size: fc.integer({ min: 0, max: 4 * megabyte }) });
    const blobs = fc
      .array(blob, { maxLength: 60 })
      .map((all) => all.map(({ size }, at) => ({ name: `b${at}`, size })));
    const bounds = fc.record({
      maxLayers: fc.integer({ min: 10, max: 60 }),
      baseLayers: fc.integer({ min: 0, max: 40 }),
    });
    fc.assert(
      fc.property(blobs, bounds, (blobs, { maxLayers, baseLayers }) => {
        fc.pre(maxLayers - baseLayers >= 10);
        const plans = packed(blobs, { maxLayers, baseLayers });
        expect(plans.length + baseLayers).toBeLessThanOrEqual(maxLayers);
        const found = plans.flatMap(contents);
        const wanted = [...filesOf(blobs).values()].filter(({ type }) => type !== 'directory');
        expect([...found].sort()).toEqual(wanted.map(({ path }) => path).sort());
        for (const plan of plans) expect(contents(plan).length).toBeGreaterThan(0);
      }),
    );
  });

  test('in whatever order they come', () => {
    const blobs = [large('one'), ...many(30, small)];
    expect(packed(blobs.toReversed()).slice(0, -2)).toEqual(packed(blobs).slice(0, -2));
  });

  test('a blob that is in two places once as such', () => {
    const blob = large('one');
    const copy: PlanEntry = {
      type: 'file',
      path: 'copy/data',
      mode: 0o644,
      digest: digestFor(blob),
      size: blob.size,
    };
    const files = new Map([...filesOf([blob]), ['copy/data', copy] as const]);
    const plans = pack(files, {
      maxLayers: 100,
      baseLayers: 0,
      isBlob: (digest) => digest === digestFor(blob),
      isInRegistry: (path) => path.startsWith('registry'),
    });
    expect(plans.map(contents)).toEqual([
      [pathFor(blob)],
      ['registry/links/one', 'registry/tag'],
      ['charts/web.yaml', 'copy/data'],
    ]);
  });

  test('none where there are none', () => {
    const options = {
      maxLayers: 10,
      baseLayers: 10,
      isBlob: () => false,
      isInRegistry: () => false,
    };
    expect(pack(new Map(), options)).toEqual([]);
  });
});

describe('what changes in few layers', () => {
  const blobs = [...many(30, large), ...many(100, small, 's')];

  test('when a large blob changes: its own and that of the links', () => {
    const changed = blobs.map((blob) => (blob.name === 'b7' ? large('b7', 3 * megabyte) : blob));
    expect(layersBetween(packed(blobs), packed(changed))).toBe(2);
  });

  test('when a large blob comes or goes: its own and that of the links', () => {
    expect(layersBetween(packed(blobs), packed([...blobs, large('new')]))).toBe(2);
    expect(layersBetween(packed(blobs), packed(blobs.slice(1)))).toBe(1);
  });

  test('when a small blob changes: one shelf, or two, and that of the links', () => {
    const changed = blobs.map((blob) => (blob.name === 's7' ? small('s7', 999) : blob));
    expect(layersBetween(packed(blobs), packed(changed))).toBeLessThanOrEqual(3);
  });

  test('when there are more large blobs than layers: the largest have their own', () => {
    const all = Array.from({ length: 50 }, (_, at) => large(`b${at}`, (at + 2) * megabyte));
    const plans = packed(all, { maxLayers: 30 });
    expect(plans.length).toBeLessThanOrEqual(30);
    const own = plans.slice(0, 20).map(contents);
    expect(own.every((paths) => paths.length === 1)).toBe(true);
    expect(new Set(own.flat())).toEqual(new Set(all.slice(30).map(pathFor)));
    const changed = all.map((blob) =>
      blob.name === 'b40' ? { ...blob, size: blob.size + 1 } : blob,
    );
    expect(layersBetween(plans, packed(changed, { maxLayers: 30 }))).toBe(2);
  });

  test('without small blobs no layer is kept for them', () => {
    expect(packed(many(98, large))).toHaveLength(100);
    expect(packed(many(99, large)).length).toBeLessThanOrEqual(100);
  });
});

describe('a base', () => {
  test('takes its layers from those there are', () => {
    expect(packed(many(50, large), { maxLayers: 40, baseLayers: 20 })).toHaveLength(20);
  });

  test.each([91, 100, 120])('of %i layers leaves too few for images', (baseLayers) => {
    expect(() => packed([small('one')], { baseLayers })).toThrow(
      expect.objectContaining({
        code: 'UNSUPPORTED',
        message: `the base image has ${baseLayers} layers, which leaves too few of 100`,
        hint: expect.stringContaining('--max-layers'),
      }),
    );
    expect(packed([small('one')], { baseLayers: 90 })).toHaveLength(3);
  });

  test('leaves enough for what has no images', () => {
    expect(() => packed([], { baseLayers: 99 })).toThrow(/leaves too few/);
    expect(packed([], { baseLayers: 98 }).map(contents)).toEqual([
      ['registry/tag'],
      ['charts/web.yaml'],
    ]);
  });
});
