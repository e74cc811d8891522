import { posix } from 'node:path';
import type { Tree } from '@cluster-image/oci';
import { Minimatch } from 'minimatch';
import { target } from '../follow.ts';
import type { BuildFileCommands } from '../kubefile/commands.ts';
import { inContext, plainRendering, type Rendering, type SetValue } from './chart-renderings.ts';
import type { Suspect } from './discovery.ts';
import { type HelmCommand, readHelmCommand } from './helm-flags.ts';
import type { ChartSettings } from './settings.ts';
import { type ShellCommand, shellCommands } from './shell-commands.ts';
import { fileIn } from './shell-scripts.ts';

/** How the commands of a build file install charts. */
export interface ChartCommands {
  /** By the paths of the charts, which may be anywhere in the context. */
  readonly renderings: ReadonlyMap<string, readonly Rendering[]>;
  /** What cannot be told of them, and what they install that is not in the context. */
  readonly suspects: readonly Suspect[];
}

/** In how many ways the commands may install a chart; each has it rendered once more. */
const mostRenderings = 50;

/**
 * Reads the `helm install`, `upgrade` and `template` commands of a build file, and of the scripts in
 * the context that it runs.
 *
 * @param charts where charts are known to be, and what the configuration says of them
 */
export async function findChartCommands(
  tree: Tree,
  { file, lines, variables }: BuildFileCommands,
  charts: ReadonlyMap<string, ChartSettings | undefined>,
): Promise<ChartCommands> {
  const renderings = new Map<string, Rendering[]>();
  const suspects: Suspect[] = [];
  // Sealos fills in $(NAME) before a shell sees it.
  const texts = lines.map((line) => ({
    ...line,
    file,
    substituted: (name: string) => variables.get(name),
  }));
  for (const command of await shellCommands(tree, 'helm', texts, variables)) {
    const helm = readHelmCommand(command.words);
    if (!helm) continue;
    const suspect = (text: string, reason: string): void => {
      const origin = { file: command.file, line: command.line, via: `helm ${helm.verb}` };
      suspects.push({ text, reason, origins: [origin] });
    };
    const path = await chartOf(tree, helm, command, charts, suspect);
    if (path === undefined) continue;
    const all = renderings.get(path) ?? [];
    if (all.length >= mostRenderings) {
      suspect(path, `installed in over ${mostRenderings} ways, of which this one is left out`);
      continue;
    }
    all.push(await renderingOf(tree, helm, command, suspect));
    renderings.set(path, all);
  }
  return { renderings, suspects };
}

type Tell = (text: string, reason: string) => void;

/** Where the chart of a command is in the context; undefined where that cannot be told. */
async function chartOf(
  tree: Tree,
  { chart, flags }: HelmCommand,
  { directories }: ShellCommand,
  charts: ReadonlyMap<string, ChartSettings | undefined>,
  suspect: Tell,
): Promise<string | undefined> {
  if (!chart) return undefined;
  const { text, isTold } = chart;
  if (!isTold) {
    suspect(text, 'which chart is installed cannot be told without running it');
    return undefined;
  }
  for (const directory of directories) {
    const path = posix.isAbsolute(text) ? undefined : inContext(posix.join(directory, text));
    if (path === undefined) continue;
    if (await isChart(tree, path)) return path;
    const matching = [...charts.keys()].filter((known) => new Minimatch(path).match(known));
    if (matching.length === 1) return matching[0];
  }
  const repository = flags.find(({ name }) => name === 'repo')?.value.text;
  const fetched = [...charts].find(([path, settings]) =>
    isFetchedAs(text, repository, path, settings),
  );
  if (fetched) return fetched[0];
  suspect(
    text,
    'a chart that is installed and is not in the context; put it into charts/, or name its repository under charts in cluster-image.json',
  );
  return undefined;
}

async function isChart(tree: Tree, path: string): Promise<boolean> {
  const found = await target(tree, path);
  if (found?.type === 'file') return /\.(?:tgz|tar\.gz)$/.test(path);
  return found?.type === 'directory' && (await target(tree, `${path}/Chart.yaml`)) !== undefined;
}

/** Whether helm would fetch by a name what the configuration says is fetched to a path. */
function isFetchedAs(
  text: string,
  repository: string | undefined,
  path: string,
  settings: ChartSettings | undefined,
): boolean {
  if (!settings?.repository) return false;
  const name = settings.name ?? posix.basename(path).replace(/\.(?:tgz|tar\.gz)$/, '');
  const place = settings.repository.replace(/\/$/, '');
  if (repository !== undefined) return text === name && repository.replace(/\/$/, '') === place;
  // A repository goes by whatever name it was added under.
  return text === `${place}/${name}` || /^[^/:.]+\/([^/]+)$/.exec(text)?.[1] === name;
}

/** The flags of a command as far as they can be told; the others are suspected. */
async function renderingOf(
  tree: Tree,
  { release, chart, flags, open }: HelmCommand,
  { directories, file, line }: ShellCommand,
  suspect: Tell,
): Promise<Rendering> {
  const origin = { file, line };
  let isPartial = false;
  const leaveOut = (text: string, why = 'cannot be told without running it'): void => {
    isPartial = true;
    suspect(text, `${why}; ${chart?.text ?? 'the chart'} is rendered without it`);
  };
  for (const { text } of open) leaveOut(text);
  if (release?.isTold === false) leaveOut(release.text);
  const told = flags.filter(({ name, value }) => {
    if (!value.isTold && telling.includes(name)) leaveOut(`--${name} ${value.text}`);
    return value.isTold;
  });
  const valuesOf = (flag: string): readonly string[] =>
    told.flatMap(({ name, value }) => (name === flag ? [value.text] : []));
  const listed = (flag: string): readonly string[] =>
    valuesOf(flag).flatMap((list) => list.split(','));
  const values: string[] = [];
  for (const text of listed('values')) {
    const content = await fileIn(tree, text, directories);
    if (content) values.push(content.path);
    else leaveOut(`--values ${text}`, 'no file of the context');
  }
  const set: SetValue[] = [];
  for (const { name, value } of told) {
    const how = setFlags.find((known) => known === name);
    if (how !== undefined) set.push({ how, text: value.text, origin });
    if (name !== 'set-file') continue;
    const [, key, path = ''] = /^([^=,]+)=([^,]+)$/.exec(value.text) ?? [];
    const content = await fileIn(tree, path, directories);
    if (content) set.push({ how: 'set-file', text: `${key}=${content.path}`, origin });
    else leaveOut(`--set-file ${value.text}`, 'no file of the context');
  }
  return {
    release: release?.isTold ? release.text : plainRendering.release,
    namespace: valuesOf('namespace').at(-1),
    kubeVersion: valuesOf('kube-version').at(-1),
    apiVersions: listed('api-versions'),
    values,
    set,
    tests: false,
    isPartial,
  };
}

const setFlags = ['set', 'set-string', 'set-json', 'set-literal'] as const;

/** The flags that have a part in what comes of a chart. */
const telling: readonly string[] = [
  ...['api-versions', 'kube-version', 'namespace', 'set-file', 'values'],
  ...setFlags,
];
