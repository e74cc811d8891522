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
const anyMention = ['image', '\\/[\\w.-]*[:@]', '\\\\[xuU]', 'repository'];

function mentionsOf(rules: readonly SearchRule[]): RegExp {
  const keys = rules.flatMap(({ key, path = '', value }) => {
    // All keys of a path are there where it is; the longest is the rarest.
    const names = key === undefined ? path.split('.') : [key];
    const longest = names.filter((name) => !name.includes('*')).sort(byLength)[0] ?? '';
    if (value === 'image' || value === 'elsewhere') return escaped(longest);
    return typeof value === 'object' ? escaped(value.repository.split('.').at(-1) ?? '') : [];
  });
  return new RegExp([...anyMention, ...new Set(keys)].join('|'), 'i');
}

function byLength(a: string, b: string): number {
  return b.length - a.length;
}

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
}

function isAbout(rule: SearchRule, group: string | undefined, kind: string | undefined): boolean {
  const isGroup = rule.group === undefined || rule.group === group;
  return isGroup && (rule.kind === undefined || rule.kind === kind);
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
