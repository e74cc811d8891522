import {
  type Digest,
  digestSchema as digest,
  digestHex,
  digestOf,
  jsonOf,
  OciError,
} from '@cluster-image/oci';
import { z } from 'zod';
import type { Disk } from './disk.ts';
import { isUnwritable } from './file-system.ts';

/** An image that a project holds on to. */
export interface Pin {
  /** As the store names it, host/path. */
  readonly repository: string;
  readonly tag?: string | undefined;
  readonly digest: Digest;
  /** Which children of an index belong to it; all without this. */
  readonly children?: readonly Digest[] | undefined;
}

/** What a lockfile pins, remembered in the store so that it outlives pruning. */
export interface Pinned {
  /** Of the lockfile; absolute. */
  readonly path: string;
  readonly pins: readonly Pin[];
}

export interface RememberedPins extends Pinned {
  /** When a command last worked with them, in milliseconds. */
  readonly usedAt: number;
}

export const rootsName = 'roots';

/** See docs/formats.md#content-store. */
const rootSchema = z.strictObject({
  formatVersion: z.literal(1),
  path: z.string().min(1),
  usedAt: z.iso.datetime(),
  pins: z.array(
    z.strictObject({
      repository: z.string(),
      tag: z.string().optional(),
      digest,
      children: z.array(digest).optional(),
    }),
  ),
});

/**
 * Remembers that a lockfile pins these images, and that they were used now. Other pins of the same
 * lockfile, from before it changed, are remembered beside. A store that cannot be written is left.
 */
export async function remember(disk: Disk, { path, pins }: Pinned): Promise<void> {
  const name = digestHex(digestOf(Buffer.from(JSON.stringify({ path, pins }))));
  const root: z.infer<typeof rootSchema> = {
    formatVersion: 1,
    path,
    usedAt: new Date().toISOString(),
    pins: pins.map(({ children, ...pin }) => ({
      ...pin,
      ...(children && { children: [...children] }),
    })),
  };
  try {
    await disk.write(
      disk.path(rootsName, `${name}.json`),
      `${JSON.stringify(root, undefined, 2)}\n`,
    );
  } catch (error) {
    if (!isUnwritable(error)) throw error;
  }
}

const versionSchema = z.looseObject({ formatVersion: z.number() });

/** Throws INPUT_INVALID for what is damaged, UNSUPPORTED for what a later release wrote. */
export function parsePins(text: string, where: string): RememberedPins {
  const json = jsonOf(text);
  const version = versionSchema.safeParse(json).data?.formatVersion ?? 1;
  if (version > 1) {
    throw new OciError('UNSUPPORTED', `${where} has version ${version}`, {
      hint: 'A later release works with this store too. Prune it with that one, which knows what to keep.',
    });
  }
  const parsed = rootSchema.safeParse(json);
  if (parsed.success) return { ...parsed.data, usedAt: Date.parse(parsed.data.usedAt) };
  throw new OciError('INPUT_INVALID', `${where}: ${z.prettifyError(parsed.error)}`, {
    cause: parsed.error,
  });
}
