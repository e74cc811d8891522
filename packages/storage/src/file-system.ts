import * as node from 'node:fs/promises';
import { dirname } from 'node:path';
import { compareBytes, OciError } from '@cluster-image/oci';

/**
 * The calls this package makes of the operating system, in one place: tests pass a file system that
 * fails or dies at the n-th call.
 */
export type FileSystem = Pick<
  typeof node,
  | 'link'
  | 'lstat'
  | 'mkdir'
  | 'open'
  | 'opendir'
  | 'readFile'
  | 'readlink'
  | 'rename'
  | 'rm'
  | 'rmdir'
  | 'stat'
  | 'statfs'
  | 'unlink'
>;

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

/** The names in a directory in bytewise order; none where there is no directory. */
export async function list(fs: FileSystem, path: string): Promise<readonly string[]> {
  const directory = await ifExists(fs.opendir(path));
  const names: string[] = [];
  if (directory) for await (const entry of directory) names.push(entry.name);
  return names.sort(compareBytes);
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
    EACCES: 'Check who owns the file and its modes.',
    EPERM: 'Check who owns the file and its modes.',
    EROFS: 'The file system is read-only; choose another place.',
    EMFILE: 'Raise the limit of open files (ulimit -n).',
  };
  return new OciError('FILE_SYSTEM', `${path}: ${cause.message}`, { cause, hint: hints[errno] });
}

async function freeSpace(fs: FileSystem, path: string): Promise<string> {
  try {
    const { bavail, bsize } = await fs.statfs(dirname(path));
    return ` (${bavail * bsize} bytes free)`;
  } catch {
    return '';
  }
}
