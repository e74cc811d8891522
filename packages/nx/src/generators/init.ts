import { formatFiles, readNxJson, type Tree, updateNxJson } from '@nx/devkit';
import { pluginName } from '../inference/entries.ts';
import { generatorOptions } from './options.ts';

/** What a build makes inside of a project, none of which is to be committed. */
const ignored = ['**/registry/docker/'];

const syncGenerator = `${pluginName}:sync`;

/**
 * Adds the plugin and its sync generator to nx.json, and what it makes to .gitignore; what is there
 * already stays.
 */
export default async function init(tree: Tree, given: unknown): Promise<void> {
  const options = generatorOptions.init.parse(given);
  const nxJson = readNxJson(tree) ?? {};
  const { plugins = [], sync = {} } = nxJson;
  const hasPlugin = plugins.some(
    (plugin) => (typeof plugin === 'string' ? plugin : plugin.plugin) === pluginName,
  );
  const { globalGenerators = [] } = sync;
  const hasSync = globalGenerators.includes(syncGenerator);
  if (!hasPlugin || !hasSync) {
    updateNxJson(tree, {
      ...nxJson,
      plugins: hasPlugin ? plugins : [...plugins, { plugin: pluginName }],
      sync: {
        ...sync,
        globalGenerators: hasSync ? globalGenerators : [...globalGenerators, syncGenerator],
      },
    });
  }
  const current = tree.exists('.gitignore') ? (tree.read('.gitignore', 'utf8') ?? '') : '';
  const lines = current.split(/\r?\n/);
  const missing = [...ignored, 'dist'].filter(
    (line) => !lines.some((known) => known.replace(/^\/|\/$/g, '') === line.replace(/\/$/, '')),
  );
  if (missing.length > 0) {
    const separator = current === '' || current.endsWith('\n') ? '' : '\n';
    tree.write('.gitignore', `${current}${separator}${missing.join('\n')}\n`);
  }
  if (!options.skipFormat) await formatFiles(tree);
}
