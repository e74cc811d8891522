import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Reads a file of the workspace; undefined for one that is not there or cannot be read. */
export type ReadText = (path: string) => Promise<string | undefined>;

/**
 * Each file is read once, however many ask. The graph is there for all projects or none, so what is
 * wrong with a file is left for the tasks of its own project to tell.
 */
export function reader(workspaceRoot: string): ReadText {
  const known = new Map<string, Promise<string | undefined>>();
  return (path) => {
    const found =
      known.get(path) ?? readFile(join(workspaceRoot, path), 'utf8').catch(() => undefined);
    known.set(path, found);
    return found;
  };
}
