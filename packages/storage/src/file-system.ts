import * as node from 'node:fs/promises';
import { dirname } from 'node:path';
import { compareBytes, OciError } from '@cluster-image/oci';

/**
 * The calls this package makes of the operating system, in one place: tests pass a file system that
 * fails or dies at the n-th call.
 */
export interface FileSystem {
  chmod(path: string, mode: number): Promise<void>;
  link(existing: string, path: string): Promise<void>;
  lstat(path: string): Promise<FileStatus>;
  mkdir(path: string, options: { recursive: true }): Promise<string | undefined>;
  open(path: string, flags: string, mode?: number): Promise<FileHandle>;
  opendir(path: string): Promise<AsyncIterable<{ readonly name: string }>>;
  readFile(path: string, encoding: 'utf8'): Promise<string>;
  readlink(path: string): Promise<string>;
  rename(from: string, to: string): Promise<void>;
  rm(path: string, options: { force: true; recursive?: true }): Promise<void>;
  rmdir(path: string): Promise<void>;
  stat(path: string): Promise<FileStatus>;
  statfs(path: string): Promise<{ readonly bavail: number; readonly bsize: number }>;
  symlink(target: string, path: string): Promise<void>;
  utimes(path: string, accessed: number, modified: number): Promise<void>;
}

export interface FileStatus {
  readonly size: number;
  readonly mode: number;
  /** When it was last changed or renamed, in milliseconds. */
  readonly ctimeMs: number;
  /** When its bytes were last changed, or so it was said, in milliseconds. */
  readonly mtimeMs: number;
  /** How many names it has. */
  readonly nlink: number;
  /** What it takes on the disk, in units of 512 bytes. */
  readonly blocks: number;
  isFile(): boolean;
  isDirectory(): boolean;
  isSymbolicLink(): boolean;
}

export interface FileHandle {
  chmod(mode: number): Promise<void>;
  close(): Promise<void>;
  read(
    buffer: Uint8Array,
    offset: number,
    length: number,
    position: number,
  ): Promise<{ readonly bytesRead: number }>;
  stat(): Promise<FileStatus>;
  sync(): Promise<void>;
  truncate(size: number): Promise<void>;
  writeFile(data: Uint8Array): Promise<void>;
  writev(chunks: readonly Uint8Array[]): Promise<{ readonly bytesWritten: number }>;
}

export const nodeFileSystem: FileSystem = node;

export function errnoOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string'
    ? error.code
    : undefined;
}

/** The result, or undefined where there is no such file. */
export async function ifExists<T>(operation: Promise<T>): Promise<T | undefined> {
  try {
    return await operation;
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === 'ENOENT' || errno === 'ENOTDIR') return undefined;
    throw error;
  }
}

/** Whether an operation failed because nothing can be written there, at least not by this user. */
export function isUnwritable(error: unknown): boolean {
  const errno = errnoOf(error instanceof OciError ? error.cause : error);
  return ['EACCES', 'EPERM', 'EROFS', 'ENOTDIR', 'ENOENT'].includes(errno ?? '');
}

/** The names in a directory in bytewise order; none where there is no directory. */
export async function list(fs: FileSystem, path: string): Promise<readonly string[]> {
  const directory = await ifExists(fs.opendir(path));
  const names: string[] = [];
  if (directory) for await (const entry of directory) names.push(entry.name);
  return names.sort(compareBytes);
}

/** Makes the names in a directory durable. */
export async function syncDirectory(fs: FileSystem, path: string): Promise<void> {
  const handle = await onDisk(fs, path, () => ifExists(fs.open(path, 'r')));
  if (!handle) return;
  await closing(fs, path, handle, async () => {
    try {
      await handle.sync();
    } catch (error) {
      // Some network file systems cannot be asked to.
      if (errnoOf(error) !== 'EINVAL') throw error;
    }
  });
}

/**
 * Runs operations on a path and turns what the operating system says into NO_SPACE or FILE_SYSTEM
 * errors that name the path.
 */
export async function onDisk<T>(
  fs: FileSystem,
  path: string,
  operation: () => Promise<T>,
): Promise<T> {
  try {
    return await operation();
  } catch (error) {
    throw await diskError(fs, path, error);
  }
}

const otherPlace = 'The content store can lie elsewhere: --store or CLUSTER_IMAGE_STORE.';

async function diskError(fs: FileSystem, path: string, cause: unknown): Promise<unknown> {
  const errno = errnoOf(cause);
  if (cause instanceof OciError || errno === undefined || !(cause instanceof Error)) return cause;
  if (errno === 'ENOSPC' || errno === 'EDQUOT') {
    return new OciError('NO_SPACE', `no space left for ${path}${await freeSpace(fs, path)}`, {
      cause,
      hint: 'Free some space, or choose another place with --store or CLUSTER_IMAGE_STORE. What was finished is kept.',
    });
  }
  const hints: Readonly<Record<string, string>> = {
    EACCES: `Check who owns the file and its modes. ${otherPlace}`,
    EPERM: `Check who owns the file and its modes. ${otherPlace}`,
    ENOTDIR: `A part of the path is a file. ${otherPlace}`,
    EROFS: `The file system is read-only. ${otherPlace}`,
    EMFILE: 'Raise the limit of open files (ulimit -n).',
  };
  return new OciError('FILE_SYSTEM', `${path}: ${cause.message}`, { cause, hint: hints[errno] });
}

/** How much room there is, asked of the next directory above that exists. */
async function freeSpace(fs: FileSystem, path: string): Promise<string> {
  try {
    const { bavail, bsize } = await fs.statfs(path);
    return ` (${bavail * bsize} bytes free)`;
  } catch (error) {
    const isMissing = errnoOf(error) === 'ENOENT' && path !== dirname(path);
    return isMissing ? freeSpace(fs, dirname(path)) : '';
  }
}

/** Works with an open file, and closes it whatever comes of that. Failures name the path, as in `onDisk`. */
export async function closing<T>(
  fs: FileSystem,
  path: string,
  handle: FileHandle,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await onDisk(fs, path, work);
  } finally {
    await onDisk(fs, path, () => handle.close());
  }
}
