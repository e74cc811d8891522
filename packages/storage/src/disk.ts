import { dirname, join, resolve } from 'node:path';
import { type Content, readAll } from '@cluster-image/oci';
import { atOnce } from './at-once.ts';
import { file } from './file.ts';
import {
  closing,
  errnoOf,
  type FileStatus,
  type FileSystem,
  ifExists,
  list,
  nodeFileSystem,
  onDisk,
  syncDirectory,
} from './file-system.ts';
import { isGone } from './process-mark.ts';
import { leftName, parseStageName, type StageName, stageName } from './stage-name.ts';
import { sweepTurn } from './turn.ts';

/**
 * A directory written so that a crash at any moment leaves it whole. Every file is written under
 * `.staging/`, synced, and renamed into place; names become durable at the next `flush`. Whoever
 * builds on this orders what refers to what with `flush` in between, and is done.
 */
export interface Disk {
  readonly root: string;
  readonly fs: FileSystem;
  /** Whether parts of blobs that broke off are kept, so that they can be gone on with. */
  readonly resumable: boolean;
  path(...parts: readonly string[]): string;
  content(path: string): Promise<Content | undefined>;
  /** A small file as text; undefined where there is none. */
  text(path: string): Promise<string | undefined>;
  /** Names in a directory in bytewise order; none where there is no directory. */
  names(path: string): Promise<readonly string[]>;
  /** Writes a small file in whole, replacing what is there, unless that is the same. */
  write(path: string, data: string | Uint8Array, mode?: number): Promise<void>;
  /** Writes a small file in whole where there is none; false where there is one, which stays. */
  claim(path: string, data: string): Promise<boolean>;
  /** Moves a staged, synced file into place, replacing what is there. */
  place(staged: string, path: string): Promise<void>;
  /** Lets the next flush see to a file that is there already, for others may have placed it a moment ago. */
  rely(path: string, found: FileStatus): void;
  /** Makes a second name for a file; false where the file systems cannot. */
  link(existing: string, path: string): Promise<boolean>;
  makeDirectory(path: string): Promise<void>;
  /** Removes a file or a whole directory; false where there is none. */
  remove(path: string): Promise<boolean>;
  /**
   * Runs an operation that makes something at a path, in a directory that is made first. It may run
   * several times, because others tidy; failures are those of the operating system.
   */
  making<T>(path: string, operation: () => Promise<T>): Promise<T>;
  /** A path for a new file under `.staging/`; what its name starts with says what it is. */
  stagePath(kind: string): string;
  /** A path for a staged file that this process is done with and any may take. */
  leftPath(kind: string): string;
  /** What is under `.staging/`. */
  staged(): Promise<readonly StagedFile[]>;
  /** Removes, once, what processes that are gone have left and nobody can use. */
  sweep(): Promise<void>;
  /** Removes `.staging/` if nothing is in it. */
  tidy(): Promise<void>;
  /** Returns once everything placed so far outlives a loss of power. */
  flush(): Promise<void>;
}

export interface StagedFile extends StageName {
  readonly path: string;
}

export const stagingName = '.staging';

/** The kind of staged files that are never gone on with. */
export const wholeFile = 'file';

/** How many directories are synced at a time, each with an open file. */
const syncsAtOnce = 8;

/** After this time any system has written what it was given, in milliseconds. */
const settled = 600_000;

/** The time of change of a file that is known to outlive a loss of power: whoever finds it need not see to that. */
const durable = 0;

/** What operating systems answer where a file cannot have a second name. */
const noLinks = ['EXDEV', 'EPERM', 'EMLINK', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'];

/** How often a directory is made again that others tidied away in the meantime. */
const makings = 20;

export function disk(
  directory: string,
  fs: FileSystem = nodeFileSystem,
  { resumable = false }: { readonly resumable?: boolean } = {},
): Disk {
  const root = resolve(directory);
  const known = new Set<string>();
  /** Directories whose names are durable, or will be after the next flush. */
  const named = new Set<string>();
  let dirty = new Set<string>();
  /** What was placed since the last flush. */
  let placed = new Set<string>();
  let flushing = Promise.resolve();
  let swept: Promise<void> | undefined;

  const path = (...parts: readonly string[]): string => join(root, ...parts);
  const stagePath = (kind: string): string => path(stagingName, stageName(kind));

  async function ensureDirectory(directory: string): Promise<void> {
    if (known.has(directory)) return;
    const first = await fs.mkdir(directory, { recursive: true });
    for (let at = directory; first && at.length >= first.length; at = dirname(at)) {
      dirty.add(dirname(at));
      named.add(at);
      // Whoever serves the directory need not be who wrote it, whatever the umask is.
      if (at.length >= root.length && isMasked()) await fs.chmod(at, 0o755);
    }
    touch(directory);
    known.add(directory);
  }

  /** Sees to the names of a directory and of those above it, which others may have made a moment ago. */
  function touch(directory: string): void {
    for (let at = directory; at.length > root.length && !named.has(at); at = dirname(at)) {
      dirty.add(dirname(at));
      named.add(at);
    }
  }

  function rely(path: string, { ctimeMs, mtimeMs, nlink }: FileStatus): void {
    const isSettled = Math.abs(Date.now() - ctimeMs) > settled;
    // What has several names has one time of change, whichever of them lasts.
    const isDurable = mtimeMs === durable && nlink === 1;
    if (isSettled || isDurable) return;
    dirty.add(dirname(path));
    touch(dirname(path));
  }

  async function making<T>(target: string, operation: () => Promise<T>): Promise<T> {
    const directory = dirname(target);
    for (let left = makings; ; left--) {
      try {
        await ensureDirectory(directory);
        return await operation();
      } catch (error) {
        if (errnoOf(error) !== 'ENOENT' || left === 0) throw error;
        known.delete(directory);
      }
    }
  }

  async function place(staged: string, target: string): Promise<void> {
    await onDisk(fs, target, () => making(target, () => fs.rename(staged, target)));
    dirty.add(dirname(target));
    placed.add(target);
  }

  /** Whether a file holds these bytes already. */
  async function isThere(target: string, data: Uint8Array): Promise<boolean> {
    const found = await onDisk(fs, target, () => ifExists(fs.stat(target)));
    if (found?.size !== data.length) return false;
    const content = await file(target, fs);
    const isSame = content && Buffer.compare(await readAll(content, data.length), data) === 0;
    if (isSame) rely(target, found);
    return isSame === true;
  }

  async function write(target: string, text: string | Uint8Array, mode = 0o644): Promise<void> {
    const data = Buffer.from(text);
    if (await isThere(target, data)) return;
    const staged = stagePath(wholeFile);
    try {
      await writeStaged(staged, target, data, mode);
      await place(staged, target);
    } catch (error) {
      await fs.rm(staged, { force: true }).catch(() => {});
      throw error;
    }
  }

  async function writeStaged(
    staged: string,
    target: string,
    data: Uint8Array,
    mode: number,
  ): Promise<void> {
    await sweep();
    const handle = await onDisk(fs, target, () =>
      making(staged, () => fs.open(staged, 'wx', 0o644)),
    );
    await closing(fs, target, handle, async () => {
      await handle.writeFile(data);
      await handle.chmod(mode);
      await handle.sync();
    });
  }

  async function claim(target: string, text: string): Promise<boolean> {
    const staged = stagePath(wholeFile);
    try {
      await writeStaged(staged, target, Buffer.from(text), 0o644);
      const isNew = await linkNew(staged, target, text);
      await onDisk(fs, target, () => fs.rm(staged, { force: true }));
      return isNew;
    } catch (error) {
      await fs.rm(staged, { force: true }).catch(() => {});
      throw error;
    }
  }

  /** Of all that make one name, one does; a rename would replace what another made. */
  async function linkNew(staged: string, target: string, text: string): Promise<boolean> {
    try {
      await making(target, () => fs.link(staged, target));
    } catch (error) {
      const errno = errnoOf(error) ?? '';
      if (errno === 'EEXIST') return false;
      if (!noLinks.includes(errno)) await onDisk(fs, target, () => Promise.reject(error));
      if (!(await makeNew(target, text))) return false;
    }
    dirty.add(dirname(target));
    placed.add(target);
    return true;
  }

  /** Where files have one name only. Whoever reads it at that moment may find it empty. */
  async function makeNew(target: string, text: string): Promise<boolean> {
    try {
      const handle = await making(target, () => fs.open(target, 'wx', 0o644));
      await closing(fs, target, handle, async () => {
        await handle.writeFile(Buffer.from(text));
        await handle.sync();
      });
      return true;
    } catch (error) {
      if (errnoOf(error) === 'EEXIST') return false;
      return onDisk(fs, target, () => Promise.reject(error));
    }
  }

  async function syncDirty(): Promise<void> {
    const [directories, files] = [dirty, placed];
    dirty = new Set();
    placed = new Set();
    try {
      await onDisk(fs, root, () =>
        atOnce(syncsAtOnce, [...directories], (directory) => syncDirectory(fs, directory)),
      );
    } catch (error) {
      for (const directory of directories) dirty.add(directory);
      for (const file of files) placed.add(file);
      throw error;
    }
    // Where it cannot be said, others see to it once more. Elsewhere than in a store it is not said: those
    // who cache outputs know by its time that a file has changed.
    if (!resumable) return;
    await atOnce(syncsAtOnce, [...files], (file) =>
      fs.utimes(file, durable, durable).catch(() => {}),
    );
  }

  async function staged(): Promise<readonly StagedFile[]> {
    const names = await onDisk(fs, path(stagingName), () => list(fs, path(stagingName)));
    return names.flatMap((name) => {
      const said = parseStageName(name);
      return said ? [{ ...said, path: path(stagingName, name) }] : [];
    });
  }

  function sweep(): Promise<void> {
    // Housekeeping: what cannot be removed stays, and is no reason to fail.
    swept ??= sweepStaging().catch(() => {});
    return swept;
  }

  async function sweepStaging(): Promise<void> {
    for (const { kind, mark, path } of await staged()) {
      const isUsed = (mark && !isGone(mark)) || (resumable && kind !== wholeFile);
      if (!isUsed) await fs.rm(path, { force: true });
    }
    for (const name of await list(fs, path(stagingName))) {
      await sweepTurn(fs, path(stagingName, name));
    }
  }

  return {
    root,
    fs,
    resumable,
    path,
    claim,
    content: (target) => file(target, fs),
    text: (target) => onDisk(fs, target, () => ifExists(fs.readFile(target, 'utf8'))),
    names: (target) => onDisk(fs, target, () => list(fs, target)),
    write,
    place,
    rely,
    makeDirectory: (directory) => onDisk(fs, directory, () => ensureDirectory(directory)),
    async remove(target) {
      const found = await onDisk(fs, target, () => ifExists(fs.stat(target)));
      if (!found) return false;
      await onDisk(fs, target, () => fs.rm(target, { recursive: true, force: true }));
      dirty.add(dirname(target));
      return true;
    },
    making,
    stagePath,
    leftPath: (kind) => path(stagingName, leftName(kind)),
    staged,
    sweep,
    async link(existing, target) {
      try {
        await making(target, () => fs.link(existing, target));
      } catch (error) {
        const errno = errnoOf(error) ?? '';
        if (noLinks.includes(errno)) return false;
        if (errno !== 'EEXIST') await onDisk(fs, target, () => Promise.reject(error));
      }
      dirty.add(dirname(target));
      return true;
    },
    async tidy() {
      await fs.rmdir(path(stagingName)).catch(() => {});
      known.delete(path(stagingName));
    },
    flush() {
      // One after another: whoever asks while a flush runs is answered only when that one is done too.
      flushing = flushing.catch(() => {}).then(syncDirty);
      return flushing;
    },
  };
}

/** Whether new directories get other modes than they should have. */
function isMasked(): boolean {
  return (0o777 & ~process.umask()) !== 0o755;
}
