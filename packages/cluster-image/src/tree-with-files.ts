import type { Content, Tree, TreeEntry } from '@cluster-image/oci';
import { parentsOf } from './assemble/source.ts';

/** A tree that has some more files, at paths where it has nothing itself, and the directories above them. */
export function treeWithFiles(tree: Tree, files: ReadonlyMap<string, Content>): Tree {
  if (files.size === 0) return tree;
  const added = new Map<string, TreeEntry>();
  for (const [path, content] of files) {
    for (const parent of parentsOf(path)) {
      added.set(parent, { type: 'directory', path: parent, mode: 0o755 });
    }
    added.set(path, { type: 'file', path, mode: 0o644, content });
  }
  return {
    entry: async (path) => (await tree.entry(path)) ?? added.get(path),
    async *entries(below = '') {
      yield* tree.entries(below);
      for (const entry of added.values()) {
        const isBelow = below === '' || entry.path.startsWith(`${below}/`);
        if (isBelow && !(await tree.entry(entry.path))) yield entry;
      }
    },
  };
}
