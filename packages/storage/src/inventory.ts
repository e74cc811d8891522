import { atOnce } from './at-once.ts';
import { type FileStatus, type FileSystem, ifExists, list, onDisk } from './file-system.ts';

/** Something in a directory, and what is below it. Symbolic links are entries, and not followed. */
export interface Entry {
  readonly name: string;
  readonly parent: Entry | undefined;
  readonly isDirectory: boolean;
  readonly entries: Map<string, Entry>;
  /** What it takes on the disk itself, in bytes, as `du` counts. */
  readonly bytes: number;
  /** When it was last changed, renamed or linked, in milliseconds. */
  readonly changed: number;
  /** Whether the file has names elsewhere, so that removing this one frees nothing. */
  readonly isShared: boolean;
}

/** How many directories are read at a time. */
const readsAtOnce = 16;

/** Everything in a directory. */
export async function inventory(fs: FileSystem, root: string): Promise<Entry> {
  const top = entryOf('', undefined, await onDisk(fs, root, () => fs.stat(root)));
  for (let level: readonly Entry[] = [top]; level.length > 0; ) {
    level = (await atOnce(readsAtOnce, level, (entry) => read(fs, root, entry))).flat();
  }
  return top;
}

/** Fills a directory, and gives the directories in it. */
async function read(fs: FileSystem, root: string, entry: Entry): Promise<readonly Entry[]> {
  const path = `${root}/${pathOf(entry)}`;
  const names = await onDisk(fs, path, () => list(fs, path));
  const entries = await Promise.all(
    names.map(async (name) => {
      const at = `${path}/${name}`;
      const found = await onDisk(fs, at, () => ifExists(fs.lstat(at)));
      return found && entryOf(name, entry, found);
    }),
  );
  const directories: Entry[] = [];
  for (const found of entries) {
    if (!found) continue;
    entry.entries.set(found.name, found);
    if (found.isDirectory) directories.push(found);
  }
  return directories;
}

function entryOf(name: string, parent: Entry | undefined, found: FileStatus): Entry {
  const isDirectory = found.isDirectory();
  return {
    name,
    parent,
    isDirectory,
    entries: new Map(),
    bytes: found.blocks * 512,
    changed: found.ctimeMs,
    isShared: !isDirectory && found.nlink > 1,
  };
}

/** Relative to the directory that was asked for. */
export function pathOf({ name, parent }: Entry): string {
  const above = parent ? pathOf(parent) : '';
  return above ? `${above}/${name}` : name;
}

/** What is at a path below an entry. */
export function entryAt(entry: Entry | undefined, path: string): Entry | undefined {
  return path.split('/').reduce<Entry | undefined>((at, name) => at?.entries.get(name), entry);
}

/** An entry and everything below it; what is in a directory comes before the directory. */
export function* below(entry: Entry): Iterable<Entry> {
  for (const inner of entry.entries.values()) yield* below(inner);
  yield entry;
}

/** All files and links below an entry. */
export function filesBelow(entry: Entry | undefined): readonly Entry[] {
  return entry ? [...below(entry)].filter(({ isDirectory }) => !isDirectory) : [];
}
