import { existsSync, lstatSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Reads a file of the workspace; undefined for one that is not there or cannot be read. */
export type ReadText = (path: string) => Promise<string | undefined>;

/**
 * Each file is read once, however many ask, and at once: nothing else waits in the process of a plugin,
 * and many small files take half the time. The graph is there for all projects or none, so what is wrong
 * with a file is left for the tasks of its own project to tell.
 */
export function reader(workspaceRoot: string): ReadText {
  const known = new Map<string, string | undefined>();
  return async (path) => {
    if (!known.has(path)) known.set(path, textOf(join(workspaceRoot, path)));
    return known.get(path);
  };
}

/** Whether there is a file in the workspace. Each is looked for once. */
export function finder(workspaceRoot: string): (path: string) => boolean {
  const known = new Map<string, boolean>();
  return (path) => {
    const found = known.get(path) ?? existsSync(join(workspaceRoot, path));
    known.set(path, found);
    return found;
  };
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

/** Whether there is a symbolic link at a path of the workspace. */
export function isLinkIn(workspaceRoot: string): (path: string) => boolean {
  return (path) => {
    try {
      const found = lstatSync(join(workspaceRoot, path), { throwIfNoEntry: false });
      return found?.isSymbolicLink() ?? false;
    } catch {
      return false;
    }
  };
}
