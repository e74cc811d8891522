import { readText, type Tree } from '@cluster-image/oci';
import { configurationName } from '../configuration-file.ts';
import { followed } from '../follow.ts';
import type { Rendering, SetValue } from './chart-renderings.ts';
import type { Origin } from './discovery.ts';
import {
  noValues,
  readValues,
  type Value,
  type ValueMap,
  type ValueScalar,
  valuesOver,
} from './values.ts';

/** Helm's own limit on a file of values, in bytes. */
const fileLimit = 5 * 1024 * 1024;

/** How long a list becomes at most because of an index. */
const longestList = 65_536;

/** What a rendering sets over the values of the chart itself. */
export async function givenValues(
  tree: Tree,
  { values, set }: Pick<Rendering, 'values' | 'set'>,
): Promise<ValueMap> {
  let given = noValues;
  for (const file of values) {
    const content = (await followed(tree, file))?.content;
    if (!content || content.size > fileLimit) continue;
    const text = await readText(content, fileLimit);
    const read = readValues(text, (line) => ({ file, line }));
    given = valuesOver(given, read);
  }
  return withSetValues(given, set, ({ how, text, origin }) => ({
    ...(origin ?? { file: configurationName }),
    via: `--${how} ${text}`,
  }));
}

/**
 * Values with single ones set, as helm's flags set them. What is read from files is not known here, and
 * stays as it was. https://helm.sh/docs/intro/using_helm/#the-format-and-limitations-of---set
 */
export function withSetValues(
  values: ValueMap,
  set: readonly SetValue[],
  originOf: (flag: SetValue) => Origin,
): ValueMap {
  let result = values;
  for (const flag of set) {
    if (flag.how === 'set-file') continue;
    const isWhole = flag.how === 'set-literal' || flag.how === 'set-json';
    for (const text of isWhole ? [flag.text] : split(flag.text, ',')) {
      const at = text.indexOf('=');
      if (at < 0) continue;
      const key = text.slice(0, at);
      const value = flagValue(text.slice(at + 1), flag.how, key, originOf(flag));
      result = withValue(result, keysOf(key), value);
    }
  }
  return result;
}

function flagValue(text: string, how: SetValue['how'], key: string, origin: Origin): Value {
  if (how === 'set-json') {
    // JSON is YAML, and an object cannot be broken by what is put around it.
    const read = readValues(`{"value": ${text}}`, () => origin).entries.get('value');
    if (read) return renamed(read, key);
  }
  const written = how === 'set-literal' ? text : text.replace(/\\(.)/g, '$1');
  const list = how === 'set' || how === 'set-string' ? /^\{(.*)\}$/s.exec(text)?.[1] : undefined;
  if (list !== undefined) {
    const items = split(list, ',').map((item, at) => flagValue(item, how, `${key}[${at}]`, origin));
    return { kind: 'list', items };
  }
  return { kind: 'scalar', text: written, type: typeOf(written, how), origin, line: 1, key };
}

function typeOf(text: string, how: SetValue['how']): ValueScalar['type'] {
  if (how !== 'set') return 'text';
  if (text === 'true' || text === 'false') return 'boolean';
  return text === 'null' || /^-?\d+$/.test(text) ? 'other' : 'text';
}

/** Keys count from the flag's own. */
function renamed(value: Value, key: string): Value {
  if (value.kind === 'scalar') {
    return { ...value, key: value.key.replace(/^value/, () => key) };
  }
  if (value.kind === 'list') {
    return { kind: 'list', items: value.items.map((item) => renamed(item, key)) };
  }
  const entries = [...value.entries].map(([name, inner]): [string, Value] => [
    name,
    renamed(inner, key),
  ]);
  return { kind: 'map', entries: new Map(entries) };
}

function withValue(
  values: ValueMap,
  [key = '', ...rest]: readonly (string | number)[],
  value: Value,
): ValueMap {
  const entries = new Map(values.entries);
  const name = String(key);
  entries.set(name, rest.length === 0 ? value : into(entries.get(name), rest, value));
  return { kind: 'map', entries };
}

function into(old: Value | undefined, keys: readonly (string | number)[], value: Value): Value {
  const [key, ...rest] = keys;
  if (key === undefined) return value;
  if (typeof key === 'string') {
    return withValue(old?.kind === 'map' ? old : { kind: 'map', entries: new Map() }, keys, value);
  }
  const items = old?.kind === 'list' ? [...old.items] : [];
  if (key < longestList) items[Math.min(key, items.length)] = into(items[key], rest, value);
  return { kind: 'list', items };
}

/** `a.b[0]` is `a`, `b`, 0. */
function keysOf(key: string): readonly (string | number)[] {
  return split(key, '.').flatMap((part) => {
    const [, name = '', indexes = ''] = /^(.*?)((?:\[\d+\])*)$/.exec(part) ?? [];
    const numbers = [...indexes.matchAll(/\d+/g)].map(([digits]) => Number(digits));
    return [name.replace(/\\(.)/g, '$1'), ...numbers];
  });
}

/** Cuts at a sign that is neither escaped nor in braces. */
function split(text: string, sign: ',' | '.'): readonly string[] {
  const parts: string[] = [''];
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const char = text[at] ?? '';
    if (sign === ',' && char === '{') depth += 1;
    if (sign === ',' && char === '}') depth -= 1;
    const isCut = char === sign && depth <= 0;
    if (isCut) {
      parts.push('');
      continue;
    }
    const taken = char === '\\' ? text.slice(at, at + 2) : char;
    at += taken.length - 1;
    parts.push(`${parts.pop()}${taken}`);
  }
  return parts;
}
