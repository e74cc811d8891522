import { fileURLToPath } from 'node:url';
import { jsonOf, OciError, readAll } from '@cluster-image/oci';
import { file } from '@cluster-image/storage';
import { z } from 'zod';

const packageSchema = z.looseObject({ version: z.string() });

/** The version of the package that this is a part of, two directories up, bundled or not. */
export async function version(): Promise<string> {
  const path = fileURLToPath(new URL('../../package.json', import.meta.url));
  const content = await file(path);
  const found = packageSchema.safeParse(content && jsonOf(await readAll(content, 64 * 1024)));
  if (found.success) return found.data.version;
  throw new OciError('FILE_SYSTEM', `${path} does not tell the version`);
}
