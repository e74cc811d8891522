import { type Content, OciError } from '@cluster-image/oci';
import { readChartFile } from '../discover/chart-file.ts';
import { openArchive } from '../discover/chart-tree.ts';
import type { LockedChart } from '../lock/lockfile.ts';
import { isSameVersion } from './versions.ts';

/**
 * Checks that a packed chart is the one that was asked for, as helm does. Nothing of it is written
 * anywhere. Throws INPUT_INVALID where it is another one, ARCHIVE_INVALID for what is no archive.
 *
 * @param what how errors name the archive
 */
export async function requireChart(
  archive: Content,
  { name, version }: Pick<LockedChart, 'name' | 'version'>,
  what: string,
): Promise<void> {
  const own = await readChartFile(await openArchive(archive, what));
  if (own.name === name && isSameVersion(own.version, version)) return;
  const said = `${JSON.stringify(own.name)} ${JSON.stringify(own.version)}`;
  throw new OciError('INPUT_INVALID', `${what} calls itself ${said}, not ${name} ${version}`, {
    hint: 'Its repository has something else under that name; ask whoever keeps it.',
  });
}
