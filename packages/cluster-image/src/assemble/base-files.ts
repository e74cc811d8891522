import { pipeline, Readable } from 'node:stream';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { type Content, type Descriptor, OciError, type Tree } from '@cluster-image/oci';
import { type BlobSource, compressionOf, tarTree } from '@cluster-image/storage';
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
  const compression = await compressionOf(content);
  const name = `layer ${layer.digest} of ${what}`;
  if (compression === undefined) return tarTree(content, name);
  const unpack = compression === 'gzip' ? createGunzip : createZstdDecompress;
  if (compression !== 'gzip' && compression !== 'zstd') {
    throw new OciError('UNSUPPORTED', `${name} is compressed with ${compression}`);
  }
  const unpacked = pipeline(Readable.from(content.open()), unpack(), () => {});
  try {
    return await tarTree(onwards(unpacked), name);
  } catch (cause) {
    if (cause instanceof OciError) throw cause;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new OciError('ARCHIVE_INVALID', `${name}: ${why}`, { cause });
  } finally {
    unpacked.destroy();
  }
}

/** Larger than any layer, in bytes. */
const endless = 2 ** 50;

/** How far back one may read, in bytes: further than a tar's headers are apart from what they extend. */
const memory = 256 * 1024;

/** A stream as a content that is read by ranges, each hardly before the last. After its end there are zeros. */
function onwards(stream: AsyncIterable<Uint8Array>): Content {
  const chunks = stream[Symbol.asyncIterator]();
  let held: Uint8Array[] = [];
  let first = 0;
  let end = 0;
  let isOver = false;

  async function readTo(offset: number): Promise<void> {
    while (end < offset && !isOver) {
      const next = await chunks.next();
      if (next.done) isOver = true;
      else {
        held.push(next.value);
        end += next.value.length;
      }
      const [oldest] = held;
      if (oldest && first + oldest.length < Math.min(end, offset) - memory) {
        first += oldest.length;
        held = held.slice(1);
      }
    }
  }

  return {
    size: endless,
    async *open(range = { start: 0, end: endless }) {
      await readTo(range.end);
      const bytes = new Uint8Array(range.end - range.start);
      let at = first;
      for (const chunk of held) {
        const [from, to] = [Math.max(range.start, at), Math.min(range.end, at + chunk.length)];
        if (from < to) bytes.set(chunk.subarray(from - at, to - at), from - range.start);
        at += chunk.length;
      }
      yield bytes;
    },
  };
}
