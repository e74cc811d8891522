import {
  bytes,
  type Content,
  type Context,
  compareBytes,
  type Descriptor,
  type Digest,
  type ImageManifest,
  isDigest,
  jsonOf,
  OciError,
  type RegistryReader,
  readText,
  type Tree,
  type TreeEntry,
  verified,
} from '@cluster-image/oci';
import {
  type BlobSource,
  distributionReader,
  layoutPaths,
  type Store,
  takeAway,
  tarEntries,
  unpacked,
} from '@cluster-image/storage';
import { z } from 'zod';
import { registryDirectory } from './assemble/assemble.ts';

const blobsBelow = `${registryDirectory}/${layoutPaths.blobs}/`;
const linksBelow = `${registryDirectory}/${layoutPaths.repositories}/`;

/** Longer than any link, in bytes. */
const linkLimit = 1024;

/**
 * The images inside a cluster image whose layers are compressed, as sealos and sealer build them.
 * Such layers cannot be read by range, so each is streamed once, and the blobs inside go into the
 * store; what the image consists of is remembered there.
 *
 * @param what how errors name the image
 */
export async function absorbed(
  manifest: ImageManifest,
  layers: BlobSource,
  store: Store,
  context: Context,
  what: string,
): Promise<RegistryReader> {
  const links = (await remembered(manifest.digest, store)) ?? new Map<string, string>();
  if (links.size === 0) {
    context.report({ type: 'stage', name: 'unpack', total: manifest.layers.length });
    for (const layer of manifest.layers) {
      await context.transfer(() => absorbLayer(layer, layers, links, store, what));
    }
    if (links.size === 0) throw noCluster(what);
    await store.putNote(manifest.digest, JSON.stringify([...links]));
  }
  return distributionReader(treeOf(links, store.blobs), what);
}

export function noCluster(what: string): OciError {
  return new OciError('INPUT_INVALID', `${what} is no cluster image: it has no registry/`);
}

async function absorbLayer(
  { digest, size }: Descriptor,
  layers: BlobSource,
  links: Map<string, string>,
  store: Store,
  what: string,
): Promise<void> {
  const name = `layer ${digest} of ${what}`;
  const found = await layers(digest, size);
  if (!found) throw new OciError('NOT_FOUND', `${name} is missing`);
  // A layer takes away from those below it, never from itself, in whatever order its entries are.
  const added = new Map<string, string>();
  await unpacked(verified(found, digest, name), name, async (plain) => {
    for await (const entry of tarEntries(plain, name)) {
      if (!takeAway(entry.path, links)) await absorbEntry(entry, added, store);
    }
  });
  for (const [path, link] of added) links.set(path, link);
}

async function absorbEntry(
  entry: TreeEntry,
  links: Map<string, string>,
  store: Store,
): Promise<void> {
  const { path } = entry;
  if (entry.type !== 'file') return;
  if (path.startsWith(linksBelow) && path.endsWith('/link')) {
    links.set(path, await readText(entry.content, linkLimit));
  } else if (path.startsWith(blobsBelow)) {
    const digest = digestAt(path.slice(blobsBelow.length));
    if (digest) await store.registry.putContent(digest, entry.content);
  }
}

/** The digest that a path below `blobs/` stands for. */
function digestAt(path: string): Digest | undefined {
  const [, algorithm, hex] = /^(sha256|sha512)\/[0-9a-f]{2}\/([0-9a-f]+)\/data$/.exec(path) ?? [];
  const digest = `${algorithm}:${hex}`;
  return isDigest(digest) ? digest : undefined;
}

const noteSchema = z.array(z.tuple([z.string(), z.string()]));

async function remembered(image: Digest, store: Store): Promise<Map<string, string> | undefined> {
  const parsed = noteSchema.safeParse(jsonOf((await store.note(image)) ?? ''));
  return parsed.success ? new Map(parsed.data) : undefined;
}

/** The registry directory that these links are of. */
function treeOf(links: ReadonlyMap<string, string>, blobs: BlobSource): Tree {
  const strip = (path: string): string => path.slice(registryDirectory.length + 1);
  const entries = new Map<string, TreeEntry>(
    [...links]
      .sort(([a], [b]) => compareBytes(a, b))
      .map(([path, text]) => [strip(path), fileEntry(strip(path), bytes(text))]),
  );
  return {
    async *entries(below) {
      for (const entry of entries.values()) {
        if (!below || entry.path.startsWith(`${below}/`)) yield entry;
      }
    },
    async entry(path) {
      const digest = path.startsWith(`${layoutPaths.blobs}/`)
        ? digestAt(path.slice(layoutPaths.blobs.length + 1))
        : undefined;
      const content = digest && (await blobs(digest, 0));
      return content ? fileEntry(path, content) : entries.get(path);
    },
  };
}

function fileEntry(path: string, content: Content): TreeEntry {
  return { type: 'file', path, mode: 0o644, content };
}
