import { posix } from 'node:path';
import {
  type Content,
  compareBytes,
  type Descriptor,
  type ImageManifest,
  OciError,
  type Tree,
  type TreeEntry,
} from '@cluster-image/oci';
import { compressionOf } from './archive-reader.ts';
import { tarTree } from './tar-tree.ts';

/** What a layer leaves in place of something it takes away. https://github.com/opencontainers/image-spec/blob/v1.1.1/layer.md#whiteouts */
const whiteout = '.wh.';
const opaque = '.wh..wh..opq';

/**
 * The files of an image as a tree, its layers one over the other. Only their headers are read, by
 * range. Throws UNSUPPORTED for a layer that is compressed, which cannot be read by range.
 *
 * @param what how errors name the image
 */
export async function imageTree(
  manifest: ImageManifest,
  open: (layer: Descriptor) => Promise<Content | undefined>,
  what: string,
): Promise<Tree> {
  const entries = new Map<string, TreeEntry>();
  for (const layer of manifest.layers) {
    const content = await open(layer);
    if (!content) throw new OciError('NOT_FOUND', `${what}: layer ${layer.digest} is missing`);
    const compression = await compressionOf(content);
    if (compression) {
      throw new OciError(
        'UNSUPPORTED',
        `${what}: layer ${layer.digest} is compressed (${compression})`,
        {
          hint: 'Only images with uncompressed layers, as this tool builds them, are read in place.',
        },
      );
    }
    await lay(await tarTree(content, `layer ${layer.digest} of ${what}`), entries);
  }
  const sorted = [...entries.values()].sort((a, b) => compareBytes(a.path, b.path));
  return {
    async *entries(below) {
      for (const entry of sorted) {
        if (!below || entry.path.startsWith(`${below}/`)) yield entry;
      }
    },
    entry: async (path) => entries.get(path),
  };
}

async function lay(layer: Tree, entries: Map<string, TreeEntry>): Promise<void> {
  const added: TreeEntry[] = [];
  for await (const entry of layer.entries()) {
    if (!takeAway(entry.path, entries)) added.push(entry);
  }
  for (const entry of added) {
    if (entry.type !== 'directory') removeBelow(entry.path, entries);
    entries.set(entry.path, entry);
  }
}

/** Takes from what lies below a layer what an entry of that says is gone; false for an entry that says no such thing. */
export function takeAway(path: string, entries: Map<string, unknown>): boolean {
  const [directory, name] = [posix.dirname(path), posix.basename(path)];
  if (!name.startsWith(whiteout)) return false;
  if (name === opaque) {
    removeBelow(directory, entries);
    return true;
  }
  const gone = posix.join(directory, name.slice(whiteout.length));
  entries.delete(gone);
  removeBelow(gone, entries);
  return true;
}

function removeBelow(directory: string, entries: Map<string, unknown>): void {
  const prefix = directory === '.' ? '' : `${directory}/`;
  for (const path of entries.keys()) if (path.startsWith(prefix)) entries.delete(path);
}
