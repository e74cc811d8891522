import { type Document, isAlias, isMap, isScalar, isSeq, Scalar } from 'yaml';

/** What a YAML document consists of, as far as it matters to whoever looks for images. */
export type YamlNode = YamlMap | YamlSeq | YamlScalar | YamlAlias;

interface Positioned {
  /** Where it begins; what that counts is up to the reader. */
  readonly at: number;
}

export interface YamlMap extends Positioned {
  readonly kind: 'map';
  readonly entries: readonly YamlEntry[];
}

export interface YamlEntry {
  /** Empty for a key that is no scalar. */
  readonly key: string;
  readonly value: YamlNode | undefined;
}

export interface YamlSeq extends Positioned {
  readonly kind: 'seq';
  readonly items: readonly YamlNode[];
}

export interface YamlScalar extends Positioned {
  readonly kind: 'scalar';
  /** As it is written, a tag like 1.10 being no number; empty for null. */
  readonly text: string;
  /** A literal is a text in lines of its own (`|`). */
  readonly type: 'text' | 'literal' | 'boolean' | 'other';
}

export interface YamlAlias extends Positioned {
  readonly kind: 'alias';
  readonly name: string;
  /** The last node before it that has its anchor. */
  readonly target: YamlNode | undefined;
}

/** The nodes of a document that the library has read, by their offsets in its text. */
export function nodesOf(document: Document): YamlNode | undefined {
  const anchored = new Map<string, YamlNode>();
  return nodeOf(document.contents);

  function nodeOf(node: unknown): YamlNode | undefined {
    if (isAlias(node)) {
      const { source } = node;
      return { kind: 'alias', at: offsetOf(node), name: source, target: anchored.get(source) };
    }
    if (isScalar(node)) {
      const type = typeOf(node);
      return remember(node, { kind: 'scalar', at: offsetOf(node), text: textOf(node), type });
    }
    // Those that have an anchor are known by it before what is in them is looked at.
    if (isMap(node)) {
      const entries: YamlEntry[] = [];
      const map = remember(node, { kind: 'map', at: offsetOf(node), entries });
      for (const { key, value } of node.items) {
        nodeOf(key);
        entries.push({ key: isScalar(key) ? String(key.value) : '', value: nodeOf(value) });
      }
      return map;
    }
    if (!isSeq(node)) return undefined;
    const items: YamlNode[] = [];
    const seq = remember(node, { kind: 'seq', at: offsetOf(node), items });
    for (const item of node.items) {
      const found = nodeOf(item);
      if (found) items.push(found);
    }
    return seq;
  }

  function remember(node: { readonly anchor?: string }, made: YamlNode): YamlNode {
    if (node.anchor) anchored.set(node.anchor, made);
    return made;
  }
}

function offsetOf(node: { readonly range?: readonly number[] | null }): number {
  return node.range?.[0] ?? 0;
}

function typeOf({ type, value }: Scalar): YamlScalar['type'] {
  if (typeof value === 'boolean') return 'boolean';
  if (typeof value !== 'string') return 'other';
  return type === Scalar.BLOCK_LITERAL ? 'literal' : 'text';
}

function textOf({ value, source }: Scalar): string {
  if (value === null) return '';
  return typeof value === 'string' ? value : (source ?? '');
}

/** An entry of a mapping; undefined where there is none. */
export function entryOf({ entries }: YamlMap, key: string): YamlEntry | undefined {
  return entries.find((entry) => entry.key === key);
}

/** What an alias stands for; any other node itself. */
export function followed(node: YamlNode | undefined): YamlNode | undefined {
  return node?.kind === 'alias' ? node.target : node;
}
