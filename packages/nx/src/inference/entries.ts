import type { NxJsonConfiguration } from '@nx/devkit';
import { Minimatch } from 'minimatch';
import { type TargetNames, withDefaults } from './options.ts';

const pluginName = '@cluster-image/nx';

/** The options of the entry in nx.json that covers a file; undefined where none does. */
export type NamesFor = (file: string) => TargetNames | undefined;

/**
 * Which files are whose, as Nx tells it. Of several entries for a file the last one counts, which is
 * merged over the others.
 */
export function entriesOf({ plugins = [] }: Pick<NxJsonConfiguration, 'plugins'>): NamesFor {
  const entries = plugins.flatMap((plugin): readonly [(file: string) => boolean, TargetNames][] => {
    if (plugin === pluginName) return [[() => true, withDefaults({})]];
    if (typeof plugin === 'string' || plugin.plugin !== pluginName) return [];
    const { options, include = [], exclude = [] } = plugin;
    const [isMeant, isLeftOut] = [matcher(include, true), matcher(exclude, false)];
    return [[(file) => isMeant(file) && !isLeftOut(file), withDefaults(options)]];
  });
  return (file) => entries.findLast(([covers]) => covers(file))?.[1];
}

/** Later patterns count more than earlier ones, and one with `!` first takes away from everything. */
function matcher(patterns: readonly string[], whereNone: boolean): (file: string) => boolean {
  const compiled = patterns.map((pattern) => ({
    isNegated: pattern.startsWith('!'),
    glob: new Minimatch(pattern.replace(/^!/, ''), { dot: true }),
  }));
  if (compiled.length === 0) return () => whereNone;
  const first = compiled[0]?.isNegated ?? false;
  return (file) =>
    compiled.reduce((found, { isNegated, glob }) => (glob.match(file) ? !isNegated : found), first);
}
