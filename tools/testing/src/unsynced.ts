import { type FileSystem, nodeFileSystem } from '@cluster-image/storage';

/** The real file system, taken at its word: for tests of what is written and not of what lasts. */
export const unsynced: FileSystem = {
  ...nodeFileSystem,
  async open(path, flags, mode) {
    const handle = await nodeFileSystem.open(path, flags, mode);
    return {
      chmod: (mode) => handle.chmod(mode),
      close: () => handle.close(),
      read: (buffer, offset, length, position) => handle.read(buffer, offset, length, position),
      stat: () => handle.stat(),
      sync: async () => {},
      truncate: (size) => handle.truncate(size),
      writeFile: (data) => handle.writeFile(data),
      writev: (chunks) => handle.writev(chunks),
    };
  },
};
