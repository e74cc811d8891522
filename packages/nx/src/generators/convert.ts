import { posix } from 'node:path';
import {
  formatFiles,
  getProjects,
  globAsync,
  type NxJsonConfiguration,
  readNxJson,
  type Tree,
  updateNxJson,
} from '@nx/devkit';
import { covers, pluginEntry } from '../inference/entries.ts';
import { saidImage } from '../inference/said-image.ts';
import { clusterFiles, configurationName, imageFiles } from '../inference/workspace.ts';
import { createNodes } from '../plugin.ts';
import { isExplicit, merged, reduced, type Said, said, say, written } from './explicit-targets.ts';
import { generatorOptions } from './options.ts';

type Plugin = NonNullable<NxJsonConfiguration['plugins']>[number];

/**
 * Writes what the plugin finds into `project.json`, and has it look there no more; or takes out again what
 * it would find anyway. Either way tasks do the same as before; explicit ones are built again with each
 * release of the plugin.
 */
export default async function convert(tree: Tree, given: unknown): Promise<void> {
  const { to, project: only, skipFormat } = generatorOptions.convert.parse(given);
  const roots = [...getProjects(tree)]
    .filter(([name]) => only === undefined || only === name)
    .map(([, { root }]) => root);
  const hidden = roots
    .filter((root) => isExplicit(said(tree, root)))
    .flatMap((root) => buildFilesAt(tree, root));
  const nxJson = readNxJson(tree) ?? {};
  const plugins = (nxJson.plugins ?? []).map((plugin) =>
    excluding(plugin, (patterns) => patterns.filter((pattern) => !hidden.includes(pattern))),
  );
  const found = await Promise.all(plugins.map((plugin) => foundBy(tree, plugin, roots)));
  const inferred = merged(found);
  if (only !== undefined && inferred.size === 0) {
    throw new Error(`the plugin finds nothing in a project ${only}`);
  }
  for (const [root, project] of inferred) {
    const change = to === 'explicit' ? written : reduced;
    say(tree, root, (own) => change(own, project));
  }
  const left = plugins.map((plugin, at) => {
    const files = [...(found[at]?.keys() ?? [])].flatMap((root) => buildFilesAt(tree, root));
    return to === 'explicit' ? excluding(plugin, (others) => [...others, ...files]) : plugin;
  });
  updateNxJson(tree, { ...nxJson, ...(left.length > 0 && { plugins: left }) });
  if (!skipFormat) await formatFiles(tree);
}

/** What an entry of nx.json finds in projects, by their roots. */
async function foundBy(
  tree: Tree,
  plugin: Plugin,
  roots: readonly string[],
): Promise<ReadonlyMap<string, Said>> {
  const entry = pluginEntry(plugin);
  if (!entry) return new Map();
  const [pattern, create] = createNodes;
  const files = (await globAsync(tree, [pattern])).filter((file) => covers(entry, file));
  const context = { nxJsonConfiguration: readNxJson(tree) ?? {}, workspaceRoot: tree.root };
  const nodes = await create(files, entry.options, context);
  const projects = nodes.flatMap(([, { projects = {} }]) => Object.entries(projects));
  return new Map(projects.filter(([root]) => roots.includes(root)));
}

/** The files because of which the plugin gives a project targets. */
function buildFilesAt(tree: Tree, root: string): readonly string[] {
  const at = (name: string): string => posix.join(root, name);
  const configuration = at(configurationName);
  const isSaid = saidImage(tree.read(configuration, 'utf8') ?? undefined) !== undefined;
  return [
    ...[...clusterFiles, ...imageFiles].map(at).filter((path) => tree.exists(path)),
    ...(isSaid ? [configuration] : []),
  ];
}

/** Changes what is kept from the plugin; other plugins stay as they are. */
function excluding(
  plugin: Plugin,
  change: (patterns: readonly string[]) => readonly string[],
): Plugin {
  const entry = pluginEntry(plugin);
  if (!entry) return plugin;
  const patterns = change(entry.exclude);
  if (patterns.length === 0 && entry.exclude.length === 0) return plugin;
  const { exclude: _, ...rest } = typeof plugin === 'string' ? { plugin } : plugin;
  return patterns.length > 0 ? { ...rest, exclude: [...patterns] } : rest;
}
