import {
  compareBytes,
  type Digest,
  formatPlatform,
  formatReference,
  isDigest,
  jsonOf,
  OciError,
  parsePlatform,
  parseReference,
  readAll,
  type Tree,
} from '@cluster-image/oci';
import { z } from 'zod';

export const lockfileName = 'cluster-image.lock.json';

/** The most that a lockfile may hold, in bytes. */
const fileLimit = 256 * 1024 * 1024;

const digest = z.custom<Digest>((value) => typeof value === 'string' && isDigest(value), {
  error: 'not a digest',
});

const reference = z.string().refine(
  (text) => {
    try {
      return formatReference(parseReference(text)) === text;
    } catch {
      return false;
    }
  },
  { error: 'not a whole image reference' },
);

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

/** See docs/formats.md#lockfile. */
const lockfileSchema = z.strictObject({
  lockfileVersion: z.literal(1),
  platforms: z.array(platform).min(1),
  images: z.record(reference, lockedImageSchema),
  bases: z.record(reference, lockedImageSchema),
});

export type LockedImage = Readonly<z.infer<typeof lockedImageSchema>>;

/**
 * What a context's references mean: each pinned to a digest, and to the manifests of the platforms
 * that are kept. Depends on nothing but the references and their upstream; holds no secrets, no
 * paths outside the context, no times.
 */
export type Lockfile = Readonly<z.infer<typeof lockfileSchema>>;

/** The text of a lockfile: sorted, the same for the same pins. */
export function formatLockfile(lockfile: Lockfile): string {
  const { lockfileVersion, platforms, images, bases } = lockfile;
  const sorted = {
    lockfileVersion,
    platforms: [...platforms].sort(compareBytes),
    images: sortedRecord(images, sortedImage),
    bases: sortedRecord(bases, sortedImage),
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
  return parseLockfile(new TextDecoder().decode(await readAll(entry.content, fileLimit)));
}

export function parseLockfile(text: string): Lockfile {
  const invalid = (line: number | undefined, why: string, cause?: unknown): OciError =>
    new OciError(
      'INPUT_INVALID',
      `${lockfileName}${line === undefined ? '' : `:${line}`}: ${why}`,
      {
        cause,
        hint: 'Restore it from version control, or write it anew with `cluster-image lock`.',
      },
    );
  const conflict = text.split('\n').findIndex((line) => /^(?:<{7}|={7}|>{7})/.test(line));
  if (conflict >= 0) throw invalid(conflict + 1, 'has conflict markers; merge it, then lock again');
  const json = jsonOf(text);
  if (json === undefined) throw invalid(syntaxErrorLine(text), 'is not JSON');
  const version = z.looseObject({ lockfileVersion: z.number() }).safeParse(json)
    .data?.lockfileVersion;
  if (version !== undefined && version > 1) {
    throw invalid(undefined, `has version ${version}, which this release does not know; update it`);
  }
  const parsed = lockfileSchema.safeParse(json);
  if (!parsed.success) throw invalid(undefined, z.prettifyError(parsed.error), parsed.error);
  const repeated = repeatedKey(text);
  if (repeated) throw invalid(repeated.line, `names ${repeated.key} twice`);
  return parsed.data;
}

/** The first line that cannot be part of JSON; undefined where that cannot be told. */
function syntaxErrorLine(text: string): number | undefined {
  try {
    JSON.parse(text);
  } catch (error) {
    const at = /position (\d+)/.exec(error instanceof Error ? error.message : '')?.[1];
    if (at !== undefined) return text.slice(0, Number(at)).split('\n').length;
  }
  return undefined;
}

/** A reference that stands in the text twice, of which JSON would silently keep one. */
function repeatedKey(text: string): { key: string; line: number } | undefined {
  let section = '';
  const seen = new Set<string>();
  for (const [at, line] of text.split('\n').entries()) {
    section = /^ {2}"(images|bases)": \{/.exec(line)?.[1] ?? section;
    const key = /^ {4}"([^"]+)": \{/.exec(line)?.[1];
    if (key === undefined) continue;
    if (seen.has(`${section} ${key}`)) return { key, line: at + 1 };
    seen.add(`${section} ${key}`);
  }
  return undefined;
}
