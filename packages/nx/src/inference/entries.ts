import type { NxJsonConfiguration } from '@nx/devkit';
import { Minimatch } from 'minimatch';
import { type PluginOptions, requireOptions, type TargetNames, withDefaults } from './options.ts';

export const pluginName = '@cluster-image/nx';

/** One of the plugin's entries in nx.json: each has files that it looks at, and options of its own. */
export interface PluginEntry {
  readonly include: readonly string[];
  readonly exclude: readonly string[];
  readonly options: PluginOptions;
}

type Plugins = Pick<NxJsonConfiguration, 'plugins'>;

/** Undefined for that of another plugin. Throws as `withDefaults` does. */
export function pluginEntry(
  plugin: NonNullable<Plugins['plugins']>[number],
): PluginEntry | undefined {
  const said = typeof plugin === 'string' ? { plugin } : plugin;
  if (said.plugin !== pluginName) return undefined;
  const { include = [], exclude = [], options = {} } = said;
  requireOptions(options);
  return { include, exclude, options };
}

/** Whether Nx shows a file to the plugin for that entry. */
export function covers({ include, exclude }: PluginEntry, file: string): boolean {
  return matches(include, file, true) && !matches(exclude, file, false);
}

/** Later patterns count more than earlier ones, and one with `!` first takes away from everything. */
function matches(patterns: readonly string[], file: string, whereNone: boolean): boolean {
  const [first] = patterns;
  if (first === undefined) return whereNone;
  return patterns.reduce((found, pattern) => {
    const isNegated = pattern.startsWith('!');
    const glob = new Minimatch(isNegated ? pattern.slice(1) : pattern, { dot: true });
    return glob.match(file) ? !isNegated : found;
  }, first.startsWith('!'));
}

/**
 * The options of the entry that covers a file; undefined where none does. Of several the last one counts, as
 * Nx merges later ones over earlier ones. Throws as `withDefaults` does.
 */
export function namesFor({ plugins = [] }: Plugins, file: string): TargetNames | undefined {
  const entry = plugins.map(pluginEntry).findLast((known) => known && covers(known, file));
  return entry && withDefaults(entry.options);
}
