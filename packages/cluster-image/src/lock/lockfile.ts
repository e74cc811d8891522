import {
  compareBytes,
  type Digest,
  digestSchema as digest,
  formatPlatform,
  jsonOf,
  nameOf,
  OciError,
  type Platform,
  parsePlatform,
  parseReference,
  readText,
  type Tree,
  wholeReference,
} from '@cluster-image/oci';
import type { Pin } from '@cluster-image/storage';
import { z } from 'zod';
import { placeOf } from '../charts/chart-artifact.ts';
import { isChartName, isChartPath, isChartRepository, isOci } from '../charts/remote-chart.ts';
import { isVersion } from '../charts/versions.ts';
import type { Discovery, Found } from '../discover/discovery.ts';
import { type Fault, readJson } from '../json-text.ts';

export const lockfileName = 'cluster-image.lock.json';

/** The most that a lockfile may hold, in bytes. */
const fileLimit = 256 * 1024 * 1024;

const reference = z.string().refine((text) => wholeReference(text) === text, {
  error: 'not a whole image reference',
});

const platform = z.string().refine(
  (text) => {
    try {
      return formatPlatform(parsePlatform(text)) === text;
    } catch {
      return false;
    }
  },
  { error: 'not a platform' },
);

const pinSchema = z.strictObject({ digest, size: z.int().positive() });

const lockedImageSchema = z.strictObject({
  digest,
  mediaType: z.string(),
  size: z.int().positive(),
  /** The manifest for each platform; for an image of one platform that is the image itself. */
  manifests: z.record(platform, pinSchema),
  archive: z.string().optional(),
  repository: z.string().optional(),
});

const lockedChartSchema = z
  .strictObject({
    repository: z
      .string()
      .refine(isChartRepository, { error: 'not the URL of a chart repository' }),
    name: z.string().refine(isChartName, { error: 'not a chart name' }),
    version: z.string().refine(isVersion, { error: 'not a version' }),
    /** Those of the packed chart. */
    digest,
    size: z.int().positive(),
    /** The artifact that it is in a registry. */
    manifest: digest.optional(),
  })
  .refine(({ repository, manifest }) => isOci(repository) === (manifest !== undefined), {
    error: 'has a manifest where it is in a registry, and only there',
  });

const chartPath = z.string().refine(isChartPath, { error: 'not the path of a packed chart' });

/** See docs/formats.md#lockfile. */
const lockfileSchema = z.strictObject({
  lockfileVersion: z.literal(1),
  platforms: z.array(platform).min(1),
  images: z.record(reference, lockedImageSchema),
  bases: z.record(reference, lockedImageSchema),
  charts: z.record(chartPath, lockedChartSchema).optional(),
});

export type LockedImage = Readonly<z.infer<typeof lockedImageSchema>>;

/** A chart of a repository: the version that was chosen, and its archive. */
export type LockedChart = Readonly<z.infer<typeof lockedChartSchema>>;

/** Those of a context, by the paths they have there. */
export type LockedCharts = Readonly<Record<string, LockedChart>>;

/**
 * What a context's references mean: each pinned to a digest, and to the manifests of the platforms
 * that are kept. Depends on nothing but the references and their upstream; holds no secrets, no
 * paths outside the context, no times.
 */
export type Lockfile = Readonly<z.infer<typeof lockfileSchema>>;

/** What a lockfile says of some references and platforms, which it pins. */
export function cutDown(
  lockfile: Lockfile | undefined,
  { images, bases }: Pick<Discovery, 'images' | 'bases'>,
  platforms: readonly Platform[],
): Lockfile {
  const kept = platforms.map(formatPlatform);
  const some = (
    found: readonly Found[],
    pins: Readonly<Record<string, LockedImage>> = {},
  ): Record<string, LockedImage> =>
    Object.fromEntries(
      found.flatMap(({ reference }) => {
        const pin = pins[reference];
        return pin ? [[reference, only(pin, kept)]] : [];
      }),
    );
  return {
    lockfileVersion: 1,
    platforms: kept,
    images: some(images, lockfile?.images),
    bases: some(bases, lockfile?.bases),
    ...(lockfile?.charts && { charts: lockfile.charts }),
  };
}

/** All that a lockfile pins, as the store has it: of what is referred to by digest the whole index. */
export function pinsOf({ images, bases, charts = {} }: Lockfile): readonly Pin[] {
  const pinned = [...Object.entries(images), ...Object.entries(bases)].map(([reference, image]) => {
    const { tag, digest: _, ...named } = parseReference(reference);
    const children = isWhole(reference, image) ? undefined : [...keptOf(image)];
    return { repository: nameOf(named), tag, digest: image.digest, children };
  });
  const packed = Object.values(charts).map((chart) => {
    const { repository, manifest } = placeOf(chart);
    return { repository, tag: undefined, digest: manifest, children: undefined };
  });
  return [...pinned, ...packed];
}

/** The manifests that a pin keeps. */
export function keptOf({ manifests }: LockedImage): ReadonlySet<Digest> {
  return new Set(Object.values(manifests).map(({ digest }) => digest));
}

/** Whether all of an index is kept: it is referred to by its digest, or is for no platform. */
export function isWhole(reference: string, image: LockedImage): boolean {
  return parseReference(reference).digest !== undefined || keptOf(image).has(image.digest);
}

/** A pin for some of its platforms. */
export function only(pin: LockedImage, platforms: readonly string[]): LockedImage {
  const kept = Object.entries(pin.manifests).filter(([platform]) => platforms.includes(platform));
  return { ...pin, manifests: Object.fromEntries(kept) };
}

/** The text of a lockfile: sorted, the same for the same pins. */
export function formatLockfile(lockfile: Lockfile): string {
  const { lockfileVersion, platforms, images, bases, charts = {} } = lockfile;
  const sorted = {
    lockfileVersion,
    platforms: [...platforms].sort(compareBytes),
    images: sortedRecord(images, sortedImage),
    bases: sortedRecord(bases, sortedImage),
    ...(Object.keys(charts).length > 0 && { charts: sortedRecord(charts, sortedChart) }),
  };
  return `${JSON.stringify(sorted, undefined, 2)}\n`;
}

function sortedImage(image: LockedImage): LockedImage {
  const { digest, mediaType, size, manifests, archive, repository } = image;
  return {
    ...(archive !== undefined && { archive }),
    ...(repository !== undefined && { repository }),
    digest,
    mediaType,
    size,
    manifests: sortedRecord(manifests, ({ digest, size }) => ({ digest, size })),
  };
}

function sortedChart(chart: LockedChart): LockedChart {
  const { repository, name, version, digest, size, manifest } = chart;
  return { repository, name, version, digest, size, ...(manifest && { manifest }) };
}

function sortedRecord<T>(record: Readonly<Record<string, T>>, each: (value: T) => T) {
  const entries = Object.entries(record).sort(([a], [b]) => compareBytes(a, b));
  return Object.fromEntries(entries.map(([key, value]) => [key, each(value)]));
}

/** The lockfile of a context; undefined where there is none. Throws INPUT_INVALID, naming the line. */
export async function readLockfile(tree: Tree): Promise<Lockfile | undefined> {
  const entry = await tree.entry(lockfileName);
  if (!entry) return undefined;
  if (entry.type !== 'file') {
    throw new OciError('INPUT_INVALID', `${lockfileName} is a ${entry.type}, not a file`);
  }
  return parseLockfile(await readText(entry.content, fileLimit));
}

export function parseLockfile(text: string): Lockfile {
  const fault: Fault = (line, why, cause) =>
    new OciError(
      'INPUT_INVALID',
      `${lockfileName}${line === undefined ? '' : `:${line}`}: ${why}`,
      {
        cause,
        hint: 'Restore it from version control, or remove it and write it anew with `cluster-image lock`.',
      },
    );
  const version = versionSchema.safeParse(jsonOf(text)).data?.lockfileVersion ?? 1;
  if (version > 1) {
    throw new OciError('INPUT_INVALID', `${lockfileName} has version ${version}`, {
      hint: 'It was written by a later release. Use that one here as well.',
    });
  }
  return readJson(text, lockfileSchema, fault);
}

const versionSchema = z.looseObject({ lockfileVersion: z.number() });
