import { homedir } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';
import { OciError } from '@cluster-image/oci';

/** What a process knows of where it runs. Only the command and the Nx plugin read it from the process. */
export interface Environment {
  /** Paths that are not absolute are relative to this directory. */
  readonly cwd: string;
  readonly variables: Readonly<Record<string, string | undefined>>;
}

export function resolvePath({ cwd }: Environment, path: string): string {
  return resolve(cwd, path);
}

/**
 * The content store's directory: outside of every workspace, since all of them share it. Throws USAGE
 * where nothing says where that is.
 */
export function storePath(environment: Environment, given: string | undefined): string {
  const { variables } = environment;
  const chosen = given || variables.CLUSTER_IMAGE_STORE;
  if (chosen) return resolvePath(environment, chosen);
  const { XDG_CACHE_HOME: cache = '' } = variables;
  if (isAbsolute(cache)) return join(cache, 'cluster-image');
  const home = homeOf(environment);
  if (home !== undefined) return join(resolvePath(environment, home), '.cache/cluster-image');
  throw new OciError('USAGE', 'there is no place for the content store: no home directory', {
    hint: 'Set CLUSTER_IMAGE_STORE or HOME, or give --store.',
  });
}

/** Undefined for a user without one, as in containers that run as a number. */
export function homeOf({ variables }: Environment): string | undefined {
  return variables.HOME || variables.USERPROFILE || homeOfUser();
}

function homeOfUser(): string | undefined {
  try {
    return homedir() || undefined;
  } catch {
    return undefined;
  }
}
