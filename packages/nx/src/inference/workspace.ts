import { posix } from 'node:path';
import { jsonIn, objectIn, stringIn } from './json.ts';
import type { TargetNames } from './options.ts';
import { directoriesAbove } from './producers.ts';
import type { ReadText } from './read.ts';

export const clusterFiles = ['Sealfile', 'Kubefile'];
export const imageFiles = ['Dockerfile', 'Containerfile'];
export const configurationName = 'cluster-image.json';
const projectFiles = ['project.json', 'package.json'];

/** What there is in the workspace. */
export interface Workspace extends Disk {
  /** What Nx gives this entry of the plugin: what lies elsewhere is not among them. */
  readonly files: ReadonlySet<string>;
  /** The directories that have charts in them, or below, and those with kustomizations below `manifests/`. */
  readonly charts: ReadonlySet<string>;
  readonly kustomizations: ReadonlySet<string>;
  /** The directories that have projects below them. */
  readonly parents: ReadonlySet<string>;
  /** The options of this entry, and those of whichever covers a file. */
  readonly names: TargetNames;
  namesFor(file: string): TargetNames | undefined;
}

/** What is asked of the disk. */
export interface Disk {
  readonly read: ReadText;
  has(path: string): boolean;
  isLink(path: string): boolean;
}

export function look(
  files: readonly string[],
  disk: Disk,
  names: TargetNames,
  namesFor: Workspace['namesFor'],
): Workspace {
  const known = new Set(files);
  return {
    files: new Set([...files].sort()),
    charts: new Set(files.filter(isChart).flatMap(directoriesAbove)),
    kustomizations: new Set(files.flatMap(kustomizationsOf)),
    parents: new Set(files.filter(isProjectFile).map(posix.dirname).flatMap(directoriesAbove)),
    names,
    namesFor: (file) => (known.has(file) ? names : namesFor(file)),
    ...disk,
    has: (path) => known.has(path) || disk.has(path),
  };
}

function isChart(file: string): boolean {
  return posix.basename(file) === 'Chart.yaml' || file.endsWith('.tgz');
}

function isProjectFile(file: string): boolean {
  return projectFiles.includes(posix.basename(file));
}

/** The directories below whose `manifests/` a kustomization is. */
function kustomizationsOf(file: string): readonly string[] {
  if (!/^kustomization(?:\.ya?ml)?$/i.test(posix.basename(file))) return [];
  const parts = file.split('/');
  return parts.flatMap((part, at) =>
    part === 'manifests' && at < parts.length - 1 ? [parts.slice(0, at).join('/') || '.'] : [],
  );
}

/**
 * The build file of each project, by its root: of several the first is used, as the build does. Where
 * there is none, the configuration may say what the image is.
 */
export async function buildFilesOf(workspace: Workspace): Promise<ReadonlyMap<string, string>> {
  const roots = new Map<string, string>();
  for (const name of [...clusterFiles, ...imageFiles, configurationName]) {
    for (const file of workspace.files) {
      const root = posix.dirname(file);
      if (posix.basename(file) !== name || roots.has(root)) continue;
      if (await isProject(root, workspace)) roots.set(root, file);
    }
  }
  return new Map([...roots].sort(([, a], [, b]) => (a < b ? -1 : 1)));
}

/** A package without a name, or that is no JSON, would leave Nx without a name for the project, and all without a graph. */
async function isProject(root: string, { has, read }: Workspace): Promise<boolean> {
  if (has(posix.join(root, 'project.json'))) return true;
  const path = posix.join(root, 'package.json');
  if (!has(path)) return false;
  const text = await read(path);
  // A generator may be about to write it.
  return text === undefined || stringIn(objectIn(jsonIn(text)).name) !== undefined;
}

/** Whether a directory has a file that makes a project of it. */
export function hasProjectFile(root: string, has: (path: string) => boolean): boolean {
  return projectFiles.some((name) => has(posix.join(root, name)));
}

/** The first of these files that a directory has. */
export function firstOf(
  names: readonly string[],
  root: string,
  { has }: Workspace,
): string | undefined {
  return names.map((name) => posix.join(root, name)).find(has);
}

export async function configurationAt(
  root: string,
  { has, read }: Workspace,
): Promise<string | undefined> {
  const path = posix.join(root, configurationName);
  return has(path) ? read(path) : undefined;
}
