import { randomUUID } from 'node:crypto';
import { dirname, join } from 'node:path';
import type { Content } from '@cluster-image/oci';
import { file } from './file.ts';
import { errnoOf, type FileSystem, ifExists, list, nodeFileSystem, onDisk } from './file-system.ts';
import { ownMark, type ProcessMark } from './process-mark.ts';

/**
 * A directory written so that a crash at any moment leaves it whole. Every file is written under
 * `.staging/`, synced, and renamed into place; names become durable at the next `flush`. Whoever
 * builds on this orders what refers to what with `flush` in between, and is done.
 */
export interface Disk {
  readonly root: string;
  readonly fs: FileSystem;
  path(...parts: readonly string[]): string;
  content(path: string): Promise<Content | undefined>;
  /** A small file as text; undefined where there is none. */
  text(path: string): Promise<string | undefined>;
  /** Names in a directory in bytewise order; none where there is no directory. */
  names(path: string): Promise<readonly string[]>;
  /** Writes a small file in whole, replacing what is there. */
  write(path: string, data: string | Uint8Array): Promise<void>;
  /** Moves a staged, synced file into place, replacing what is there. */
  place(staged: string, path: string): Promise<void>;
  /** Makes a second name for a file; false where the file systems cannot. */
  link(existing: string, path: string): Promise<boolean>;
  /** A path for a new file under `.staging/`; what its name starts with says what it is. */
  stagePath(kind: string): Promise<string>;
  makeDirectory(path: string): Promise<void>;
  /** Removes `.staging/` if nothing is in it. */
  tidy(): Promise<void>;
  /** Returns once everything placed so far outlives a loss of power. */
  flush(): Promise<void>;
}

export const stagingName = '.staging';

export function disk(root: string, fs: FileSystem = nodeFileSystem): Disk {
  const known = new Set<string>();
  let dirty = new Set<string>();
  let flushing = Promise.resolve();

  const path = (...parts: readonly string[]): string => join(root, ...parts);

  async function makeDirectory(directory: string): Promise<void> {
    if (known.has(directory)) return;
    const first = await onDisk(fs, directory, () =>
      fs.mkdir(directory, { recursive: true, mode: 0o755 }),
    );
    // The name of each new directory stands in its parent, up to the parent of the first new one.
    for (let at = directory; first && at.length >= first.length; at = dirname(at)) {
      dirty.add(dirname(at));
    }
    known.add(directory);
  }

  /** Runs an operation that needs a directory, which someone else may just have tidied away. */
  async function inDirectory<T>(directory: string, operation: () => Promise<T>): Promise<T> {
    await makeDirectory(directory);
    try {
      return await operation();
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error;
      known.delete(directory);
      await makeDirectory(directory);
      return operation();
    }
  }

  async function stagePath(kind: string): Promise<string> {
    await makeDirectory(path(stagingName));
    return path(stagingName, stageName(kind, ownMark()));
  }

  async function place(staged: string, target: string): Promise<void> {
    await onDisk(fs, target, () => inDirectory(dirname(target), () => fs.rename(staged, target)));
    dirty.add(dirname(target));
  }

  async function syncDirty(): Promise<void> {
    const directories = dirty;
    dirty = new Set();
    try {
      await onDisk(fs, root, () => Promise.all([...directories].map(syncDirectory)));
    } catch (error) {
      for (const directory of directories) dirty.add(directory);
      throw error;
    }
  }

  async function syncDirectory(directory: string): Promise<void> {
    const handle = await ifExists(fs.open(directory, 'r'));
    if (!handle) return;
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  }

  return {
    root,
    fs,
    path,
    content: (target) => file(target, fs),
    text: (target) => onDisk(fs, target, () => ifExists(fs.readFile(target, 'utf8'))),
    names: (target) => onDisk(fs, target, () => list(fs, target)),
    stagePath,
    place,
    makeDirectory,
    async write(target, data) {
      const staged = await stagePath('file');
      try {
        await onDisk(fs, target, () =>
          inDirectory(path(stagingName), async () => {
            const handle = await fs.open(staged, 'w', 0o644);
            try {
              await handle.writeFile(data);
              await handle.chmod(0o644);
              await handle.sync();
            } finally {
              await handle.close();
            }
          }),
        );
        await place(staged, target);
      } catch (error) {
        await fs.rm(staged, { force: true }).catch(() => {});
        throw error;
      }
    },
    async link(existing, target) {
      try {
        await inDirectory(dirname(target), () => fs.link(existing, target));
      } catch (error) {
        const errno = errnoOf(error) ?? '';
        if (errno === 'EEXIST') return true;
        if (['EXDEV', 'EPERM', 'EMLINK', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'].includes(errno)) {
          return false;
        }
        await onDisk(fs, target, () => Promise.reject(error));
      }
      dirty.add(dirname(target));
      return true;
    },
    async tidy() {
      known.delete(path(stagingName));
      await fs.rmdir(path(stagingName)).catch(() => {});
    },
    flush() {
      // One after another: whoever asks while a flush runs is answered only when that one is done too.
      flushing = flushing.catch(() => {}).then(syncDirty);
      return flushing;
    },
  };
}

/** The name of a staged file says which process it belongs to, so that whoever finds it knows whether it is abandoned. */
function stageName(kind: string, mark: ProcessMark): string {
  const host = Buffer.from(mark.host).toString('base64url');
  return [kind, host, mark.pid, mark.started, randomUUID()].join('~');
}

/** What a staged file is and whose; undefined for a file that is not ours. */
export function parseStageName(name: string): { kind: string; mark: ProcessMark } | undefined {
  const [kind, host, pid, started, unique] = name.split('~');
  if (!kind || !host || !pid || started === undefined || !unique) return undefined;
  if (!/^\d+$/.test(pid)) return undefined;
  const mark = { host: Buffer.from(host, 'base64url').toString(), pid: Number(pid), started };
  return { kind, mark };
}
