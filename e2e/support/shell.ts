import { cp, mkdir, realpath } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { succeed } from './run.ts';

/** Makes a directory of this machine's shell and what it is linked to, for images in which RUN runs. */
export async function shellDirectory(directory: string): Promise<void> {
  const linked = await succeed('ldd', ['/bin/sh']);
  const libraries = linked.match(/\/\S+(?= \()/g) ?? [];
  for (const path of ['/bin/sh', ...libraries]) {
    const to = join(directory, path);
    await mkdir(dirname(to), { recursive: true });
    await cp(await realpath(path), to);
  }
}
