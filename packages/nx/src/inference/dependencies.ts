import { posix } from 'node:path';
import type { CreateDependenciesContext, ProjectConfiguration } from '@nx/devkit';
import type { PluginOptions } from './options.ts';
import { directoriesAbove, type WorkspaceImage, workspaceImages } from './producers.ts';
import { reader } from './read.ts';
import { configurationName } from './workspace.ts';

/** As Nx takes it; its own type wants an enum that only `@nx/devkit` has, which need not be there. */
interface Dependency {
  readonly type: 'static' | 'implicit';
  readonly source: string;
  readonly target: string;
  readonly sourceFile?: string;
}

/**
 * A project whose cluster image contains images that other projects of the workspace build, or whose image
 * is built upon one, depends on those projects: by the file that says so, or implicitly where that is the
 * workspace's own.
 */
export async function createDependencies(
  _: PluginOptions | undefined,
  {
    projects,
    fileMap,
    workspaceRoot,
  }: Pick<CreateDependenciesContext, 'projects' | 'fileMap' | 'workspaceRoot'>,
): Promise<readonly Dependency[]> {
  const read = reader(workspaceRoot);
  const names = new Map(Object.entries(projects).map(([name, { root }]) => [root, name]));
  const shared = workspaceImages(await read(configurationName), '.');

  function targetOf({ project, path }: WorkspaceImage): string | undefined {
    if (project !== undefined) return project in projects ? project : undefined;
    const root = directoriesAbove(path ?? '.').find((directory) => names.has(directory));
    return root === undefined ? undefined : names.get(root);
  }

  async function dependenciesOf(source: string, root: string): Promise<readonly Dependency[]> {
    const sourceFile = posix.join(root, configurationName);
    const isThere = fileMap.projectFileMap[source]?.some(({ file }) => file === sourceFile);
    const own = isThere ? workspaceImages(await read(sourceFile), root) : [];
    const targets = (images: readonly WorkspaceImage[]): readonly string[] =>
      images.flatMap((image) => targetOf(image) ?? []).filter((target) => target !== source);
    return [
      ...targets(own).map((target) => ({ type: 'static', source, target, sourceFile }) as const),
      ...targets(root === '.' ? [] : shared).map(
        (target) => ({ type: 'implicit', source, target }) as const,
      ),
    ];
  }

  const found = await Promise.all(
    Object.entries(projects)
      .filter(([, project]) => isCluster(project))
      .map(([name, { root }]) => dependenciesOf(name, root)),
  );
  const upon = Object.entries(projects).flatMap(([source, project]) =>
    projectsBuiltUpon(project)
      .map((said) => names.get(said.replace(/^directory:/, '')) ?? said)
      .filter((target) => target in projects && target !== source)
      .map((target) => ({ type: 'implicit', source, target }) as const),
  );
  return [...found.flat(), ...upon];
}

/** The projects whose images an image is built upon, as its target has them. */
function projectsBuiltUpon({ targets = {} }: ProjectConfiguration): readonly string[] {
  const images = Object.values(targets).filter(
    ({ executor }) => executor === '@cluster-image/nx:image',
  );
  const all = images.flatMap(({ dependsOn = [] }) =>
    dependsOn.flatMap((task) => (typeof task === 'object' ? (task.projects ?? []) : [])),
  );
  return [...new Set(all)];
}

function isCluster({ targets = {} }: ProjectConfiguration): boolean {
  return Object.values(targets).some(
    ({ executor }) => executor === '@cluster-image/nx:build-image',
  );
}
