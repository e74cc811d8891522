import { jsonOf } from '@cluster-image/oci';
import type { Disk } from './disk.ts';
import { errnoOf, ifExists, onDisk } from './file-system.ts';
import { isGone, ownMark, type ProcessMark, processMarkSchema } from './process-mark.ts';

/** How often one looks whether another process is done, in milliseconds. */
const lookEvery = 100;

/** How long work on another host may stand still before it counts as abandoned, in milliseconds. */
const patience = 60_000;

export interface Turn {
  end(): Promise<void>;
}

export interface Work {
  isDone(): Promise<boolean>;
  /** Any number that changes while someone is at it. */
  progress(): Promise<number>;
}

/**
 * Waits until this process may do some work that others may be at, or until one of them has done it
 * (undefined). A turn is a courtesy that saves doing it twice: should two processes ever hold the
 * same, the work must still come out right.
 */
export async function takeTurn(disk: Disk, path: string, work: Work): Promise<Turn | undefined> {
  let seen = Number.NaN;
  let still = 0;
  for (;;) {
    if (await claim(disk, path)) return { end: () => release(disk, path) };
    if (await work.isDone()) return undefined;
    const progress = await work.progress();
    still = progress === seen ? still + lookEvery : 0;
    seen = progress;
    const holder = await holderOf(disk, path);
    const isElsewhere = holder?.host !== ownMark().host;
    if ((holder && isGone(holder)) || (isElsewhere && still > patience)) {
      await disk.fs.rm(path, { force: true });
    } else {
      await new Promise((resolve) => setTimeout(resolve, lookEvery));
    }
  }
}

async function claim(disk: Disk, path: string): Promise<boolean> {
  try {
    const handle = await disk.fs.open(path, 'wx', 0o644);
    await handle.writeFile(JSON.stringify(ownMark())).finally(() => handle.close());
    return true;
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return false;
    return onDisk(disk.fs, path, () => Promise.reject(error));
  }
}

async function release(disk: Disk, path: string): Promise<void> {
  if ((await holderOf(disk, path))?.pid === ownMark().pid) await disk.fs.rm(path, { force: true });
}

async function holderOf(disk: Disk, path: string): Promise<ProcessMark | undefined> {
  const text = await ifExists(disk.fs.readFile(path, 'utf8'));
  return text === undefined ? undefined : processMarkSchema.safeParse(jsonOf(text)).data;
}
