import { OciError } from '@cluster-image/oci';
import { LineCounter } from 'yaml';
import type { Origin } from './discovery.ts';
import { boundedDocuments } from './documents.ts';
import { followed, nodesOf, type YamlMap, type YamlNode, type YamlScalar } from './yaml-nodes.ts';

/** A value of a chart, and where it is set. */
export type Value = ValueMap | ValueList | ValueScalar;

export interface ValueMap {
  readonly kind: 'map';
  readonly entries: ReadonlyMap<string, Value>;
}

export interface ValueList {
  readonly kind: 'list';
  readonly items: readonly Value[];
}

export interface ValueScalar {
  readonly kind: 'scalar';
  /** As it is written; empty for null. */
  readonly text: string;
  readonly type: YamlScalar['type'];
  readonly origin: Origin;
  /** In that file, counted from 1. */
  readonly line: number;
  /** Where it is in that file, with dots: `image.tag`, `containers[0].image`. */
  readonly key: string;
}

export const noValues: ValueMap = { kind: 'map', entries: new Map() };

/** Of how many words and signs a file of values may consist. */
const partLimit = 2_000_000;

/** How many values there may be, and how deep, with all that aliases repeat. */
const valueLimit = 200_000;
const depthLimit = 100;

/**
 * The values of a YAML file; none where it is not YAML, or more than values are, which helm has its own
 * words for.
 *
 * @param originAt where a line of the file is, counted from 1
 */
export function readValues(text: string, originAt: (line: number) => Origin): ValueMap {
  const [read] = readDocuments(text, originAt);
  return read?.kind === 'map' ? read : noValues;
}

/** The items of a list in YAML; none where it is none. */
export function readItems(text: string, originAt: (line: number) => Origin): readonly Value[] {
  const [read] = readDocuments(text, originAt);
  return read?.kind === 'list' ? read.items : [];
}

/** What is in the documents of a YAML file, as far as it can be read. */
export function readDocuments(text: string, originAt: (line: number) => Origin): readonly Value[] {
  const found: Value[] = [];
  const lines = new LineCounter();
  let parts = partLimit;
  let left = valueLimit;
  try {
    for (const document of boundedDocuments(text, lines, () => --parts)) {
      if (document.errors.length > 0) break;
      const value = valueIn(nodesOf(document), '', 0);
      if (value) found.push(value);
    }
  } catch (error) {
    if (!(error instanceof OciError)) throw error;
  }
  return found;

  function mapOf(map: YamlMap, key: string, depth: number): ValueMap {
    const entries = new Map<string, Value>();
    for (const entry of map.entries) {
      if (entry.key === '<<') {
        for (const [name, value] of mergedInto(entry.value, key, depth)) entries.set(name, value);
      }
    }
    for (const entry of map.entries) {
      const inner = key === '' ? entry.key : `${key}.${entry.key}`;
      const value = valueIn(entry.value, inner, depth + 1);
      if (entry.key !== '<<' && value) entries.set(entry.key, value);
    }
    return { kind: 'map', entries };
  }

  function mergedInto(node: YamlNode | undefined, key: string, depth: number): ValueMap['entries'] {
    const found = valueIn(node, key, depth + 1);
    return found?.kind === 'map' ? found.entries : new Map();
  }

  function valueIn(node: YamlNode | undefined, key: string, depth: number): Value | undefined {
    if (--left < 0 || depth > depthLimit) {
      throw new OciError('INPUT_INVALID', 'more values than there can be');
    }
    const target = followed(node);
    if (target?.kind === 'map') return mapOf(target, key, depth);
    if (target?.kind === 'seq') {
      const items = target.items.map((item, at) => valueIn(item, `${key}[${at}]`, depth + 1));
      return { kind: 'list', items: items.filter((item) => item !== undefined) };
    }
    if (target?.kind !== 'scalar') return undefined;
    const { text, type, at } = target;
    const { line } = lines.linePos(at);
    return { kind: 'scalar', text, type, origin: originAt(line), line, key };
  }
}

/** Values over others, as helm has it: mappings are united, null takes away, all else replaces. */
export function valuesOver(lower: ValueMap, upper: ValueMap): ValueMap {
  const entries = new Map(lower.entries);
  for (const [name, value] of upper.entries) {
    const below = entries.get(name);
    if (isNull(value)) entries.delete(name);
    else if (value.kind === 'map') {
      entries.set(name, below?.kind === 'map' ? valuesOver(below, value) : value);
    } else entries.set(name, value);
  }
  return { kind: 'map', entries };
}

function isNull(value: Value): boolean {
  return (
    value.kind === 'scalar' && value.type === 'other' && /^(?:|~|null|Null|NULL)$/.test(value.text)
  );
}

/** What is at keys from the top; undefined where nothing is. */
export function valueAt(values: ValueMap, keys: readonly string[]): Value | undefined {
  let at: Value | undefined = values;
  for (const key of keys) at = at?.kind === 'map' ? at.entries.get(key) : undefined;
  return at;
}

/** The mapping at a key, which is empty where there is none. */
export function mapAt(values: ValueMap, key: string): ValueMap {
  const found = values.entries.get(key);
  return found?.kind === 'map' ? found : noValues;
}

/** The items of a list at a key. */
export function itemsAt(values: ValueMap, key: string): readonly Value[] {
  const found = values.entries.get(key);
  return found?.kind === 'list' ? found.items : [];
}

/** The text at a key; undefined where there is none, or an empty one. */
export function textAt(values: ValueMap, key: string): string | undefined {
  const found = values.entries.get(key);
  return found?.kind === 'scalar' && found.text !== '' ? found.text : undefined;
}

/** A scalar among values, with the keys that lead to it in all of them. */
export interface PlacedScalar {
  readonly path: readonly string[];
  readonly scalar: ValueScalar;
}

/** Every scalar, in order; what is in a list has its index among its keys. */
export function scalarsIn(value: Value, path: readonly string[] = []): readonly PlacedScalar[] {
  if (value.kind === 'scalar') return [{ path, scalar: value }];
  const entries =
    value.kind === 'map'
      ? [...value.entries]
      : value.items.map((item, at): [string, Value] => [String(at), item]);
  return entries.flatMap(([key, inner]) => scalarsIn(inner, [...path, key]));
}
