import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Content } from '@cluster-image/oci';
import { storedFile } from './file.ts';
import { nodeFileSystem, onDisk } from './file-system.ts';
import { saveFile } from './file-writer.ts';

/**
 * Does something with contents as files, for programs that read nothing else. Those that a store keeps
 * are its own files, others are temporary ones that are removed afterwards. No file is to be written.
 */
export async function asFiles<T>(
  contents: ReadonlyMap<string, Content>,
  job: (paths: ReadonlyMap<string, string>) => Promise<T>,
): Promise<T> {
  const paths = new Map<string, string>();
  let scratch: string | undefined;
  try {
    for (const [name, content] of contents) {
      const stored = storedFile(content)?.path;
      scratch ??= stored === undefined ? await scratchDirectory() : undefined;
      const path = stored ?? join(scratch ?? '', String(paths.size));
      if (stored === undefined) await saveFile(path, content);
      paths.set(name, path);
    }
    return await job(paths);
  } finally {
    if (scratch !== undefined) await rm(scratch, { recursive: true, force: true });
  }
}

function scratchDirectory(): Promise<string> {
  const prefix = join(tmpdir(), 'cluster-image-');
  return onDisk(nodeFileSystem, prefix, () => mkdtemp(prefix));
}
