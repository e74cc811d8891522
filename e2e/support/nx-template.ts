import { access, copyFile, mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import type { NxVersion } from './nx-versions.ts';
import { succeed } from './run.ts';

/** Neither asks nor runs anything that the tests do not need. */
export const installFlags = [
  '--prefer-offline',
  '--ignore-scripts',
  '--no-audit',
  '--no-fund',
] as const;

/**
 * The packages of this repository as they are published, packed once.
 *
 * @param shared a directory for what is made once
 */
export async function tarballs(shared: string): Promise<readonly string[]> {
  const packages = join(shared, 'packages');
  await once(packages, (place) =>
    succeed('npm', ['pack', '--workspaces', '--pack-destination', place, '--silent']),
  );
  return (await readdir(packages))
    .filter((name) => !/testing|helm/.test(name))
    .map((name) => join(packages, name));
}

/** Where the tarball of the plugin is. */
export async function pluginTarball(shared: string): Promise<string> {
  const found = (await tarballs(shared)).find((path) => /cluster-image-nx-/.test(path));
  if (found === undefined) throw new Error('the plugin has not been packed');
  return found;
}

/**
 * Installs Nx, our packages and others into a directory. They are installed once; the files of a
 * directory are links to those, which npm replaces and never writes to.
 *
 * @param shared as above
 */
export async function installInto(
  directory: string,
  shared: string,
  version: NxVersion,
  others: readonly string[],
): Promise<void> {
  const packed = await tarballs(shared);
  const name = [version.nx, ...others].join(' ').replaceAll('/', '+');
  const template = join(shared, name);
  const packages = [`nx@${version.nx}`, `@nx/devkit@${version.devkit}`, ...others, ...packed];
  await once(template, async (place) => {
    await writeFile(join(place, 'package.json'), '{ "name": "workspace", "private": true }\n');
    await succeed('npm', ['install', '-D', ...installFlags, ...packages], { cwd: place });
  });
  await succeed('cp', ['-al', join(template, 'node_modules'), directory]);
  // What npm does write to.
  const installed = 'node_modules/.package-lock.json';
  await copyFile(join(template, installed), join(directory, `${installed}.copy`));
  await rename(join(directory, `${installed}.copy`), join(directory, installed));
  const place = relative(directory, join(shared, 'packages'));
  for (const file of ['package.json', 'package-lock.json']) {
    const text = await readFile(join(template, file), 'utf8');
    await writeFile(join(directory, file), text.replaceAll('file:../packages/', `file:${place}/`));
  }
}

/** Makes a directory, unless that has been done. */
async function once(
  directory: string,
  make: (directory: string) => Promise<unknown>,
): Promise<void> {
  const isThere = await access(directory).then(
    () => true,
    () => false,
  );
  if (isThere) return;
  const unfinished = `${directory} unfinished`;
  await mkdir(unfinished, { recursive: true });
  await make(unfinished);
  await rename(unfinished, directory);
}
