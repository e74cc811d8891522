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
  return remembered(async (path) => textOf(join(workspaceRoot, path)));
}

/** Whether there is a file in the workspace. Each is looked for once. */
export function finder(workspaceRoot: string): (path: string) => boolean {
  return remembered((path) => existsSync(join(workspaceRoot, path)));
}

/** A function that is asked for the same again and again, and works it out once; never for undefined. */
export function remembered<Key, Value>(
  workOut: (key: Key) => NonNullable<Value>,
): (key: Key) => NonNullable<Value> {
  const known = new Map<Key, NonNullable<Value>>();
  return (key) => {
    const found = known.get(key) ?? workOut(key);
    known.set(key, found);
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
