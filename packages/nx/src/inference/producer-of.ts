import { posix } from 'node:path';
import { imageTargetIn } from '../image-executors.ts';
import { jsonIn, objectIn } from './json.ts';
import type { Producer } from './producer-tasks.ts';
import { directoriesAbove, type WorkspaceImage } from './producers.ts';
import { saidImage } from './said-image.ts';
import {
  clusterFiles,
  configurationAt,
  configurationName,
  firstOf,
  hasProjectFile,
  imageFiles,
  type Workspace,
} from './workspace.ts';

/**
 * The task that builds an image. Undefined where nothing tells of one: for an image in an engine whose
 * project is not named, and for a file that no project builds.
 */
export async function producerOf(
  image: WorkspaceImage,
  workspace: Workspace,
): Promise<Producer | undefined> {
  const { project, target } = image;
  const root = await rootOf(image, workspace);
  const named = project ?? (root === undefined ? undefined : `directory:${root}`);
  if (named === undefined) return undefined;
  const found = root === undefined ? undefined : await buildOf(root, workspace);
  const usual = project === undefined ? undefined : workspace.names.imageTargetName;
  const built = target ?? found ?? usual;
  return built === undefined || built === false
    ? undefined
    : { ...image, project: named, target: built };
}

/**
 * The root of the project that an image lies in: the nearest that builds one, for builds leave packages
 * among their outputs, which are no projects.
 */
async function rootOf(
  { path = '.', target }: WorkspaceImage,
  workspace: Workspace,
): Promise<string | undefined> {
  const { files, has } = workspace;
  const roots = directoriesAbove(path).filter((root) => hasProjectFile(root, has));
  for (const root of roots) {
    const names = target === undefined ? await buildOf(root, workspace) : undefined;
    if (names !== undefined || (target ?? '') in (await targetsOf(root, workspace))) return root;
  }
  return roots.find((root) => hasProjectFile(root, (file) => files.has(file))) ?? roots[0];
}

/** What the target is called that builds the image of a project. */
async function buildOf(root: string, workspace: Workspace): Promise<string | undefined> {
  const written = await targetsOf(root, workspace);
  const ours = imageTargetIn(written);
  if (ours !== undefined) return ours;
  const clusterFile = firstOf(clusterFiles, root, workspace);
  const file = clusterFile ?? (await imageFileOf(root, workspace));
  const names = file === undefined ? undefined : workspace.namesFor(file);
  const inferred = clusterFile === undefined ? names?.imageTargetName : names?.buildTargetName;
  if (inferred !== undefined && inferred !== false) return inferred;
  const { imageTargetName: usual } = workspace.names;
  return usual !== false && usual in written ? usual : undefined;
}

async function imageFileOf(root: string, workspace: Workspace): Promise<string | undefined> {
  const file = firstOf(imageFiles, root, workspace);
  if (file !== undefined) return file;
  const text = await configurationAt(root, workspace);
  return saidImage(text) === undefined ? undefined : posix.join(root, configurationName);
}

/** The targets that a project's own files name; scripts of a package are targets too. */
async function targetsOf(
  root: string,
  { read }: Workspace,
): Promise<Readonly<Record<string, unknown>>> {
  const objectAt = async (name: string) => objectIn(jsonIn(await read(posix.join(root, name))));
  const [project, { scripts, nx }] = await Promise.all([
    objectAt('project.json'),
    objectAt('package.json'),
  ]);
  return { ...objectIn(scripts), ...objectIn(objectIn(nx).targets), ...objectIn(project.targets) };
}
