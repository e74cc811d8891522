import { knownObjects } from './known-objects.ts';
import type { SearchRule } from './settings.ts';

/** What a rule says is at a place. */
export type Sought = SearchRule['value'];

/** Says what is at a place of an object, from its top; undefined where no rule does. */
export type SoughtAt = (path: readonly string[]) => Sought | undefined;

export interface SearchRules {
  /** The rules for objects of a group and kind, either being undefined where an object has none. */
  for(group: string | undefined, kind: string | undefined): SoughtAt;
  /** Whether a document may name an image, or anything that looks like one; a quick look. */
  mayMention(text: string): boolean;
}

/** Rules for the objects of a context: those of its configuration, then what is known of objects. */
export function searchRules(own: readonly SearchRule[] = []): SearchRules {
  const all = [...own, ...knownObjects];
  const known = new Map<string, SoughtAt>();
  const mentions = mentionsOf(all);
  return {
    for(group, kind) {
      const name = JSON.stringify([group, kind]);
      const found = known.get(name);
      if (found) return found;
      const made = soughtBy(all.filter((rule) => isAbout(rule, group, kind)));
      known.set(name, made);
      return made;
    },
    mayMention: (text) => mentions.test(text),
  };
}

/** What says by itself that there may be an image: its name, its form, or an escape that may hide either. */
const anyMention = ['image', '\\/[\\w.-]*[:@]\\w', '(?:oci|docker):', '\\\\[xuU\\n]', 'repository'];

function mentionsOf(rules: readonly SearchRule[]): RegExp {
  const words = rules.flatMap(({ value, ...rule }) =>
    value === 'image' || typeof value === 'object' ? telling(rule, value) : [],
  );
  return new RegExp([...anyMention, ...new Set(words.map(escaped))].join('|'), 'i');
}

/** What a document says that has what a rule is about; empty where that may be anything. */
function telling(
  { group = '*', key = '', path = '' }: Omit<SearchRule, 'value'>,
  value: Sought,
): readonly string[] {
  if (group !== '*' && group !== '') return [group];
  const last = [key, ...path.split('.')].findLast((name) => !/^\**$/.test(name)) ?? '';
  if (typeof value !== 'object' || last !== '') return [last];
  return [value.repository].flat().map((name) => name.split('.').at(-1) ?? '');
}

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
}

function isAbout(rule: SearchRule, group: string | undefined, kind: string | undefined): boolean {
  return isNamed(rule.group, group) && isNamed(rule.kind, kind);
}

/** `*` is whatever an object has, as long as it has one. */
function isNamed(asked: string | undefined, actual: string | undefined): boolean {
  return asked === undefined || asked === actual || (asked === '*' && actual !== undefined);
}

function soughtBy(rules: readonly SearchRule[]): SoughtAt {
  const places = rules.map(({ key, path, value }) => ({
    keys: key === undefined ? (path ?? '').split('.') : ['**', key],
    value,
  }));
  return (path) => places.find(({ keys }) => isPlace(keys, path))?.value;
}

/** From the end, which is what tells most places apart. */
function isPlace(
  keys: readonly string[],
  path: readonly string[],
  keyEnd = keys.length,
  pathEnd = path.length,
): boolean {
  const key = keys[keyEnd - 1];
  if (key === undefined) return pathEnd === 0;
  if (key === '**') {
    for (let end = pathEnd; end >= 0; end--) {
      if (isPlace(keys, path, keyEnd - 1, end)) return true;
    }
    return false;
  }
  if (pathEnd === 0 || (key !== '*' && key !== path[pathEnd - 1])) return false;
  return isPlace(keys, path, keyEnd - 1, pathEnd - 1);
}
