import { isDeepStrictEqual } from 'node:util';
import {
  formatFiles,
  getProjects,
  globAsync,
  type ProjectConfiguration,
  readNxJson,
  type TargetConfiguration,
  type Tree,
  updateNxJson,
  updateProjectConfiguration,
} from '@nx/devkit';
import type { PluginOptions } from '../inference/options.ts';
import { createNodes } from '../plugin.ts';
import { generatorOptions } from './options.ts';

const pluginName = '@cluster-image/nx';

type Targets = Readonly<Record<string, TargetConfiguration>>;

/**
 * Writes the targets that the plugin finds into `project.json`, and has it look there no more; or takes
 * out again what it would find anyway. Either way the targets are the same as before.
 */
export default async function convert(tree: Tree, given: unknown): Promise<void> {
  const { to, project: only, skipFormat } = generatorOptions.convert.parse(given);
  const inferred = await inferredTargets(tree);
  const chosen = [...getProjects(tree)].filter(
    ([name, { root }]) => inferred.has(root) && (only === undefined || only === name),
  );
  if (only !== undefined && chosen.length === 0) {
    throw new Error(`the plugin finds nothing in a project ${only}`);
  }
  for (const [name, project] of chosen) {
    const found = inferred.get(project.root) ?? {};
    const targets = to === 'explicit' ? written(project, found) : reduced(project, found);
    updateProjectConfiguration(tree, name, { ...project, targets: { ...targets } });
  }
  look(
    tree,
    chosen.map(([, { root }]) => `${root}/**`),
    to === 'inferred',
  );
  if (!skipFormat) await formatFiles(tree);
}

/** What the plugin would find everywhere, by the roots of projects. */
async function inferredTargets(tree: Tree): Promise<ReadonlyMap<string, Targets>> {
  const nxJsonConfiguration = readNxJson(tree) ?? {};
  const [pattern, create] = createNodes;
  const files = await globAsync(tree, [pattern]);
  const context = { nxJsonConfiguration, workspaceRoot: tree.root };
  const nodes = await create(files, pluginOptions(tree), context);
  return new Map(
    nodes.flatMap(([, { projects = {} }]) =>
      Object.entries(projects).map(([root, { targets = {} }]) => [root, targets] as const),
    ),
  );
}

function pluginOptions(tree: Tree): PluginOptions {
  for (const plugin of readNxJson(tree)?.plugins ?? []) {
    if (typeof plugin === 'string' || plugin.plugin !== pluginName) continue;
    const { options } = plugin;
    if (typeof options === 'object' && options !== null) return { ...options };
  }
  return {};
}

function written({ targets: own = {} }: ProjectConfiguration, inferred: Targets): Targets {
  const whole = Object.entries(inferred).map(([name, { metadata: _, ...target }]) => [
    name,
    { ...target, ...own[name], options: { ...target.options, ...own[name]?.options } },
  ]);
  return { ...own, ...Object.fromEntries(whole) };
}

function reduced({ targets: own = {} }: ProjectConfiguration, inferred: Targets): Targets {
  const kept = Object.entries(own).flatMap(([name, target]) => {
    const found = inferred[name];
    if (!found) return [[name, target] as const];
    const options = differing(target.options, found.options);
    const { options: _, ...rest } = target;
    const left = {
      ...differing(rest, found),
      ...(Object.keys(options).length > 0 && { options }),
    };
    return Object.keys(left).length > 0 ? [[name, left] as const] : [];
  });
  return Object.fromEntries(kept);
}

/** The entries of an object that another has not, or has otherwise. */
function differing(own: object = {}, other: object = {}): object {
  const known = new Map<string, unknown>(Object.entries(other));
  return Object.fromEntries(
    Object.entries(own).filter(([key, value]) => !isDeepStrictEqual(value, known.get(key))),
  );
}

/** Has the plugin look into these directories, or no more. */
function look(tree: Tree, patterns: readonly string[], isWanted: boolean): void {
  const nxJson = readNxJson(tree) ?? {};
  const plugins = (nxJson.plugins ?? []).map((plugin) => {
    const known = typeof plugin === 'string' ? { plugin } : plugin;
    if (known.plugin !== pluginName) return plugin;
    const { exclude = [], ...rest } = known;
    const others = exclude.filter((pattern) => !patterns.includes(pattern));
    const all = isWanted ? others : [...others, ...patterns];
    return all.length > 0 ? { ...rest, exclude: all } : rest;
  });
  updateNxJson(tree, { ...nxJson, plugins });
}
