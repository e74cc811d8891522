import { chmod, lutimes, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, posix } from 'node:path';
import { OciError, type TreeEntry } from '@cluster-image/oci';
import { nodeFileSystem, onDisk } from './file-system.ts';

/**
 * Does something with entries as a directory, for programs that read nothing else. It is a temporary
 * one that is removed afterwards. Everything in it has its mode and no time, so that what is made of the
 * same entries twice can be the same. Throws FILE_SYSTEM.
 *
 * @param entries a directory comes before what is in it
 */
export async function asDirectory<T>(
  entries: Iterable<TreeEntry>,
  job: (path: string) => Promise<T>,
): Promise<T> {
  const prefix = join(tmpdir(), 'cluster-image-');
  const root = await onDisk(nodeFileSystem, prefix, () => mkdtemp(prefix));
  try {
    await onDisk(nodeFileSystem, root, () => fill(root, [...entries]));
    return await job(root);
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

async function fill(root: string, entries: readonly TreeEntry[]): Promise<void> {
  // Programs take over the mode of what they copy, this one too.
  await chmod(root, 0o755);
  const directories = new Set(['.']);
  for (const entry of entries) {
    // A link may stand for a directory that is somebody else's.
    if (!directories.has(posix.dirname(entry.path))) {
      throw new OciError('FILE_SYSTEM', `${entry.path} lies in what is not a directory`);
    }
    await write(entry, join(root, entry.path));
    if (entry.type === 'directory') directories.add(entry.path);
  }
  // From the inside out: whatever is put into a directory changes its time.
  for (const { path } of entries.toReversed()) await lutimes(join(root, path), 0, 0);
  await lutimes(root, 0, 0);
}

async function write(entry: TreeEntry, path: string): Promise<void> {
  if (entry.type === 'symlink') return symlink(entry.target, path);
  if (entry.type === 'directory') await mkdir(path);
  else await writeFile(path, entry.content.open(), { flag: 'wx' });
  // Whatever the umask is.
  await chmod(path, entry.mode);
}
