import { type FileSystem, nodeFileSystem } from '@cluster-image/storage';

/** The real file system, counting the calls that are made of it by name. */
export function countingFileSystem(): { readonly fs: FileSystem; readonly calls: Counts } {
  const calls: Counts = new Map();
  const counted =
    <A extends readonly unknown[], R>(name: string, operation: (...given: A) => R) =>
    (...given: A): R => {
      calls.set(name, (calls.get(name) ?? 0) + 1);
      return operation(...given);
    };
  const { lstat, open, readFile, stat } = nodeFileSystem;
  return {
    fs: {
      ...nodeFileSystem,
      lstat: counted('lstat', lstat),
      open: counted('open', open),
      readFile: counted('readFile', readFile),
      stat: counted('stat', stat),
    },
    calls,
  };
}

export type Counts = Map<string, number>;
