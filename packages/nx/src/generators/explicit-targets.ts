import { posix } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import {
  type ProjectConfiguration,
  readJson,
  type TargetConfiguration,
  type Tree,
  updateJson,
} from '@nx/devkit';
import { pluginName } from '../inference/entries.ts';

/** What is said of a project: in its `project.json` or `package.json`, or by the plugin. */
export type Said = Pick<ProjectConfiguration, 'targets' | 'release'>;

type Targets = Readonly<Record<string, TargetConfiguration>>;

/** What a project says itself. */
export function said(tree: Tree, root: string): Said {
  const own = posix.join(root, 'project.json');
  if (tree.exists(own)) return readJson(tree, own);
  const { nx = {} } = readJson<{ readonly nx?: Said }>(tree, posix.join(root, 'package.json'));
  return nx;
}

/** Changes what a project says itself, where it says it. */
export function say(tree: Tree, root: string, change: (own: Said) => Said): void {
  const own = posix.join(root, 'project.json');
  if (tree.exists(own)) {
    updateJson<Said>(tree, own, change);
    return;
  }
  const path = posix.join(root, 'package.json');
  updateJson<{ readonly nx?: Said }>(tree, path, ({ nx = {}, ...rest }) => {
    const { targets = {}, ...others } = change(nx);
    const left = { ...others, ...(Object.keys(targets).length > 0 && { targets }) };
    return { ...rest, ...(Object.keys(left).length > 0 && { nx: left }) };
  });
}

/** Whether a project has targets of the plugin without the plugin looking at it. */
export function isExplicit({ targets = {} }: Said): boolean {
  return Object.values(targets).some(({ executor }) => executor?.startsWith(`${pluginName}:`));
}

/** What several entries of the plugin find together, by the roots of projects; of the same the last counts. */
export function merged(found: readonly ReadonlyMap<string, Said>[]): ReadonlyMap<string, Said> {
  const all = new Map<string, Said>();
  for (const [root, { targets, release }] of found.flatMap((projects) => [...projects])) {
    const known = all.get(root);
    all.set(root, {
      ...known,
      ...(release && { release }),
      targets: { ...known?.targets, ...targets },
    });
  }
  return all;
}

/** What a project says itself, with what the plugin has found in it. */
export function written(own: Said, found: Said): Said {
  const targets = Object.entries(lasting(found)).map(([name, target]) => {
    const known = own.targets?.[name];
    return [name, { ...target, ...known, options: { ...target.options, ...known?.options } }];
  });
  const version = { ...found.release?.version, ...own.release?.version };
  return {
    ...own,
    targets: { ...own.targets, ...Object.fromEntries(targets) },
    ...(found.release && { release: { ...own.release, version } }),
  };
}

/** What a project says itself, without what the plugin has found in it. */
export function reduced({ release, ...own }: Said, found: Said): Said {
  const inferred = lasting(found);
  const targets = Object.entries(own.targets ?? {}).flatMap(([name, target]) => {
    const known = inferred[name];
    if (!known) return [[name, target] as const];
    const { options: _, ...rest } = target;
    const options = differing(target.options, known.options);
    const left = { ...differing(rest, known), ...(hasEntries(options) && { options }) };
    return hasEntries(left) ? [[name, left] as const] : [];
  });
  const version = differing(release?.version, found.release?.version);
  const { version: _, ...others } = release ?? {};
  const released = { ...others, ...(hasEntries(version) && { version }) };
  return {
    ...own,
    targets: Object.fromEntries(targets),
    ...(hasEntries(released) && { release: released }),
  };
}

/**
 * Inferred targets in the words of a file that outlives releases of the plugin. What changes with those is
 * part of an inferred hash as `format`. Here Nx hashes the package of the executor instead, as it does where
 * no `externalDependencies` are given.
 */
function lasting({ targets = {} }: Said): Targets {
  return Object.fromEntries(
    Object.entries(targets).map(([name, { metadata: _, inputs, options, ...target }]) => {
      const { format: __, ...others } = options;
      const kept = inputs?.filter(
        (input) => !isDeepStrictEqual(input, { externalDependencies: [] }),
      );
      return [name, { ...target, ...(kept && { inputs: kept }), options: others }];
    }),
  );
}

function hasEntries(value: object): boolean {
  return Object.keys(value).length > 0;
}

/** The entries of an object that another has not, or has otherwise. */
function differing(own: object = {}, other: object = {}): object {
  const known = new Map<string, unknown>(Object.entries(other));
  return Object.fromEntries(
    Object.entries(own).filter(([key, value]) => !isDeepStrictEqual(value, known.get(key))),
  );
}
