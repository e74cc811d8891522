import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  interface ProvidedContext {
    /** A directory for what the tests of one run have in common. */
    shared: string;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const shared = await mkdtemp(join(tmpdir(), 'cluster-image-e2e-shared-'));
  project.provide('shared', shared);
  return () => rm(shared, { recursive: true, force: true });
}
