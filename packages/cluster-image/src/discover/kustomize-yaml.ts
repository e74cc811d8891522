import { OciError } from '@cluster-image/oci';
import { type Document, isAlias, LineCounter, type Node, visit } from 'yaml';
import { boundedDocuments } from './documents.ts';
import { followed, nodesOf, type YamlNode } from './yaml-nodes.ts';

/** A document, and on which line of its file a node of it is. */
export interface Root {
  readonly node: YamlNode | undefined;
  readonly lineOf: (node: YamlNode) => number;
}

/** Why a file must not be given to kustomize. */
export interface Fault {
  /** Counted from 1. */
  readonly line: number;
  readonly reason: string;
}

export interface Text {
  readonly text: string;
  /** Counted from 1. */
  readonly line: number;
}

/** Of how many words, signs and breaks a file may consist, and how many aliases may be among them. */
const partLimit = 2_000_000;
const aliasLimit = 100;

/** The documents of a file; and what kustomize could read otherwise than it is read here, as faults. */
export function kustomizeDocuments(text: string): {
  readonly roots: readonly Root[];
  readonly faults: readonly Fault[];
} {
  const roots: Root[] = [];
  const faults: Fault[] = [];
  const lines = new LineCounter();
  const lineAt = (offset: number): number => Math.max(1, lines.linePos(offset).line);
  // What is within a comment here would be on a line of its own there.
  if (/\r(?!\n)|[\u0085\u2028\u2029]/.test(text)) {
    return {
      roots,
      faults: [{ line: 1, reason: 'breaks lines in a way that readers of YAML differ on' }],
    };
  }
  let parts = partLimit;
  try {
    for (const document of boundedDocuments(text, lines, () => --parts)) {
      const [error] = document.errors;
      if (error) faults.push({ line: lineAt(error.pos[0]), reason: `not YAML: ${error.message}` });
      const strange = strangeIn(document);
      if (strange) faults.push({ line: lineAt(strange.at), reason: strange.reason });
      roots.push({ node: nodesOf(document), lineOf: ({ at }) => lineAt(at) });
    }
  } catch (error) {
    if (!(error instanceof OciError)) throw error;
    faults.push({ line: Math.max(1, lines.lineStarts.length), reason: error.message });
  }
  return { roots, faults };
}

/** The first thing in a document that is not read in kustomizations, its offset in the text. */
function strangeIn(
  document: Document,
): { readonly at: number; readonly reason: string } | undefined {
  let aliases = 0;
  let found: { at: number; reason: string } | undefined;
  visit(document, {
    Node(key, node) {
      const reason = reasonFor(key, node);
      if (reason === undefined) return undefined;
      found = { at: node.range?.[0] ?? 0, reason };
      return visit.BREAK;
    },
  });
  return found;

  function reasonFor(key: unknown, node: Node): string | undefined {
    if (!isAlias(node)) return node.tag === undefined ? undefined : 'tags are not read here';
    if (key === 'key') return 'aliases are not read as keys';
    return ++aliases > aliasLimit ? `over ${aliasLimit} aliases` : undefined;
  }
}

/** The texts at a path of keys in lower case; sequences add nothing to it. */
export function textsAt({ node, lineOf }: Root, path: readonly string[]): readonly Text[] {
  const found: Text[] = [];
  const isNew = walkedOnce();
  walk(node, path);
  return found;

  function walk(node: YamlNode | undefined, path: readonly string[]): void {
    const target = followed(node);
    if (!node || !target || !isNew(node, target, path.length)) return;
    const [key, ...rest] = path;
    if (target.kind === 'seq') {
      for (const item of target.items) walk(item, path);
    } else if (target.kind === 'map' && key !== undefined) {
      for (const value of valuesOf(target, key)) walk(value, rest);
    } else if (target.kind === 'scalar' && key === undefined && target.text !== '') {
      found.push({ text: target.text, line: lineOf(node) });
    }
  }
}

/** The texts, or lists of them, under any of these keys in lower case, wherever those are. */
export function textsUnder({ node, lineOf }: Root, keys: ReadonlySet<string>): readonly Text[] {
  const found: Text[] = [];
  const isNew = walkedOnce();
  walk(node, false);
  return found;

  function walk(node: YamlNode | undefined, isUnder: boolean): void {
    const target = followed(node);
    if (!node || !target || !isNew(node, target, isUnder)) return;
    if (target.kind === 'seq') for (const item of target.items) walk(item, isUnder);
    if (target.kind === 'map') {
      for (const { key, value } of target.entries) walk(value, keys.has(folded(key)));
    }
    if (target.kind === 'scalar' && isUnder && target.text !== '') {
      found.push({ text: target.text, line: lineOf(node) });
    }
  }
}

/** The values of all entries of a mapping that have a key, its own and those that are merged into it. */
export function valuesOf(map: YamlNode | undefined, key: string): readonly YamlNode[] {
  const found: YamlNode[] = [];
  const isNew = walkedOnce();
  walk(map);
  return found;

  function walk(node: YamlNode | undefined): void {
    const target = followed(node);
    if (!node || !target || !isNew(node, target) || target.kind !== 'map') return;
    for (const { key: name, value } of target.entries) {
      if (name === '<<') for (const source of itemsOf(value)) walk(source);
      else if (value && folded(name) === key) found.push(value);
    }
  }
}

/** The items of a sequence; what is none is its only one. */
export function itemsOf(node: YamlNode | undefined): readonly YamlNode[] {
  const target = followed(node);
  if (target?.kind === 'seq') return target.items;
  return node ? [node] : [];
}

/**
 * Tells what is reached by an alias in some state for the first time only, so that aliases of aliases
 * do not multiply.
 */
function walkedOnce(): (node: YamlNode, target: YamlNode, state?: unknown) => boolean {
  const seen = new Map<unknown, Set<YamlNode>>();
  return (node, target, state) => {
    if (node.kind !== 'alias') return true;
    const before = seen.get(state) ?? new Set();
    if (before.has(target)) return false;
    seen.set(state, before.add(target));
    return true;
  };
}

/** A key as kustomize compares it, without regard to case: as Go does, to which `ſ` is an `s`. */
function folded(key: string): string {
  return key.toUpperCase().toLowerCase();
}
