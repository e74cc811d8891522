import { type Descriptor, OciError, type Tree } from '@cluster-image/oci';
import { type BlobSource, tarTree, unpacked } from '@cluster-image/storage';
import { parentsOf } from './source.ts';

type Kind = 'file' | 'directory' | 'symlink' | undefined;

/**
 * What an image has at a path. Its layers are only read when first asked, from the top down to the
 * one that knows, and nothing of them is kept but their names.
 *
 * @param what how errors name the image
 */
export function baseFiles(
  layers: readonly Descriptor[],
  blobs: BlobSource,
  what: string,
): (path: string) => Promise<Kind> {
  const trees = new Map<Descriptor, Promise<Tree>>();
  const treeOf = (layer: Descriptor): Promise<Tree> => {
    const known = trees.get(layer) ?? openLayer(layer, blobs, what);
    trees.set(layer, known);
    return known;
  };
  return async (path) => {
    for (const layer of layers.toReversed()) {
      const tree = await treeOf(layer);
      const found = await tree.entry(path);
      if (found) return found.type;
      if (await hides(tree, path)) return undefined;
    }
    return undefined;
  };
}

/** Whether nothing of the layers below shows at a path. https://github.com/opencontainers/image-spec/blob/v1.1.1/layer.md#whiteouts */
async function hides(layer: Tree, path: string): Promise<boolean> {
  for (const at of [...parentsOf(path), path]) {
    const slash = at.lastIndexOf('/') + 1;
    const [directory, name] = [at.slice(0, slash), at.slice(slash)];
    if (await layer.entry(`${directory}.wh.${name}`)) return true;
    if (await layer.entry(`${directory}.wh..wh..opq`)) return true;
    const above = await layer.entry(at);
    if (above && above.type !== 'directory') return true;
  }
  return false;
}

async function openLayer(layer: Descriptor, blobs: BlobSource, what: string): Promise<Tree> {
  const content = await blobs(layer.digest, layer.size);
  if (!content) {
    throw new OciError('NOT_FOUND', `layer ${layer.digest} of ${what} is not in the store`, {
      hint: 'Run `cluster-image cache` on the context.',
    });
  }
  const name = `layer ${layer.digest} of ${what}`;
  return unpacked(content, name, (plain) => tarTree(plain, name));
}
