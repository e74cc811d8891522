import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import { parentPort } from 'node:worker_threads';

/** Bytes to hash: given, or all of a file's, which has to have that size. */
export type Segment = Uint8Array | { readonly path: string; readonly size: number };

/** Bytes read at a time. The buffer is this thread's own and used again and again. */
const buffer = new Uint8Array(1024 * 1024);

/** In hexadecimal; undefined where a file is not what it should be. */
function digest(segments: readonly Segment[]): string | undefined {
  const hash = createHash('sha256');
  try {
    for (const segment of segments) {
      if (segment instanceof Uint8Array) hash.update(segment);
      else hashFile(segment.path, segment.size, (chunk) => hash.update(chunk));
    }
  } catch {
    return undefined;
  }
  return hash.digest('hex');
}

function hashFile(path: string, size: number, update: (chunk: Uint8Array) => void): void {
  const file = openSync(path, 'r');
  try {
    let at = 0;
    for (;;) {
      const read = readSync(file, buffer, 0, buffer.length, null);
      if (read === 0) break;
      at += read;
      update(buffer.subarray(0, read));
    }
    if (at !== size) throw new Error(`${at} bytes where ${size} were expected`);
  } finally {
    closeSync(file);
  }
}

parentPort?.on('message', (segments: readonly Segment[]) => {
  parentPort?.postMessage(digest(segments));
});
