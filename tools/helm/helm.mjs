#!/usr/bin/env node
// Stands for helm on the PATH of npm scripts and of npx, so that a machine with only Node and npm can
// render charts. Elsewhere than on linux/amd64 it gives way to the helm that is installed.
import { spawnSync } from 'node:child_process';
import { access } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { binary } from './binaries.mjs';

const isOurs = process.platform === 'linux' && process.arch === 'x64';
const helm = isOurs ? await binary('helm') : await installed();
if (!helm) {
  console.error('helm is not installed: https://helm.sh/docs/intro/install/');
  process.exit(127);
}
const { status, signal } = spawnSync(helm, process.argv.slice(2), { stdio: 'inherit' });
process.exit(status ?? (signal ? 128 : 1));

async function installed() {
  const isHere = (directory) => directory.endsWith(join('node_modules', '.bin'));
  for (const directory of (process.env.PATH ?? '').split(delimiter)) {
    if (directory === '' || isHere(directory)) continue;
    const path = join(directory, 'helm');
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
