import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';

/** A directory for the tests of a file, gone after all else that is to be done then. */
export function workDirectory(): string {
  const path = mkdtempSync(join(tmpdir(), 'cluster-image-e2e-'));
  afterAll(() => rm(path, { recursive: true, force: true }));
  return path;
}
