import { type Context, OciError } from '@cluster-image/oci';
import { layoutPaths, openStore, type Store } from '@cluster-image/storage';
import { parseLocation } from '../location.ts';
import type { Workspace } from '../workspace.ts';
import type { Shelf } from './artifacts.ts';
import { claims } from './claims.ts';

/** The repository in a registry directory. */
export const cacheRepository = 'cache';

/** A shelf, and what keeps it if it is a directory. */
export interface OpenShelf {
  readonly shelf: Shelf;
  readonly store?: Store;
}

/** Where `docker://HOST/REPOSITORY` or `registry:DIR` says. Throws USAGE for anything else. */
export function openShelf(text: string, workspace: Workspace): OpenShelf {
  const location = parseLocation(text);
  if (location.kind === 'registry') {
    const store = openStore(workspace.path(location.path));
    return { shelf: inDirectory(store, workspace.context), store };
  }
  if (location.kind === 'docker') {
    const { host, repository } = location.reference;
    const isRepository = !/[:@][^/]*$/.test(text.slice(text.lastIndexOf('/')));
    if (isRepository) return { shelf: inRegistry(host, repository, workspace) };
  }
  throw new OciError('USAGE', `${text} is no place for a cache`, {
    hint: 'Write docker://HOST/REPOSITORY for a registry, or registry:DIR for a directory.',
  });
}

/** A directory that is used as a store is: what was asked for last goes last. */
function inDirectory(store: Store, context: Context): Shelf {
  const { registry } = store;
  const repository = cacheRepository;
  return {
    registry,
    repository,
    spool: registry,
    claim: (manifest, tag) => registry.claimTag(repository, manifest, tag),
    async fetch(tag) {
      const found = await registry.resolve(repository, tag);
      return found && registry.manifest(repository, found.digest);
    },
    async storing(job) {
      const use = await store.use(context);
      try {
        return await job();
      } finally {
        await use.end();
      }
    },
    async discard(manifest, layer) {
      await registry.removeManifest(repository, manifest);
      await registry.removeBlob(repository, layer);
      await registry.disk.remove(registry.disk.path(layoutPaths.blob(layer)));
      return true;
    },
  };
}

function inRegistry(host: string, repository: string, { network, store }: Workspace): Shelf {
  const registry = network.registry(host);
  return {
    registry,
    repository,
    spool: store.registry,
    claim: claims(registry, repository),
    fetch: (tag) => registry.fetch(repository, tag),
    storing: (job) => job(),
    discard: async () => false,
  };
}
