import type { FileHandle, FileSystem } from '../src/file-system.ts';

/** What happens at the n-th call: an error of the operating system, a write of half the bytes, or the end of the process. */
export type Fault = 'ENOSPC' | 'EDQUOT' | 'EIO' | 'EROFS' | 'EMFILE' | 'EACCES' | 'short' | 'death';

/** Stands for the end of a process: from here on nothing reaches the disk. */
export class Death extends Error {}

export interface FaultySystem {
  readonly fs: FileSystem;
  /** How many calls were made of it. */
  calls(): number;
  /** The name of the call that the fault happened at. */
  hit(): string | undefined;
}

/**
 * A file system on which something goes wrong at the n-th call.
 */
export function faulty(fault: Fault, at: number, real: FileSystem): FaultySystem {
  let calls = 0;
  let hit: string | undefined;

  /** Whether this is the call at which half of something is written. */
  function begin(name: string): boolean {
    if (hit && fault === 'death') throw new Death('the process is dead');
    const isWrite = name === 'writev' || name === 'writeFile';
    if (fault === 'short' && !isWrite) return false;
    calls += 1;
    if (calls !== at) return false;
    hit = name;
    if (fault === 'short') return true;
    if (fault === 'death') {
      if (isWrite) return true;
      throw new Death('the process is dead');
    }
    throw Object.assign(new Error(`${fault}: injected, ${name}`), { code: fault });
  }

  function wrap<A extends readonly unknown[], R>(
    name: string,
    operation: (...given: A) => Promise<R>,
  ): (...given: A) => Promise<R> {
    return async (...given) => {
      begin(name);
      return operation(...given);
    };
  }

  function wrapHandle(handle: FileHandle): FileHandle {
    return {
      chmod: wrap('fchmod', (mode) => handle.chmod(mode)),
      read: wrap('read', (buffer, offset, length, position) =>
        handle.read(buffer, offset, length, position),
      ),
      stat: wrap('fstat', () => handle.stat()),
      sync: wrap('fsync', () => handle.sync()),
      truncate: wrap('truncate', (size) => handle.truncate(size)),
      async close() {
        // A process that dies closes its files, and so does a close that fails.
        await handle.close();
        begin('close');
      },
      async writev(chunks) {
        if (!begin('writev')) return handle.writev(chunks);
        const all = Buffer.concat(chunks);
        const half = await handle.writev([all.subarray(0, Math.ceil(all.length / 2))]);
        if (fault === 'death') throw new Death('the process is dead');
        return half;
      },
      async writeFile(data) {
        const isTorn = begin('writeFile');
        await handle.writeFile(isTorn ? data.subarray(0, Math.ceil(data.length / 2)) : data);
        if (isTorn && fault === 'death') throw new Death('the process is dead');
        if (isTorn) await handle.writeFile(data.subarray(Math.ceil(data.length / 2)));
      },
    };
  }

  const fs: FileSystem = {
    chmod: wrap('chmod', real.chmod),
    link: wrap('link', real.link),
    lstat: wrap('lstat', real.lstat),
    mkdir: wrap('mkdir', real.mkdir),
    open: wrap('open', async (path, flags, mode) => wrapHandle(await real.open(path, flags, mode))),
    opendir: wrap('opendir', real.opendir),
    readFile: wrap('readFile', real.readFile),
    readlink: wrap('readlink', real.readlink),
    rename: wrap('rename', real.rename),
    rm: wrap('rm', real.rm),
    rmdir: wrap('rmdir', real.rmdir),
    stat: wrap('stat', real.stat),
    statfs: wrap('statfs', real.statfs),
    symlink: wrap('symlink', real.symlink),
    utimes: wrap('utimes', real.utimes),
  };
  return { fs, calls: () => calls, hit: () => hit };
}
