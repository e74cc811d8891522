import { chmod, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { temporaryDirectory } from '@cluster-image/testing';

/** A PATH on which a program of that name is this shell script, before everything else. */
export async function pathWith(name: string, script: string): Promise<string> {
  const directory = await temporaryDirectory();
  const program = join(directory, name);
  await writeFile(program, `#!/bin/sh\n${script}\n`);
  await chmod(program, 0o755);
  return [directory, process.env.PATH].join(delimiter);
}
