import {
  type Context,
  createContext,
  parsePlatform,
  type Registry,
  type RegistryReader,
} from '@cluster-image/oci';
import { directory, openStore, type Store } from '@cluster-image/storage';
import { type ImageFixture, temporaryDirectory } from '@cluster-image/testing';
import { type Cached, cache } from '../src/cache.ts';
import type { Discovery } from '../src/discover/discovery.ts';
import { lock } from '../src/lock/lock.ts';
import type { Lockfile } from '../src/lock/lockfile.ts';
import { contextDirectory } from './context.ts';
import { discoveryOf, noEngines, upstreamOf, watched } from './upstream.ts';

export interface ClusterOptions {
  readonly bases?: readonly string[];
  readonly platforms?: readonly string[];
  /** Those that the context refers to; all images by default. */
  readonly discovery?: Discovery;
  /** The context. */
  readonly root?: string;
}

/** A store that is empty at first, its upstream, and a lockfile that pins what lies there. */
export interface Cluster {
  readonly upstream: Registry;
  /** What was asked of the upstream. */
  readonly calls: string[];
  readonly store: Store;
  readonly lockfile: Lockfile;
  readonly root: string;
  /** Fills the store, from another upstream and into another store if need be. */
  fill(options?: FillOptions): Promise<Cached>;
}

export interface FillOptions {
  readonly upstream?: RegistryReader;
  readonly store?: Store;
  readonly context?: Context;
}

export async function emptyStore(): Promise<Store> {
  return openStore(await temporaryDirectory());
}

export async function clusterOf(
  images: Readonly<Record<string, ImageFixture>>,
  options: ClusterOptions = {},
): Promise<Cluster> {
  const { bases = [], platforms = ['linux/amd64'] } = options;
  const root = options.root ?? (await contextDirectory({}));
  const tree = directory(root);
  const upstream = await upstreamOf(images);
  const referred = Object.keys(images).filter((reference) => !bases.includes(reference));
  const discovery = options.discovery ?? discoveryOf(referred, bases);
  const lockfile = await lock(
    discovery,
    undefined,
    { upstream, tree, engines: noEngines },
    { platforms: platforms.map(parsePlatform), update: [] },
    createContext(),
  );
  const calls: string[] = [];
  const store = await emptyStore();
  return {
    upstream,
    calls,
    store,
    lockfile,
    root,
    fill: (given = {}) =>
      cache(
        lockfile,
        given.store ?? store,
        { upstream: watched(given.upstream ?? upstream, calls), tree, engines: noEngines },
        given.context ?? createContext(),
      ),
  };
}
