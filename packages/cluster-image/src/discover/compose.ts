import type { Sought } from './search-rules.ts';
import { entryOf, followed, type YamlMap, type YamlNode } from './yaml-nodes.ts';

/** The entries that make up an image. */
export type ImageNames = Extract<Sought, object>;

/** As charts have them. */
export const chartNames: ImageNames = {
  registry: 'registry',
  repository: 'repository',
  tag: 'tag',
  digest: 'digest',
};

/** Likewise, where it is told that an image is meant. */
export const usualNames: ImageNames = { ...chartNames, repository: ['repository', 'name'] };

export interface Composed {
  readonly text: string;
  /** It has a tag or a digest. */
  readonly isWhole: boolean;
  /** The nodes that it was put together from, as the mapping has them. */
  readonly parts: readonly YamlNode[];
}

/**
 * The image that entries of a mapping make up; undefined where they do not.
 *
 * @param written the text of a node; empty where it has none
 */
export function compose(
  map: YamlMap,
  names: ImageNames,
  written: (node: YamlNode | undefined) => string,
): Composed | undefined {
  const parts: YamlNode[] = [];
  const [usual = '', ...others] = [names.repository].flat();
  // Most mappings end here.
  const first = field(usual);
  if (first === '' && others.length === 0) return undefined;
  const tag = field(names.tag);
  const digest = field(names.digest).replace(/^[0-9a-f]{64}$/, 'sha256:$&');
  const isWhole = tag !== '' || digest !== '';
  // Another name says too little on its own.
  const repository = first || (isWhole ? field(others) : '');
  if (repository === '') return undefined;
  const registry = field(names.registry);
  const name = withoutScheme(registry === '' ? repository : `${registry}/${repository}`);
  // A version may be a digest as well.
  const version = tag === '' ? '' : /^sha\d+:/.test(tag) ? `@${tag}` : `:${tag}`;
  return {
    text: `${name}${version}${digest && `@${digest}`}`,
    isWhole,
    parts,
  };

  /** The first of several names that there is a text under. */
  function field(names: string | readonly string[] = []): string {
    for (const name of typeof names === 'string' ? [names] : names) {
      const node = fieldOf(map, name.includes('.') ? name.split('.') : [name]);
      const text = written(node).trim();
      if (!node || text === '') continue;
      parts.push(node);
      return text;
    }
    return '';
  }
}

/** `oci://` and `docker://` say how an image is fetched, not which. */
export function withoutScheme(text: string): string {
  return text.replace(/^(?:oci|docker):\/\//, '');
}

/** What is in an entry of a mapping, its own or that of one that is merged into it. */
export function fieldOf(
  map: YamlMap,
  [name = '', ...rest]: readonly string[],
  seen: Set<YamlMap> = new Set(),
): YamlNode | undefined {
  const own = entryOf(map, name);
  if (own) {
    const target = followed(own.value);
    if (rest.length === 0) return own.value;
    return target?.kind === 'map' ? fieldOf(target, rest) : undefined;
  }
  // Mappings that are merged into each other over and over are looked at once.
  if (seen.has(map)) return undefined;
  seen.add(map);
  const merged = followed(entryOf(map, '<<')?.value);
  for (const source of merged?.kind === 'seq' ? merged.items.map(followed) : [merged]) {
    const found = source?.kind === 'map' ? fieldOf(source, [name, ...rest], seen) : undefined;
    if (found) return found;
  }
  return undefined;
}
