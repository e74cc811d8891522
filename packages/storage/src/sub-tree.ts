import type { Tree, TreeEntry } from '@cluster-image/oci';

/** What lies below a directory of a tree, as a tree of its own. */
export function subTree(tree: Tree, root: string): Tree {
  const inner = (entry: TreeEntry): TreeEntry => ({
    ...entry,
    path: entry.path.slice(root.length + 1),
  });
  return {
    async *entries(below) {
      for await (const entry of tree.entries(below ? `${root}/${below}` : root)) yield inner(entry);
    },
    async entry(path) {
      const found = await tree.entry(path === '' ? root : `${root}/${path}`);
      return found && inner(found);
    },
  };
}
