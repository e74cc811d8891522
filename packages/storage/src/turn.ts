import type { Disk } from './disk.ts';
import { errnoOf, type FileSystem, ifExists, onDisk } from './file-system.ts';
import { formatMark, isGone, isOwn, ownMark, type ProcessMark, parseMark } from './process-mark.ts';

export interface Turn {
  end(): Promise<void>;
}

export interface Work {
  isDone(): Promise<boolean>;
  /** Any number that changes while someone is at it. */
  progress(): Promise<number>;
}

export interface Waiting {
  /** How often one looks whether another process is done, in milliseconds. */
  readonly lookEvery: number;
  /** How long work may stand still before it counts as abandoned, in milliseconds. */
  readonly patience: number;
}

const turnSuffix = '.turn';

/**
 * Waits until this process may do some work under `.staging/` that others may be at, or until one of
 * them has done it (undefined). A turn is a courtesy that saves doing it twice: should two processes
 * ever hold the same, the work must still come out right.
 *
 * The turn is a symbolic link that says who holds it, because that is made in one step.
 */
export async function takeTurn(
  disk: Disk,
  path: string,
  work: Work,
  { lookEvery, patience }: Waiting = { lookEvery: 50, patience: 60_000 },
): Promise<Turn | undefined> {
  const at = `${path}${turnSuffix}`;
  let seen = Number.NaN;
  let still = 0;
  for (;;) {
    if (await claim(disk, at)) return { end: () => release(disk.fs, at) };
    if (await work.isDone()) return undefined;
    const progress = await work.progress();
    still = progress === seen ? still + lookEvery : 0;
    seen = progress;
    const holder = await holderOf(disk.fs, at);
    if (holder && (isGone(holder) || still > patience)) {
      await disk.fs.rm(at, { force: true });
    } else {
      await new Promise((resolve) => setTimeout(resolve, lookEvery));
    }
  }
}

async function claim(disk: Disk, path: string): Promise<boolean> {
  const { fs } = disk;
  try {
    await disk.making(path, () => fs.symlink(formatMark(ownMark), path));
    return true;
  } catch (error) {
    const errno = errnoOf(error) ?? '';
    if (errno === 'EEXIST') return false;
    // Where there are no links there are no turns.
    if (['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'].includes(errno)) return true;
    return onDisk(fs, path, () => Promise.reject(error));
  }
}

async function release(fs: FileSystem, path: string): Promise<void> {
  const holder = await holderOf(fs, path).catch(() => ownMark);
  if (holder && isOwn(holder)) await onDisk(fs, path, () => fs.rm(path, { force: true }));
}

/** Removes a turn whose holder is gone; leaves alone what is none. */
export async function sweepTurn(fs: FileSystem, path: string): Promise<void> {
  if (!path.endsWith(turnSuffix)) return;
  const holder = await holderOf(fs, path);
  if (holder && isGone(holder)) await fs.rm(path, { force: true });
}

async function holderOf(fs: FileSystem, path: string): Promise<ProcessMark | undefined> {
  const text = await onDisk(fs, path, () => ifExists(fs.readlink(path)));
  return text === undefined ? undefined : parseMark(text);
}
