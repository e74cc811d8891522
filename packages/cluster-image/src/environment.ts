import { homedir } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';

/** What a process knows of where it runs. Only the command and the Nx plugin read it from the process. */
export interface Environment {
  /** Paths that are not absolute are relative to this directory. */
  readonly cwd: string;
  readonly variables: Readonly<Record<string, string | undefined>>;
}

export function resolvePath({ cwd }: Environment, path: string): string {
  return resolve(cwd, path);
}

/** The content store's directory: outside of every workspace, since all of them share it. */
export function storePath(environment: Environment, given: string | undefined): string {
  const { variables } = environment;
  const chosen = given ?? variables.CLUSTER_IMAGE_STORE;
  if (chosen) return resolvePath(environment, chosen);
  const { XDG_CACHE_HOME: cache = '' } = variables;
  return join(isAbsolute(cache) ? cache : join(homeOf(environment), '.cache'), 'cluster-image');
}

export function homeOf({ variables }: Environment): string {
  return variables.HOME || variables.USERPROFILE || homedir();
}
