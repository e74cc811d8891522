import { posix } from 'node:path';
import { type Tree, updateJson } from '@nx/devkit';
import { writeNew } from './write-new.ts';

/**
 * Puts a chart into a context: a copy of one in the workspace, or the entry of one in a repository, which
 * the lockfile pins. Returns the command that installs it. Throws where there is no such chart.
 */
export function addChart(tree: Tree, root: string, chart: string): string {
  const remote = /^((?:oci|https?):\/\/.+)\/([^/:]+)(?::([^/:]+))?$/.exec(chart);
  if (remote) {
    const [, repository = '', name = '', version] = remote;
    const path = `charts/${name}.tgz`;
    addToConfiguration(tree, root, 'charts', {
      [path]: { repository, name, ...(version !== undefined && { version }) },
    });
    return installing(name, path);
  }
  const name = posix.basename(chart);
  if (tree.isFile(chart) && name.endsWith('.tgz')) {
    writeNew(tree, root, { [`charts/${name}`]: contentOf(tree, chart) });
    return installing(name.replace(/(?:-v?\d[\w.+-]*)?\.tgz$/, ''), `charts/${name}`);
  }
  if (!tree.isFile(posix.join(chart, 'Chart.yaml'))) {
    throw new Error(`--chart: ${chart} is no chart of the workspace, nor the URL of one`);
  }
  for (const path of filesBelow(tree, chart)) {
    writeNew(tree, root, {
      [posix.join('charts', name, posix.relative(chart, path))]: contentOf(tree, path),
    });
  }
  return installing(name, `charts/${name}`);
}

function installing(release: string, path: string): string {
  return `helm upgrade --install ${release} ${path}`;
}

/** Adds entries to an object in a `cluster-image.json`; those that are there stay. */
export function addToConfiguration(
  tree: Tree,
  root: string,
  key: 'charts' | 'workspaceImages' | 'image',
  entries: Readonly<Record<string, unknown>>,
): void {
  const path = posix.join(root, 'cluster-image.json');
  if (!tree.exists(path)) tree.write(path, '{}\n');
  updateJson<Record<string, object>>(tree, path, (json) => ({
    ...json,
    [key]: { ...entries, ...json[key] },
  }));
}

function contentOf(tree: Tree, path: string): Buffer {
  return tree.read(path) ?? Buffer.alloc(0);
}

function filesBelow(tree: Tree, path: string): readonly string[] {
  return tree
    .children(path)
    .map((name) => posix.join(path, name))
    .flatMap((child) => (tree.isFile(child) ? [child] : filesBelow(tree, child)));
}
