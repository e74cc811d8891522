import { type AnyVerb, callable } from './verb.ts';

/** Everything the command can do, in the order of its help; each is loaded when it is called. */
export const verbs: ReadonlyMap<string, () => Promise<AnyVerb>> = new Map([
  ['init', async () => callable((await import('./init.ts')).initVerb)],
  ['discover', async () => callable((await import('./discover.ts')).discoverVerb)],
  ['lock', async () => callable((await import('./lock.ts')).lockVerb)],
  ['cache', async () => callable((await import('./cache.ts')).cacheVerb)],
  ['sync', async () => callable((await import('./sync.ts')).syncVerb)],
  ['build', async () => callable((await import('./build.ts')).buildVerb)],
  ['index', async () => callable((await import('./image-index.ts')).indexVerb)],
  ['push', async () => callable((await import('./transfer.ts')).pushVerb)],
  ['pull', async () => callable((await import('./transfer.ts')).pullVerb)],
  ['save', async () => callable((await import('./transfer.ts')).saveVerb)],
  ['load', async () => callable((await import('./transfer.ts')).loadVerb)],
  ['copy', async () => callable((await import('./transfer.ts')).copyVerb)],
  ['serve', async () => callable((await import('./serve.ts')).serveVerb)],
  ['with-registry', async () => callable((await import('./with-registry.ts')).withRegistryVerb)],
  ['cache-server', async () => callable((await import('./cache-server.ts')).cacheServerVerb)],
  ['inspect', async () => callable((await import('./inspect.ts')).inspectVerb)],
  ['verify', async () => callable((await import('./verify.ts')).verifyVerb)],
  ['prune', async () => callable((await import('./prune.ts')).pruneVerb)],
]);
