import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { temporaryDirectory } from '@cluster-image/testing';

/** What is at a path: a text, bytes, or a link. */
export type Given = string | Uint8Array | { readonly link: string };

/** A directory with these files, gone when the test is over. */
export async function contextDirectory(files: Readonly<Record<string, Given>>): Promise<string> {
  const root = await temporaryDirectory();
  await putFiles(root, files);
  return root;
}

export async function putFiles(
  root: string,
  files: Readonly<Record<string, Given>>,
): Promise<void> {
  for (const [path, given] of Object.entries(files)) {
    const at = join(root, path);
    await mkdir(dirname(at), { recursive: true });
    if (typeof given === 'object' && 'link' in given) await symlink(given.link, at);
    else await writeFile(at, given);
  }
}
