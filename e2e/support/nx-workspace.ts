import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { type Ran, root, run, succeed } from './run.ts';

/** A throw-away Nx workspace with the packages of this repository installed as they are published. */
export interface NxWorkspace {
  readonly root: string;
  /** Runs nx, which has to succeed, and returns what it printed, without colours. */
  nx(args: readonly string[], env?: Readonly<Record<string, string>>): Promise<string>;
  /** Runs nx to its end, whatever that is. */
  attempt(args: readonly string[], env?: Readonly<Record<string, string>>): Promise<Ran>;
  write(files: Readonly<Record<string, string>>): Promise<void>;
  read(path: string): Promise<string>;
  git(...args: readonly string[]): Promise<string>;
}

/**
 * Nx of another version than this repository's: `NX_VERSION=24.0.6`, and where the packages differ
 * `NX_DEVKIT_VERSION`.
 */
async function versionOf(name: string, chosen: string | undefined): Promise<string> {
  if (chosen !== undefined) return chosen;
  const manifest = await readFile(join(root, 'node_modules', name, 'package.json'), 'utf8');
  return JSON.parse(manifest).version;
}

/** Packs the packages, once for all workspaces of a test file. */
export async function packPackages(work: string): Promise<readonly string[]> {
  const packages = join(work, 'packages');
  await mkdir(packages, { recursive: true });
  await succeed('npm', ['pack', '--workspaces', '--pack-destination', packages, '--silent']);
  return (await readdir(packages))
    .filter((name) => !/testing|helm/.test(name))
    .map((name) => join(packages, name));
}

/**
 * @param directory where it goes; its caches and its store lie beside it
 * @param plugins other packages of Nx, at the same version
 */
export async function newNxWorkspace(
  directory: string,
  tarballs: readonly string[],
  plugins: readonly string[] = [],
): Promise<NxWorkspace> {
  const { NX_VERSION, NX_DEVKIT_VERSION = NX_VERSION } = process.env;
  const nxVersion = await versionOf('nx', NX_VERSION);
  const devkitVersion = await versionOf('@nx/devkit', NX_DEVKIT_VERSION);
  const environment = {
    NX_DAEMON: 'false',
    NX_TUI: 'false',
    NX_CACHE_DIRECTORY: `${directory}-nx-cache`,
    // Nx remembers beside the cache what is in it; the one without the other restores nothing.
    NX_WORKSPACE_DATA_DIRECTORY: `${directory}-nx-data`,
    CLUSTER_IMAGE_STORE: `${directory}-store`,
    PATH: `${join(root, 'node_modules/.bin')}:${process.env.PATH}`,
  };
  const options = { cwd: directory, env: environment };
  const cli = join(directory, 'node_modules/nx/dist/bin/nx.js');
  const workspace: NxWorkspace = {
    root: directory,
    async attempt(args, env = {}) {
      const ran = await run(process.execPath, [cli, ...args], {
        cwd: directory,
        env: { ...environment, ...env },
      });
      return { ...ran, stdout: stripVTControlCharacters(ran.stdout) };
    },
    async nx(args, env) {
      const { code, stdout, stderr } = await workspace.attempt(args, env);
      if (code === 0) return stdout;
      throw new Error(`nx ${args.join(' ')} ended with ${code}\n${stdout}\n${stderr}`);
    },
    async write(files) {
      for (const [path, text] of Object.entries(files)) {
        await mkdir(dirname(join(directory, path)), { recursive: true });
        await writeFile(join(directory, path), text);
      }
    },
    read: (path) => readFile(join(directory, path), 'utf8'),
    git: (...args) =>
      succeed('git', ['-c', 'user.name=e2e', '-c', 'user.email=e2e@example', ...args], options),
  };
  await workspace.write({
    'package.json': '{ "name": "workspace", "private": true }\n',
    'nx.json': '{ "neverConnectToCloud": true, "analytics": false }\n',
    '.gitignore': 'node_modules\n.nx\ndist\n',
  });
  await workspace.git('init', '-q', '-b', 'main');
  const flags = ['--prefer-offline', '--ignore-scripts', '--no-audit', '--no-fund'];
  const packages = [
    `nx@${nxVersion}`,
    `@nx/devkit@${devkitVersion}`,
    // The last of them that can be installed; it goes with Nx 24 as well.
    ...plugins.map((name) => `${name}@${nxVersion.startsWith('24.') ? '23.2.1' : devkitVersion}`),
    ...tarballs,
  ];
  await succeed('npm', ['install', '-D', ...flags, ...packages], options);
  return workspace;
}

/** The tasks that Nx tells of with `--outputStyle=stream`, and whether their results came from its cache. */
export function tasksIn(printed: string): Readonly<Record<string, 'run' | 'cached'>> {
  const lines = printed.matchAll(/^> nx run (\S+:\S+)(?: +\[(.+?)\])?/gm);
  return Object.fromEntries(
    // A target with a colon in its name is told in quotes.
    [...lines].map(([, task = '', how]) => [
      task.replaceAll('"', ''),
      how === undefined ? 'run' : 'cached',
    ]),
  );
}
