import { codeOf } from '@cluster-image/oci';
import type { Contents, StoredTag } from './contents.ts';
import type { Disk } from './disk.ts';
import { ifExists, isUnwritable } from './file-system.ts';
import { type Entry, pathOf } from './inventory.ts';
import type { Reach } from './reach.ts';
import { parsePins, type RememberedPins } from './roots.ts';

/** Something that the store holds on to, with all that can be reached from it. */
export interface Root {
  /** An image's name, or the path of a lockfile. */
  readonly name: string;
  /** In milliseconds. */
  readonly usedAt: number;
  /** Whether there is no reason for it any more: its lockfile is gone, or pins something else by now; its image is not here. */
  readonly isStale: boolean;
  keep(): Promise<void>;
}

interface Remembered extends RememberedPins {
  readonly file: Entry;
}

/**
 * Everything that a store holds on to. A tag that a lockfile's images came with is part of that root,
 * and none of its own.
 *
 * @param damaged is told of files that cannot be read
 */
export async function rootsOf(
  contents: Contents,
  reach: Reach,
  disk: Disk,
  damaged: (file: Entry, why: string) => void,
): Promise<readonly Root[]> {
  const owned = new Set<StoredTag>();
  const roots: Root[] = [];
  const all = await readAllPins(contents, disk, damaged);
  for (const remembered of all) {
    const tags = await tagsOf(remembered, contents, reach);
    for (const tag of tags) owned.add(tag);
    roots.push({
      name: remembered.path,
      usedAt: Math.max(remembered.usedAt, ...tags.map(({ current }) => current?.changed ?? 0)),
      isStale: isSuperseded(remembered, all) || !(await isThere(disk, remembered.path)),
      async keep() {
        reach.keep(remembered.file);
        for (const pin of remembered.pins) await reach.keepPin(pin);
      },
    });
  }
  return [...roots, ...namedRoots(contents, reach, owned)];
}

async function readAllPins(
  { roots }: Contents,
  disk: Disk,
  damaged: (file: Entry, why: string) => void,
): Promise<readonly Remembered[]> {
  const found: Remembered[] = [];
  for (const file of roots) {
    try {
      const text = (await disk.text(disk.path(pathOf(file)))) ?? '';
      found.push({ ...parsePins(text, pathOf(file)), file });
    } catch (error) {
      if (codeOf(error) !== 'INPUT_INVALID') throw error;
      damaged(file, 'does not say what a lockfile pins');
    }
  }
  return found;
}

/** The tags that still mean what a lockfile pins under their name. */
async function tagsOf(
  { pins }: RememberedPins,
  { repositories }: Contents,
  reach: Reach,
): Promise<readonly StoredTag[]> {
  const found: StoredTag[] = [];
  for (const { repository, tag, digest } of pins) {
    const named = repositories.get(repository)?.tags.get(tag ?? '');
    if (named && (await reach.meaningOf(named)) === digest) found.push(named);
  }
  return found;
}

function isSuperseded({ path, usedAt }: RememberedPins, all: readonly RememberedPins[]): boolean {
  return all.some((other) => other.path === path && other.usedAt > usedAt);
}

async function isThere({ fs }: Disk, path: string): Promise<boolean> {
  try {
    return (await ifExists(fs.lstat(path))) !== undefined;
  } catch (error) {
    // Who may not look cannot tell.
    if (isUnwritable(error)) return true;
    throw error;
  }
}

function namedRoots(
  contents: Contents,
  reach: Reach,
  owned: ReadonlySet<StoredTag>,
): readonly Root[] {
  const roots: Root[] = [];
  for (const [name, { tags }] of contents.repositories) {
    for (const [tag, stored] of tags) {
      if (!stored.current || owned.has(stored)) continue;
      const usedAt = stored.current.changed;
      const keep = (): Promise<void> => reach.keepTag(name, stored);
      roots.push({ name: `${name}:${tag}`, usedAt, isStale: false, keep });
    }
  }
  for (const [name, image] of contents.images) {
    if (!image.index) continue;
    const keep = (): Promise<void> => reach.keepImage(image);
    roots.push({ name, usedAt: image.index.changed, isStale: false, keep });
  }
  for (const [digest, note] of contents.notes) {
    const isStale = !contents.blobs.has(digest);
    const keep = (): Promise<void> => reach.keepNote(note);
    roots.push({ name: `unpacked ${digest}`, usedAt: note.changed, isStale, keep });
  }
  return roots;
}
