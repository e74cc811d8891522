import { posix } from 'node:path';
import type { ExecutorContext } from '@nx/devkit';
import { printable } from 'cluster-image';
import { workspaceImages } from '../inference/producers.ts';
import { reader } from '../inference/read.ts';

/**
 * Warns of images of the workspace whose tasks have no outputs: nothing tells Nx then that such an image
 * has changed, and a cluster image with an older one would come from the cache.
 */
export async function warnOfUnseen(context: ExecutorContext): Promise<void> {
  for (const task of await unseenImages(context)) {
    console.warn(
      printable(
        `warning: ${task} has no outputs, so Nx does not see when its image changes; see docs/nx.md, "Images that other plugins build"`,
      ),
    );
  }
}

/** The tasks that build images for a project's cluster image, and have no outputs. */
export async function unseenImages({
  root,
  projectName = '',
  projectsConfigurations: { projects },
}: ExecutorContext): Promise<readonly string[]> {
  const read = reader(root);
  const directory = projects[projectName]?.root ?? '.';
  const files = new Set(['cluster-image.json', posix.join(directory, 'cluster-image.json')]);
  const tasks = new Set<string>();
  for (const file of files) {
    for (const { project, target } of workspaceImages(await read(file), posix.dirname(file))) {
      if (project === undefined || target === undefined) continue;
      const known = projects[project]?.targets?.[target];
      if (known && (known.outputs ?? []).length === 0) tasks.add(`${project}:${target}`);
    }
  }
  return [...tasks].sort();
}
