import { OciError } from '@cluster-image/oci';
import type { Disk } from './disk.ts';
import { layoutPaths } from './distribution-paths.ts';
import { type FileStatus, ifExists, onDisk } from './file-system.ts';

/**
 * Refuses a tag that differs from another only in case, where the disk takes both for one (as those of
 * macOS and Windows do): it would move the other. Throws CONFLICT.
 */
export function tagCase(disk: Disk): (repository: string, tag: string) => Promise<void> {
  let isFolding: boolean | undefined;

  const look = (path: string): Promise<FileStatus | undefined> =>
    onDisk(disk.fs, path, () => ifExists(disk.fs.stat(path)));

  async function folds(): Promise<boolean> {
    if (isFolding !== undefined) return isFolding;
    const [directory = ''] = layoutPaths.repositories.split('/');
    if (!(await look(disk.path(directory)))) return false;
    isFolding = (await look(disk.path(directory.toUpperCase()))) !== undefined;
    return isFolding;
  }

  return async (repository, tag) => {
    if (!(await folds())) return;
    const tags = await disk.names(disk.path(layoutPaths.tags(repository)));
    if (tags.includes(tag)) return;
    const other = tags.find((name) => name.toLowerCase() === tag.toLowerCase());
    if (other === undefined) return;
    throw new OciError(
      'CONFLICT',
      `${repository} has a tag ${other}, which is ${tag} on this disk`,
      {
        hint: 'The disk does not tell upper case from lower case. Choose another tag, or another disk.',
      },
    );
  };
}
