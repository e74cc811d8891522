import { logger, readNxJson, type Tree } from '@nx/devkit';
import { namesFor, pluginName } from '../inference/entries.ts';
import { type TargetNames, withDefaults } from '../inference/options.ts';

/**
 * What targets are called in the project of a build file. Warns where no entry of nx.json covers the file,
 * as the project has no targets then.
 */
export function targetNamesFor(tree: Tree, buildFile: string): TargetNames {
  const names = namesFor(readNxJson(tree) ?? {}, buildFile);
  if (!names) {
    logger.warn(
      `nx.json: the include and exclude of ${pluginName} leave out ${buildFile}; without it the project has no targets`,
    );
  }
  return names ?? withDefaults(undefined);
}
