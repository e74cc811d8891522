import { posix } from 'node:path';
import { OciError, type RegistryReader, type Tree } from '@cluster-image/oci';
import { archive } from '@cluster-image/storage';
import { type EngineLocation, type Engines, isInEngine } from './engines/engines.ts';
import { followed } from './follow.ts';
import { parseLocation } from './location.ts';

/** Where images are that a context does not take from a registry. */
export interface ArchiveSources {
  /** The context, which archives lie in. */
  readonly tree: Tree;
  /** The container engines of this machine. */
  readonly engines: Engines;
}

/**
 * Opens what a context says of an image that comes from no registry: `docker-archive:PATH[:NAME]` and
 * `oci-archive:PATH[:NAME]` of the context, `docker-daemon:NAME` and `containers-storage:NAME` of this machine.
 * Its one repository is `''`.
 */
export async function openArchive(
  location: string,
  { tree, engines }: ArchiveSources,
): Promise<RegistryReader> {
  const inEngine = engineLocation(location);
  if (inEngine) return engines.read(inEngine, 'plain');
  const [, path = ''] = location.split(':');
  const file = await followed(tree, posix.normalize(path));
  if (file) return archive(file.content, path);
  throw new OciError('NOT_FOUND', `there is no archive ${path} in the context`);
}

/** Lets go of what it took to open it. */
export async function releaseArchive(location: string, { engines }: ArchiveSources): Promise<void> {
  const inEngine = engineLocation(location);
  if (inEngine) await engines.release(inEngine);
}

function engineLocation(text: string): EngineLocation | undefined {
  if (!/^(?:docker-daemon|containers-storage):/.test(text)) return undefined;
  const location = parseLocation(text);
  return isInEngine(location) ? location : undefined;
}
