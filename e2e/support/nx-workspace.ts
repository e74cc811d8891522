import { mkdir, readFile, utimes, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { inject } from 'vitest';
import { installFlags, installInto } from './nx-template.ts';
import { type NxVersion, nxVersion } from './nx-versions.ts';
import { type Ran, root, run, succeed } from './run.ts';
import { answering } from './terminal.ts';

/** A throw-away Nx workspace with the packages of this repository installed as they are published. */
export interface NxWorkspace {
  readonly root: string;
  /** Runs nx, which has to succeed, and returns what it printed, without colours. */
  nx(args: readonly string[], env?: Readonly<Record<string, string>>): Promise<string>;
  /** Runs nx to its end, whatever that is. */
  attempt(args: readonly string[], env?: Readonly<Record<string, string>>): Promise<Ran>;
  /** Runs nx in a terminal, with an answer to what it asks. */
  answer(args: readonly string[], question: string, answer: string): Promise<string>;
  /** Runs npm, which has to succeed. */
  npm(...args: readonly string[]): Promise<string>;
  write(files: Readonly<Record<string, string>>): Promise<void>;
  read(path: string): Promise<string>;
  git(...args: readonly string[]): Promise<string>;
}

export interface NxWorkspaceOptions {
  readonly version?: NxVersion;
  /** Other packages, at versions of their own. */
  readonly packages?: readonly string[];
  /** The Node that runs Nx, as a path in the workspace; else that of the tests. */
  readonly node?: string;
}

/** @param directory where it goes; its caches and its store lie beside it */
export async function newNxWorkspace(
  directory: string,
  { version = nxVersion, packages = [], node }: NxWorkspaceOptions = {},
): Promise<NxWorkspace> {
  const program = node === undefined ? process.execPath : join(directory, node);
  const environment = {
    NX_DAEMON: 'false',
    NX_TUI: 'false',
    // It prints otherwise, and asks nothing, where it finds that it is in one.
    CI: 'false',
    NX_CACHE_DIRECTORY: `${directory}-nx-cache`,
    // Nx remembers beside the cache what is in it; the one without the other restores nothing.
    NX_WORKSPACE_DATA_DIRECTORY: `${directory}-nx-data`,
    CLUSTER_IMAGE_STORE: `${directory}-store`,
    // Nx runs itself again, by way of npx.
    PATH: [dirname(program), join(root, 'node_modules/.bin'), process.env.PATH].join(':'),
  };
  const options = { cwd: directory, env: environment };
  const cli = join(directory, 'node_modules/nx/dist/bin/nx.js');
  let clock = 1_000_000_000;
  const workspace: NxWorkspace = {
    root: directory,
    async attempt(args, env = {}) {
      const ran = await run(program, [cli, ...args], {
        cwd: directory,
        env: { ...environment, ...env },
      });
      const { stdout, stderr } = ran;
      const plain = stripVTControlCharacters;
      return { ...ran, stdout: plain(stdout), stderr: plain(stderr) };
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
        // Nx knows a file by its second, and does not see one that changes twice in it.
        clock += 1;
        await utimes(join(directory, path), clock, clock);
      }
    },
    answer: (args, question, answer) =>
      answering([program, cli, ...args].join(' '), question, answer, {
        cwd: directory,
        // Nx asks nothing where this is set.
        env: { ...environment, CI: undefined },
      }),
    npm: (...args) => succeed('npm', [...args, ...installFlags], options),
    read: (path) => readFile(join(directory, path), 'utf8'),
    git: (...args) =>
      succeed('git', ['-c', 'user.name=e2e', '-c', 'user.email=e2e@example', ...args], options),
  };
  await workspace.write({
    'nx.json': '{ "neverConnectToCloud": true, "analytics": false }\n',
    '.gitignore': 'node_modules\n.nx\ndist\n',
  });
  await installInto(directory, inject('shared'), version, packages);
  await workspace.git('init', '-q', '-b', 'main');
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
