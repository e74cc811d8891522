import {
  createContext,
  type ImageConfig,
  type ImageManifest,
  parseConfig,
  parsePlatform,
  readAll,
  type Tree,
} from '@cluster-image/oci';
import {
  directory,
  imageTree,
  soleRepository,
  type VirtualImage,
  virtualRegistry,
} from '@cluster-image/storage';
import { assemble } from '../../src/assemble/assemble.ts';
import { contextSource } from '../../src/assemble/source.ts';
import { findKubefile } from '../../src/kubefile/kubefile.ts';
import { storeDepot } from '../../src/workshop.ts';
import type { Cluster } from '../cluster.ts';

export interface AssemblyOptions {
  readonly platforms?: readonly string[];
  readonly maxLayers?: number;
  readonly buildArguments?: Readonly<Record<string, string>>;
  /** The base that an engine has made of the build file. */
  readonly made?: string;
}

/** The cluster image of the cluster's context. */
export async function assembled(
  { root, store, lockfile }: Cluster,
  options: AssemblyOptions = {},
): Promise<VirtualImage> {
  const { platforms = ['linux/amd64'], maxLayers = 100, buildArguments = {} } = options;
  const kubefile = await findKubefile(directory(root));
  if (!kubefile) throw new Error('no build file');
  return assemble(
    {
      name: 'a.io/cluster:1',
      kubefile,
      source: await contextSource((skip) => directory(root, skip), '', ['registry/docker']),
      lockfile,
      platforms: platforms.map(parsePlatform),
      buildArguments,
      maxLayers,
      made: options.made,
    },
    storeDepot(store, new AbortController().signal),
    createContext(),
  );
}

/** The manifest for one platform, or the only one. */
export function manifestIn(image: VirtualImage, at = 0): ImageManifest {
  const { root } = image;
  const digest = root.kind === 'index' ? root.manifests[at]?.digest : root.digest;
  const found = digest && image.manifests.get(digest);
  if (found?.kind === 'image') return found;
  throw new Error('no such manifest');
}

export function configIn(image: VirtualImage, manifest = manifestIn(image)): ImageConfig {
  const body = image.configs.get(manifest.config.digest);
  if (!body) throw new Error('no config');
  return parseConfig(body, manifest.config.digest, 'the cluster image');
}

/** What the image unpacks to. */
export async function unpacked(
  image: VirtualImage,
  { store }: Pick<Cluster, 'store'>,
  manifest = manifestIn(image),
): Promise<Tree> {
  const registry = virtualRegistry(image, store.blobs);
  return imageTree(
    manifest,
    ({ digest, size }) => registry.blob(soleRepository, digest, size),
    'the cluster image',
  );
}

/** Every file of a tree below a directory, with what is in it in hexadecimal. */
export async function filesOf(tree: Tree, below = ''): Promise<ReadonlyMap<string, string>> {
  const files = new Map<string, string>();
  for await (const entry of tree.entries(below)) {
    if (entry.type !== 'file') continue;
    const body = await readAll(entry.content, entry.content.size);
    files.set(
      entry.path.slice(below === '' ? 0 : below.length + 1),
      Buffer.from(body).toString('hex'),
    );
  }
  return files;
}
