import { logger, type NxJsonConfiguration, readNxJson, type Tree } from '@nx/devkit';
import { minimatch } from 'minimatch';
import { type PluginOptions, type TargetNames, withDefaults } from '../inference/options.ts';

export const pluginName = '@cluster-image/nx';

/** One of the plugin's entries in nx.json: each has files that it looks at, and options of its own. */
export interface PluginEntry {
  readonly include: readonly string[];
  readonly exclude: readonly string[];
  readonly options: PluginOptions;
}

/** Undefined for that of another plugin. */
export function pluginEntry(
  plugin: NonNullable<NxJsonConfiguration['plugins']>[number],
): PluginEntry | undefined {
  const said = typeof plugin === 'string' ? { plugin } : plugin;
  if (said.plugin !== pluginName) return undefined;
  const { include = [], exclude = [], options } = said;
  return {
    include,
    exclude,
    options: typeof options === 'object' && options !== null ? options : {},
  };
}

/** Whether Nx shows a file to the plugin for that entry. */
export function covers({ include, exclude }: PluginEntry, file: string): boolean {
  const matches = (pattern: string): boolean => minimatch(file, pattern, { dot: true });
  return (include.length === 0 || include.some(matches)) && !exclude.some(matches);
}

/**
 * What targets are called in the project of a build file: by the first entry that covers the file. Warns
 * where none does, as the project has no targets then.
 */
export function targetNamesFor(tree: Tree, buildFile: string): TargetNames {
  const { plugins = [] } = readNxJson(tree) ?? {};
  const entry = plugins.map(pluginEntry).find((known) => known && covers(known, buildFile));
  if (!entry) {
    logger.warn(
      `nx.json: the include and exclude of ${pluginName} leave out ${buildFile}; without it the project has no targets`,
    );
  }
  return withDefaults(entry?.options);
}
