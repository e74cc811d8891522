import { realpath, stat } from 'node:fs/promises';
import { nodeFileSystem, onDisk } from './file-system.ts';

/** By what a file that was exchanged for another can be told from it, short of reading both. */
export interface FileMark {
  /** Where it is in the end, through links. */
  readonly path: string;
  readonly size: number;
  /** When it was last written to, in milliseconds. */
  readonly changed: number;
}

/** Throws FILE_SYSTEM where there is no such file. */
export function fileMark(path: string): Promise<FileMark> {
  return onDisk(nodeFileSystem, path, async () => {
    const found = await realpath(path);
    const { size, mtimeMs } = await stat(found);
    return { path: found, size, changed: mtimeMs };
  });
}
