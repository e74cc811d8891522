import { posix } from 'node:path';
import type { WorkspaceImage } from './producers.ts';
import type { Dependencies, Inputs } from './targets.ts';

/** An image of the workspace and the task that builds it. */
export interface Producer extends WorkspaceImage {
  /** As `dependsOn` takes it: a name, or `directory:` and the root of a project. */
  readonly project: string;
  readonly target: string;
}

/** Where images of the workspace come from. */
export interface Sources {
  readonly producers: readonly Producer[];
  /** Those in files that no task is known to make. */
  readonly files: readonly WorkspaceImage[];
  /** Whether that is all: nothing tells Nx when another one changes. */
  readonly isKnown: boolean;
}

/**
 * What tells what an image is by now, and no more: a build that comes to the same image changes nothing
 * for what contains it. Ours leave `image.digest`; `imageid` is nx-container's, and `image.iid` what
 * `docker build --iidfile` writes by the name that docs/nx.md gives it.
 */
const digestFiles = '**/@(image.digest|image.iid|imageid)';

/** The tasks that build images, to depend on. */
export function producerTasks(producers: readonly Producer[]): Dependencies {
  const tasks = new Map(
    producers.map(({ project, target }) => [
      JSON.stringify([project, target]),
      { projects: [project], target },
    ]),
  );
  return [...tasks].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, task]) => task);
}

/** What tells of these images in the hash of a task. */
export function imageInputs({ producers, files }: Sources): Inputs {
  const outputs =
    producers.length === 0 ? [] : [digestFiles, ...pathsOf(producers.filter(isForeign))];
  return [
    ...outputs.map((dependentTasksOutputFiles) => ({ dependentTasksOutputFiles })),
    ...pathsOf(files)
      .filter((path) => !path.startsWith('..'))
      .map((path) => posix.join('{workspaceRoot}', path)),
  ];
}

/** Whether what makes an image may leave no file by which its digest is known. */
function isForeign({ transport, path = '' }: WorkspaceImage): boolean {
  return transport !== 'oci' || !/(?:^|\/)dist\/image(?:\.[\w-]+)?$/.test(path);
}

/** The files that are other ones when images are. */
function pathsOf(images: readonly WorkspaceImage[]): readonly string[] {
  const paths = images.flatMap(({ transport, path }) => {
    if (path === undefined) return [];
    return [transport === 'oci' ? posix.join(path, 'index.json') : path];
  });
  return [...new Set(paths)].sort();
}

/**
 * Those that are among what an image is built upon.
 *
 * @param bases as the build file has them
 */
export function amongBases(
  images: readonly WorkspaceImage[],
  bases: readonly string[],
): readonly WorkspaceImage[] {
  const names = new Set(bases.map((base) => short(base.replace(/:[^/]*$/, ''))));
  return images.filter(({ name }) => names.has(short(name)));
}

/** A name without what goes without saying. */
function short(name: string): string {
  return name.replace(/^docker\.io\//, '').replace(/^library\//, '');
}
