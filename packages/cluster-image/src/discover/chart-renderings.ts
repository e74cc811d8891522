import { posix } from 'node:path';
import { OciError, type Tree } from '@cluster-image/oci';
import { followed } from '../follow.ts';
import type { Origin } from './discovery.ts';
import type { ChartSettings, RenderingSettings } from './settings.ts';

/** One way to render a chart. Paths are relative to the context. */
export interface Rendering {
  readonly release: string;
  readonly namespace?: string | undefined;
  readonly kubeVersion?: string | undefined;
  readonly apiVersions: readonly string[];
  /** Values files, the later ones winning. */
  readonly values: readonly string[];
  /** Single values, which win over those of files; the later ones win. */
  readonly set: readonly SetValue[];
  /** With the hooks that are tests. */
  readonly tests: boolean;
  /** There is more to it, which cannot be told; another one of the same chart is whole. */
  readonly isPartial?: boolean;
}

/** A value as helm's flag of that name takes it. */
export interface SetValue {
  readonly how: 'set' | 'set-string' | 'set-json' | 'set-literal' | 'set-file';
  /** `key=value`; the value is a path in the context for `set-file`. */
  readonly text: string;
  /** Where that is said, if not in the configuration. */
  readonly origin?: Origin;
}

/** The release name of charts that nobody says one for; sealos has the same. */
export const defaultRelease = 'dryrun';

/** A chart rendered with nothing but its own values. */
export const plainRendering: Rendering = {
  release: defaultRelease,
  apiVersions: [],
  values: [],
  set: [],
  tests: false,
};

/**
 * What the configuration says of charts, by their paths as the tree has them. Throws INPUT_INVALID for
 * charts and values files that are not in the context, naming them.
 */
export async function chartSettings(
  tree: Tree,
  charts: Readonly<Record<string, ChartSettings>> = {},
): Promise<ReadonlyMap<string, ChartSettings>> {
  const found = new Map<string, ChartSettings>();
  for (const [key, settings] of Object.entries(charts)) {
    const path = inContext(key);
    const where = `charts.${JSON.stringify(key)}`;
    if (path === undefined) throw misconfigured(where, 'is not a path in the context');
    if (found.has(path)) throw misconfigured(where, `names ${path} once more`);
    for (const file of filesOf(settings)) {
      const values = inContext(file);
      if (values === undefined || !(await followed(tree, values))) {
        throw misconfigured(where, `there is no values file ${file} in the context`);
      }
    }
    found.set(path, settings);
  }
  return found;
}

/** A path in the context as its tree has it; undefined for one that leads out of it. */
export function inContext(path: string): string | undefined {
  if (path === '' || posix.isAbsolute(path)) return undefined;
  const normal = posix.normalize(path).replace(/\/$/, '');
  return normal === '.' || normal === '..' || normal.startsWith('../') ? undefined : normal;
}

/** The failure of a place in the configuration. */
export function misconfigured(where: string, why: string): OciError {
  return new OciError('INPUT_INVALID', `cluster-image.json: ${where}: ${why}`);
}

function filesOf({ values = [], variants = [] }: ChartSettings): readonly string[] {
  return [...values, ...variants.flatMap((variant) => variant.values ?? [])];
}

/**
 * How a chart is rendered that the configuration says nothing of.
 *
 * @param values the values file that is named after it
 * @param installed how commands install it
 */
export function usualRenderings(
  values: string | undefined,
  installed: readonly Rendering[] = [],
): readonly Rendering[] {
  const named = values === undefined ? [] : [values];
  const [first] = installed;
  if (!first) return [{ ...plainRendering, values: named }];
  const { release, namespace } = first;
  const all =
    values === undefined
      ? installed
      : [...installed, { ...plainRendering, release, namespace, values: named, isPartial: false }];
  const different = [...new Map(all.map((each) => [renderCommand('', each), each])).values()];
  const isAnyWhole = different.some(({ isPartial }) => !isPartial);
  return isAnyWhole ? different : different.map((each) => ({ ...each, isPartial: false }));
}

/**
 * How a chart is to be rendered.
 *
 * @param settings what the configuration says of it: where that is of values, they are all there are
 * @param others how it is rendered otherwise, at least one way
 */
export function renderingsOf(
  settings: ChartSettings = {},
  others: readonly Rendering[],
): readonly Rendering[] {
  const { variants = [{}], values, set } = settings;
  const hasValues = settings.variants !== undefined || values !== undefined || set !== undefined;
  const [first = plainRendering] = others;
  const bases = hasValues ? [{ ...first, values: [], set: [], isPartial: false }] : others;
  return bases.flatMap((base) => variants.map((variant) => over(over(base, settings), variant)));
}

/** A rendering with what else is said of it. */
function over(base: Rendering, settings: RenderingSettings): Rendering {
  const { release, namespace, kubeVersion, apiVersions, values = [], set = {}, tests } = settings;
  return {
    release: release ?? base.release,
    namespace: namespace ?? base.namespace,
    kubeVersion: kubeVersion ?? base.kubeVersion,
    apiVersions: apiVersions ?? base.apiVersions,
    values: [...base.values, ...values.map((file) => inContext(file) ?? file)],
    set: [
      ...base.set,
      ...Object.entries(set).map(
        ([key, value]): SetValue => ({
          how: 'set-json',
          text: `${key}=${JSON.stringify(value)}`,
        }),
      ),
    ],
    tests: tests ?? base.tests,
    isPartial: base.isPartial ?? false,
  };
}

/** The command that renders a chart so, for people. */
export function renderCommand(path: string, rendering: Rendering): string {
  const { release, namespace, kubeVersion, apiVersions, values, set } = rendering;
  return [
    'helm template',
    ...(release === defaultRelease ? [] : [quoted(release)]),
    quoted(path),
    ...(namespace === undefined ? [] : [`-n ${quoted(namespace)}`]),
    ...(kubeVersion === undefined ? [] : [`--kube-version ${quoted(kubeVersion)}`]),
    ...apiVersions.map((version) => `-a ${quoted(version)}`),
    ...values.map((file) => `-f ${quoted(file)}`),
    ...set.map(({ how, text }) => `--${how} ${quoted(text)}`),
  ].join(' ');
}

function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
