import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { createNodes } from '@cluster-image/nx';
import { cluster, service } from '../../e2e/support/nx-projects.ts';
import { installInto } from '../../e2e/support/nx-template.ts';
import { nxVersion } from '../../e2e/support/nx-versions.ts';
import { root, succeed } from '../../e2e/support/run.ts';
import { type Finding, type Stopwatch, stopwatch } from './stopwatch.ts';

/** How many projects are in the large workspace; a fifth of them are cluster images. */
const projects = 500;

const ours = '@cluster-image/nx';

/** A package with a plugin that finds nothing, which is what any costs: Nx runs each in a process of its own. */
const emptyPlugin = {
  'node_modules/empty-plugin/package.json':
    '{ "name": "empty-plugin", "version": "0.0.0", "main": "index.js" }',
  'node_modules/empty-plugin/index.js':
    "exports.createNodes = ['**/{Kubefile,Dockerfile,project.json}', async () => []];\n",
};

/**
 * What the plugin costs Nx with everything warm: finding the projects of a large workspace with it, with a
 * plugin that does nothing, and with none, each without Nx's daemon and, after a change, with it; and a
 * cached build beside a cached task that does nothing. Needs no other tools.
 */
export async function nx(rounds: number, work: string): Promise<readonly Finding[]> {
  console.log(`Nx ${nxVersion.nx}`);
  const watch = stopwatch();
  const large = await newWorkspace(work, 'large', largeFiles());
  await inference(rounds, large, watch, false);
  await inference(rounds, large, watch, true);
  await large.nx(['daemon', '--stop']);
  await itself(rounds, large, watch);
  await cached(rounds, await newWorkspace(work, 'small', smallFiles()), watch);
  for (const line of watch.lines()) console.log(line);
  const ratio = watch.median('cached build-image') / watch.median('cached empty target');
  return [
    {
      what: `inference itself, of ${projects} projects`,
      expected: '< 150 ms',
      measured: `${(1000 * watch.median('inference itself')).toFixed(0)} ms`,
    },
    adds(watch, false),
    adds(watch, true),
    {
      what: 'cached build-image, against a cached target that does nothing',
      expected: '≤ 1.2 ×',
      measured: `${ratio.toFixed(2)} ×`,
    },
  ];
}

function adds(watch: Stopwatch, daemon: boolean): Finding {
  const more = (name: string, than: string): string =>
    `${(1000 * (watch.median(rowOf(name, daemon)) - watch.median(rowOf(than, daemon)))).toFixed(0)} ms`;
  return {
    what: rowOf(`nx show projects with these, the plugin adds`, daemon),
    expected: '< 150 ms',
    measured: `${more(ours, 'empty plugin')} to a plugin that does nothing, which adds ${more('empty plugin', 'no plugin')}`,
  };
}

function rowOf(name: string, daemon: boolean): string {
  return daemon ? `${name}, daemon` : name;
}

interface Workspace {
  readonly root: string;
  nx(args: readonly string[], env?: Readonly<Record<string, string>>): Promise<string>;
}

async function inference(
  rounds: number,
  { root, nx }: Workspace,
  watch: Stopwatch,
  daemon: boolean,
): Promise<void> {
  const plugins = { 'no plugin': [], 'empty plugin': ['empty-plugin'], [ours]: [ours] };
  const show = () => nx(['show', 'projects'], { NX_DAEMON: String(daemon) });
  // The first round of all is for the caches.
  const warming = stopwatch();
  for (let round = 0; round <= rounds; round++) {
    for (const [name, list] of Object.entries(plugins)) {
      await configure(root, list);
      await show();
      // The daemon has the answer already, unless something is new.
      if (daemon) await writeFile(join(root, 'apps/s1/src/main.js'), `${name} ${round}\n`);
      await (round === 0 ? warming : watch).time(rowOf(name, daemon), show);
    }
  }
}

/** What runs before Nx has anything to do with what was found, in a process that has done it before. */
async function itself(rounds: number, { root }: Workspace, watch: Stopwatch): Promise<void> {
  const [, create] = createNodes;
  const files = Object.keys(largeFiles()).filter((path) => /(?:file|\.json)$/.test(path));
  const context = { workspaceRoot: root, nxJsonConfiguration: {} };
  for (let round = 0; round < 5; round++) await create(files, {}, context);
  for (let round = 0; round < rounds; round++) {
    await watch.time('inference itself', async () => create(files, {}, context));
  }
}

async function cached(rounds: number, { root, nx }: Workspace, watch: Stopwatch) {
  await configure(root, [ours]);
  await nx(['run', 'edge:lock-images']);
  const tasks = { 'cached empty target': 'empty:empty', 'cached build-image': 'edge:build-image' };
  for (const task of Object.values(tasks))
    for (let time = 0; time < 2; time++) await nx(['run', task]);
  for (let round = 0; round < rounds; round++) {
    for (const [name, task] of Object.entries(tasks)) {
      const printed = await watch.time(name, () => nx(['run', task]));
      if (!/read the output from the cache/.test(printed)) throw new Error(`no hit:\n${printed}`);
    }
  }
}

async function configure(root: string, plugins: readonly string[]): Promise<void> {
  const json = { neverConnectToCloud: true, analytics: false, plugins };
  await writeFile(join(root, 'nx.json'), JSON.stringify(json));
}

function largeFiles(): Readonly<Record<string, string>> {
  const all = Array.from({ length: projects }, (_, at) =>
    at % 5 === 0
      ? cluster(
          `c${at}`,
          [1, 2, 3].map((more) => `s${at + more}`),
        )
      : service(`s${at}`),
  );
  return Object.assign({}, ...all);
}

function smallFiles(): Readonly<Record<string, string>> {
  const empty = {
    cache: true,
    command: 'true',
    inputs: ['{projectRoot}/project.json'],
    outputs: [],
  };
  return {
    ...service('api'),
    ...service('web'),
    ...cluster('edge', ['api', 'web']),
    'empty/project.json': JSON.stringify({ name: 'empty', targets: { empty } }),
  };
}

async function newWorkspace(
  work: string,
  name: string,
  files: Readonly<Record<string, string>>,
): Promise<Workspace> {
  const directory = join(work, name);
  const shared = join(work, 'shared');
  await mkdir(directory, { recursive: true });
  await mkdir(shared, { recursive: true });
  await installInto(directory, shared, nxVersion, []);
  const ignored = { '.gitignore': 'node_modules\n.nx\ndist\n' };
  for (const [path, text] of Object.entries({ ...ignored, ...emptyPlugin, ...files })) {
    await mkdir(dirname(join(directory, path)), { recursive: true });
    await writeFile(join(directory, path), text);
  }
  await succeed('git', ['init', '-q'], { cwd: directory });
  const env = {
    NX_DAEMON: 'false',
    NX_TUI: 'false',
    NX_CACHE_DIRECTORY: `${directory}-nx-cache`,
    NX_WORKSPACE_DATA_DIRECTORY: `${directory}-nx-data`,
    CLUSTER_IMAGE_STORE: `${directory}-store`,
    PATH: `${join(root, 'node_modules/.bin')}:${process.env.PATH}`,
  };
  const cli = join(directory, 'node_modules/nx/dist/bin/nx.js');
  return {
    root: directory,
    nx: (args, more) =>
      succeed(process.execPath, [cli, ...args], { cwd: directory, env: { ...env, ...more } }),
  };
}
