import { basename, dirname } from 'node:path';
import type { FileHandle, FileStatus, FileSystem } from '../src/file-system.ts';

/**
 * A disk in memory that knows what would be left of it after a loss of power: bytes of a file last
 * from the moment the file is synced, names in a directory from the moment the directory is.
 */
export interface SimulatedDisk {
  readonly fs: FileSystem;
  copy(): SimulatedDisk;
  /**
   * What a loss of power at this moment leaves. Names that were not synced may or may not last, as
   * `lasts` says for each directory; bytes that were not synced are gone.
   */
  afterPowerLoss(lasts: () => boolean): SimulatedDisk;
}

type Node = FileNode | DirectoryNode | LinkNode;

interface FileNode {
  readonly kind: 'file';
  mode: number;
  modified: number;
  data: Buffer;
  synced: Buffer;
}

interface DirectoryNode {
  readonly kind: 'directory';
  mode: number;
  names: Map<string, Node>;
  synced: ReadonlyMap<string, Node>;
}

interface LinkNode {
  readonly kind: 'link';
  readonly mode: number;
  readonly target: string;
}

export function simulatedDisk(
  root: DirectoryNode = newDirectory(0o755),
  split = splitter(),
): SimulatedDisk {
  function find(path: string): Node | undefined {
    let at: Node | undefined = root;
    for (const name of split(path)) {
      if (at?.kind === 'file') throw errno('ENOTDIR', path);
      at = at?.kind === 'directory' ? at.names.get(name) : undefined;
    }
    return at;
  }

  function get(path: string): Node {
    const found = find(path);
    if (!found) throw errno('ENOENT', path);
    return found;
  }

  function directoryAt(path: string): DirectoryNode {
    const found = get(path);
    if (found.kind !== 'directory') throw errno('ENOTDIR', path);
    return found;
  }

  function fileAt(path: string): FileNode {
    const found = get(path);
    if (found.kind === 'directory') throw errno('EISDIR', path);
    if (found.kind === 'link') throw errno('ELOOP', path);
    return found;
  }

  function add(path: string, node: Node): void {
    const { names } = directoryAt(dirname(path));
    if (names.has(basename(path))) throw errno('EEXIST', path);
    names.set(basename(path), node);
  }

  const fs: FileSystem = {
    async chmod(path, mode) {
      const found = get(path);
      if (found.kind !== 'link') found.mode = mode;
    },
    link: async (existing, path) => add(path, fileAt(existing)),
    lstat: async (path) => statusOf(get(path)),
    async mkdir(path) {
      let first: string | undefined;
      let at = '';
      for (const name of split(path)) {
        const { names } = directoryAt(at);
        at += `/${name}`;
        if (names.has(name)) continue;
        names.set(name, newDirectory(0o700));
        first ??= at;
      }
      directoryAt(path);
      return first;
    },
    async open(path, flags, mode = 0o666) {
      if (flags !== 'r' && !find(path)) add(path, newFile(mode & 0o700));
      else if (flags.includes('x')) throw errno('EEXIST', path);
      const node = get(path);
      if (flags === 'r' && node.kind === 'directory') return directoryHandle(path, node);
      const file = fileAt(path);
      if (flags !== 'r' && !(file.mode & 0o200)) throw errno('EACCES', path);
      return fileHandle(file);
    },
    async opendir(path) {
      const names = [...directoryAt(path).names.keys()];
      return (async function* () {
        for (const name of names) yield { name };
      })();
    },
    async utimes(path, _, modified) {
      fileAt(path).modified = modified;
    },
    readFile: async (path) => fileAt(path).data.toString(),
    async readlink(path) {
      const found = get(path);
      if (found.kind !== 'link') throw errno('EINVAL', path);
      return found.target;
    },
    async rename(from, to) {
      const source = get(from);
      const { names } = directoryAt(dirname(to));
      if (names.get(basename(to))?.kind === 'directory') throw errno('EISDIR', to);
      if (names.get(basename(to)) === source) return;
      directoryAt(dirname(from)).names.delete(basename(from));
      names.set(basename(to), source);
    },
    async rm(path, { recursive }) {
      const found = find(path);
      if (found?.kind === 'directory' && !recursive) throw errno('EISDIR', path);
      if (found) directoryAt(dirname(path)).names.delete(basename(path));
    },
    async rmdir(path) {
      if (directoryAt(path).names.size > 0) throw errno('ENOTEMPTY', path);
      directoryAt(dirname(path)).names.delete(basename(path));
    },
    stat: async (path) => statusOf(get(path)),
    async statfs(path) {
      get(path);
      return { bavail: 5, bsize: 4096 };
    },
    symlink: async (target, path) => add(path, { kind: 'link', mode: 0o777, target }),
  };

  return {
    fs,
    copy: () =>
      simulatedDisk(
        copyDirectory(
          root,
          ({ names }) => names,
          ({ data }) => data,
        ),
        split,
      ),
    afterPowerLoss: (lasts) =>
      simulatedDisk(
        copyDirectory(
          root,
          (directory) => (lasts() ? directory.names : directory.synced),
          ({ synced }) => synced,
        ),
        split,
      ),
  };
}

function fileHandle(file: FileNode): FileHandle {
  const append = (chunks: readonly Uint8Array[]): void => {
    file.data = Buffer.concat([file.data, ...chunks]);
  };
  return {
    async chmod(mode) {
      file.mode = mode;
    },
    async close() {},
    async read(buffer, offset, length, position) {
      const part = file.data.subarray(position, position + length);
      buffer.set(part, offset);
      return { bytesRead: part.length };
    },
    stat: async () => statusOf(file),
    async sync() {
      file.synced = file.data;
    },
    async truncate(size) {
      file.data = file.data.subarray(0, size);
    },
    writeFile: async (data) => append([data]),
    async writev(chunks) {
      append(chunks);
      return { bytesWritten: chunks.reduce((sum, chunk) => sum + chunk.length, 0) };
    },
  };
}

function directoryHandle(path: string, directory: DirectoryNode): FileHandle {
  const refuse = async (): Promise<never> => {
    throw errno('EISDIR', path);
  };
  return {
    chmod: refuse,
    async close() {},
    read: refuse,
    stat: async () => statusOf(directory),
    async sync() {
      directory.synced = new Map(directory.names);
    },
    truncate: refuse,
    writeFile: refuse,
    writev: refuse,
  };
}

function newFile(mode: number, data: Buffer = Buffer.alloc(0)): FileNode {
  return { kind: 'file', mode, modified: 1, data, synced: Buffer.alloc(0) };
}

function newDirectory(mode: number): DirectoryNode {
  return { kind: 'directory', mode, names: new Map(), synced: new Map() };
}

/** The tree as it is given, all of it synced. */
function copyDirectory(
  directory: DirectoryNode,
  namesOf: (directory: DirectoryNode) => ReadonlyMap<string, Node>,
  dataOf: (file: FileNode) => Buffer,
  copies = new Map<Node, Node>(),
): DirectoryNode {
  const names = new Map<string, Node>();
  for (const [name, node] of namesOf(directory)) {
    const known = copies.get(node) ?? copyNode(node);
    copies.set(node, known);
    names.set(name, known);
  }
  return { kind: 'directory', mode: directory.mode, names, synced: new Map(names) };

  function copyNode(node: Node): Node {
    if (node.kind === 'link') return node;
    if (node.kind === 'directory') return copyDirectory(node, namesOf, dataOf, copies);
    const data = dataOf(node);
    return { kind: 'file', mode: node.mode, modified: node.modified, data, synced: data };
  }
}

function statusOf(node: Node): FileStatus {
  return {
    size: node.kind === 'file' ? node.data.length : 0,
    mode: node.mode,
    ctimeMs: Date.now(),
    mtimeMs: node.kind === 'file' ? node.modified : Date.now(),
    nlink: 1,
    blocks: node.kind === 'file' ? Math.ceil(node.data.length / 512) : 0,
    isFile: () => node.kind === 'file',
    isDirectory: () => node.kind === 'directory',
    isSymbolicLink: () => node.kind === 'link',
  };
}

function errno(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: simulated, '${path}'`), { code });
}

/** The names in a path; the same paths are asked for thousands of times. */
function splitter(): (path: string) => readonly string[] {
  const known = new Map<string, readonly string[]>();
  return (path) => {
    const names = known.get(path) ?? path.split('/').filter(Boolean);
    known.set(path, names);
    return names;
  };
}
