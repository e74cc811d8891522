import type { Content } from './content.ts';

/** What a tree has at a path. `mode` is the permission bits, `path` is relative with `/`, never with `..`. */
export type TreeEntry =
  | {
      readonly type: 'file';
      readonly path: string;
      readonly mode: number;
      readonly content: Content;
    }
  | { readonly type: 'directory'; readonly path: string; readonly mode: number }
  | {
      readonly type: 'symlink';
      readonly path: string;
      readonly mode: number;
      readonly target: string;
    };

/** Names to contents: a directory, a tar, a tar inside a tar. */
export interface Tree {
  /** Every entry, or those below a directory, parents first, in an order that depends on the names alone. */
  entries(below?: string): AsyncIterable<TreeEntry>;
  entry(path: string): Promise<TreeEntry | undefined>;
}

/** The content of the file at a path; undefined where there is none. */
export async function fileOf(tree: Tree, path: string): Promise<Content | undefined> {
  const entry = await tree.entry(path);
  return entry?.type === 'file' ? entry.content : undefined;
}

/** Compares two strings as their UTF-8 bytes compare, which no locale changes. */
export function compareBytes(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at++) {
    const difference = rank(a.charCodeAt(at)) - rank(b.charCodeAt(at));
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

/** UTF-16 has the halves of what lies beyond U+FFFF before U+E000; UTF-8 has it last. */
function rank(unit: number): number {
  if (unit < 0xd800) return unit;
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800;
}
