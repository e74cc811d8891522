import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { temporaryDirectory } from '@cluster-image/testing';
import { afterAll } from 'vitest';

/** A directory that is filled once, and copied for every test that asks for it. */
export function template(fill: (root: string) => Promise<void>): () => Promise<string> {
  const root = mkdtempSync(join(tmpdir(), 'cluster-image-'));
  afterAll(() => rmSync(root, { recursive: true }));
  let filled: Promise<void> | undefined;
  return async () => {
    filled ??= fill(root);
    await filled;
    const copy = await temporaryDirectory();
    cpSync(root, copy, { recursive: true });
    return copy;
  };
}
