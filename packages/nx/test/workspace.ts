import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createDependencies, createNodes, type PluginOptions } from '@cluster-image/nx';
import type { NxJsonConfiguration, ProjectConfiguration, TargetConfiguration } from '@nx/devkit';
import { onTestFinished } from 'vitest';

/** A workspace on disk, and what the plugin says of it. */
export interface NxWorkspace {
  readonly root: string;
  /** @param covers the files that Nx gives to this entry of the plugin; all of them by default */
  targets(
    project: string,
    options?: PluginOptions,
    covers?: (path: string) => boolean,
  ): Promise<Record<string, TargetConfiguration>>;
  /** The edges between these projects, by their roots: `cluster -> api`. */
  edges(projects: Readonly<Record<string, string>>): Promise<readonly string[]>;
}

export async function nxWorkspace(
  files: Readonly<Record<string, string>>,
  nxJsonConfiguration: NxJsonConfiguration = {},
): Promise<NxWorkspace> {
  const root = await mkdtemp(join(tmpdir(), 'cluster-image-nx-'));
  onTestFinished(() => rm(root, { recursive: true, force: true }));
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text);
  }
  const context = { nxJsonConfiguration, workspaceRoot: root };
  async function nodes(
    options?: PluginOptions,
    covers: (path: string) => boolean = () => true,
  ): Promise<Record<string, ProjectConfiguration>> {
    const [, create] = createNodes;
    const found = await create(Object.keys(files).filter(covers), options, context);
    const projects = found.flatMap(([, { projects = {} }]) => Object.entries(projects));
    return Object.fromEntries(projects.map(([at, project]) => [at, { root: at, ...project }]));
  }
  return {
    root,
    targets: async (project, options, covers) =>
      (await nodes(options, covers))[project]?.targets ?? {},
    async edges(projects) {
      const inferred = await nodes();
      const named = Object.entries(projects).map(
        ([name, at]) => [name, inferred[at] ?? { root: at }] as const,
      );
      const filesOf = (at: string) =>
        Object.keys(files)
          .filter((path) => path.startsWith(`${at}/`))
          .map((file) => ({ file, hash: '' }));
      const found = await createDependencies(undefined, {
        projects: Object.fromEntries(named),
        fileMap: {
          nonProjectFiles: [],
          projectFileMap: Object.fromEntries(
            Object.entries(projects).map(([name, at]) => [name, filesOf(at)]),
          ),
        },
        workspaceRoot: root,
      });
      return found.map(
        ({ source, target, type, sourceFile }) =>
          `${source} -> ${target}, ${type}${sourceFile ? ` by ${sourceFile}` : ''}`,
      );
    },
  };
}
