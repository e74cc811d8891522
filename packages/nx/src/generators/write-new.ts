import { posix } from 'node:path';
import type { Tree } from '@nx/devkit';

/** Writes those files that are not there yet. */
export function writeNew(
  tree: Tree,
  root: string,
  files: Readonly<Record<string, string | Buffer>>,
): void {
  for (const [path, content] of Object.entries(files)) {
    const target = posix.join(root, path);
    if (!tree.exists(target)) tree.write(target, content);
  }
}
