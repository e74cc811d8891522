import { posix } from 'node:path';
import { readText, type Tree } from '@cluster-image/oci';
import { followed, target } from '../follow.ts';
import { openArchive } from './chart-tree.ts';
import type { Origin } from './discovery.ts';
import {
  itemsAt,
  mapAt,
  readValues,
  textAt,
  type Value,
  type ValueMap,
  valueAt,
  valuesOver,
} from './values.ts';

/** Helm's own limit on a file of a chart, in bytes. */
const fileLimit = 5 * 1024 * 1024;

/** How deep charts may be in charts. */
const depthLimit = 10;

/** A chart, or a chart in its `charts/`, with what is set for it. */
export interface ChartPart {
  /** Where helm says its templates are, without the name of the whole chart: empty, or `charts/redis`. */
  readonly path: string;
  /** What its `Chart.yaml` says. */
  readonly description: ValueMap;
  readonly parts: readonly ChartPart[];
  /** The text of a file of it; undefined where there is none. */
  text(path: string): Promise<string | undefined>;
  /** Where a line of a file of it is, for people. */
  originOf(path: string, line?: number): Origin;
  /** What its templates see as `.Values`. */
  values(): Promise<ValueMap>;
  /** Whether what is set makes it a part of what is installed. */
  isEnabled(): Promise<boolean>;
}

/** The files of a chart, and how they are told. */
export interface ChartFiles {
  readonly tree: Tree;
  /** Where they are in the tree; empty for all of it. */
  readonly base: string;
  originOf(path: string, line?: number): Origin;
}

/** The files of a chart that is a directory. */
export function unpackedFiles(tree: Tree, base: string, path: string): ChartFiles {
  return {
    tree,
    base,
    originOf: (inner, line) => ({
      file: posix.join(path, inner),
      ...(line !== undefined && { line }),
    }),
  };
}

/** The files of a packed chart, which may be in another one. */
export function packedFiles(tree: Tree, archive: Origin): ChartFiles {
  const outer = archive.via === undefined ? '' : `${archive.via}: `;
  return {
    tree,
    base: '',
    originOf: (inner, line) => ({
      file: archive.file,
      via: `${outer}${inner}${line === undefined ? '' : `:${line}`}`,
    }),
  };
}

/**
 * A chart with the charts in it. Throws ARCHIVE_INVALID for one in it that cannot be unpacked.
 *
 * @param given values over those of the chart itself
 */
export async function chartParts(
  files: ChartFiles,
  given: () => Promise<ValueMap>,
): Promise<ChartPart> {
  const whole = await partOf(files, { path: '', given, isEnabled: async () => true, depth: 0 });
  return whole;

  async function partOf(files: ChartFiles, place: PartPlace): Promise<ChartPart> {
    const { path, given, isEnabled, depth } = place;
    const values = once(async () =>
      valuesOver(await valuesIn(files, 'values.yaml'), await given()),
    );
    const description = await valuesIn(files, 'Chart.yaml');
    const dependencies = [
      ...itemsAt(description, 'dependencies'),
      ...itemsAt(await valuesIn(files, 'requirements.yaml'), 'dependencies'),
    ].filter((dependency) => dependency.kind === 'map');
    const parts: ChartPart[] = [];
    for (const inner of depth < depthLimit ? await chartsIn(files) : []) {
      const name = textAt(await valuesIn(inner, 'Chart.yaml'), 'name') ?? '';
      const named = dependencies.filter((dependency) => textAt(dependency, 'name') === name);
      for (const dependency of named.length > 0 ? named : [undefined]) {
        const known = (dependency && textAt(dependency, 'alias')) ?? name;
        const part = await partOf(inner, {
          path: posix.join(path, 'charts', known),
          given: async () => setFor(await values(), known),
          isEnabled: once(async () => {
            if (!(await isEnabled())) return false;
            return !dependency || isPart(dependency, await values(), await whole.values());
          }),
          depth: depth + 1,
        });
        parts.push(part);
      }
    }
    return {
      path,
      description,
      parts,
      text: (inner) => textOf(files, inner),
      originOf: files.originOf,
      values,
      isEnabled,
    };
  }
}

interface PartPlace extends Pick<ChartPart, 'path' | 'isEnabled'> {
  /** What is set for it from outside. */
  readonly given: () => Promise<ValueMap>;
  readonly depth: number;
}

/** A chart and all that are in it. */
export function allParts(part: ChartPart): readonly ChartPart[] {
  return [part, ...part.parts.flatMap(allParts)];
}

/** The charts in `charts/`; helm passes over names that begin with `.` or `_`. */
async function chartsIn(files: ChartFiles): Promise<readonly ChartFiles[]> {
  const { tree, originOf } = files;
  const found: ChartFiles[] = [];
  for (const name of await namesIn(files)) {
    const path = `charts/${name}`;
    const base = posix.join(files.base, path);
    const entry = await target(tree, base);
    if (entry?.type === 'file') {
      if (!/\.(?:tgz|tar\.gz)$/.test(name)) continue;
      const archive = originOf(path);
      found.push(packedFiles(await openArchive(entry.content, archive.file), archive));
    } else if (await followed(tree, posix.join(base, 'Chart.yaml'))) {
      found.push({ tree, base, originOf: (inner, line) => originOf(`${path}/${inner}`, line) });
    }
  }
  return found;
}

async function namesIn({ tree, base }: ChartFiles): Promise<ReadonlySet<string>> {
  const names = new Set<string>();
  const description = await tree.entry(posix.join(base, 'Chart.yaml'));
  if (!description) return names;
  // The paths of entries may begin above the tree that they are asked of, and archives need not have
  // their directories.
  const above = description.path.length - 'Chart.yaml'.length + 'charts/'.length;
  for await (const { path } of tree.entries(posix.join(base, 'charts'))) {
    const [name = ''] = path.slice(above).split('/');
    if (!/^[._]/.test(name)) names.add(name);
  }
  return names;
}

/** What is set for a chart in the values of the one that it is in. */
function setFor(values: ValueMap, name: string): ValueMap {
  const own = mapAt(values, name);
  const shared = valuesOver(mapAt(own, 'global'), mapAt(values, 'global'));
  if (shared.entries.size === 0) return own;
  return { kind: 'map', entries: new Map([...own.entries, ['global', shared]]) };
}

/**
 * Whether a dependency is installed.
 * https://helm.sh/docs/topics/charts/#tags-and-condition-fields-in-dependencies
 */
function isPart(dependency: ValueMap, values: ValueMap, ofWhole: ValueMap): boolean {
  const condition = conditionOf(textAt(dependency, 'condition'), values);
  if (condition !== undefined) return condition;
  const tags = itemsAt(dependency, 'tags').flatMap((tag) =>
    tag.kind === 'scalar' ? [booleanOf(valueAt(ofWhole, ['tags', tag.text]))] : [],
  );
  return tags.includes(true) || !tags.includes(false);
}

/** What the first of some paths to a boolean says; undefined where none leads to one. */
export function conditionOf(paths: string | undefined, values: ValueMap): boolean | undefined {
  return (paths ?? '')
    .split(',')
    .map((path) => booleanOf(valueAt(values, path.trim().split('.'))))
    .find((value) => value !== undefined);
}

function booleanOf(value: Value | undefined): boolean | undefined {
  if (value?.kind !== 'scalar' || value.type !== 'boolean') return undefined;
  return /^true$/i.test(value.text);
}

async function valuesIn(files: ChartFiles, path: string): Promise<ValueMap> {
  return readValues((await textOf(files, path)) ?? '', (line) => files.originOf(path, line));
}

async function textOf({ tree, base }: ChartFiles, path: string): Promise<string | undefined> {
  const file = await followed(tree, posix.join(base, path));
  if (!file || file.content.size > fileLimit) return undefined;
  return readText(file.content, fileLimit);
}

/** The same work, done when it is asked for first. */
function once<T>(work: () => Promise<T>): () => Promise<T> {
  let done: Promise<T> | undefined;
  return () => {
    done ??= work();
    return done;
  };
}
