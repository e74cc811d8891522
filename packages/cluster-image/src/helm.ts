import { basename } from 'node:path';
import { OciError, readText, slice, throwIfAborted } from '@cluster-image/oci';
import { asFiles, file, fileMark } from '@cluster-image/storage';
import type { ChartToRender, RenderChart } from './discover/charts.ts';
import type { Environment } from './environment.ts';
import { whyNotRendered } from './helm-failures.ts';
import { findProgram, runSandboxed, type SandboxedProgram } from './sandboxed.ts';

/** How long a chart may take to render, in milliseconds. */
const renderTimeout = 60_000;

/** How much may come of a chart, and how much memory may go into that, in bytes. */
const outputLimit = 16 * 1024 * 1024;
const memoryLimit = 1024 * 1024 * 1024;

/**
 * Renders charts with the real helm, which has to be on the PATH. It sees no cluster, no plugins and
 * nothing of the environment; and no schema, whose references it would fetch. Throws INPUT_INVALID
 * where a chart does not let itself be rendered, TOOL where helm is not there, and ABORTED.
 *
 * @param root the context's directory, which paths of charts and values are relative to
 * @param timeout how long a chart may take, in milliseconds
 */
export function helmTemplate(
  root: string,
  { variables }: Environment,
  signal: AbortSignal,
  timeout = renderTimeout,
): RenderChart {
  return async (chart) => {
    throwIfAborted(signal);
    const { packed } = chart;
    if (!packed) return render(chart);
    return asFiles(new Map([['chart', packed]]), (files) =>
      render({ ...chart, file: files.get('chart') }),
    );
  };

  async function render(chart: ChartToRender): Promise<string> {
    const { PATH } = variables;
    const program = await findHelm(PATH);
    const job = sandboxed(program, argumentsFor(chart), root, PATH);
    const outcome = await runSandboxed({ ...job, timeout }, signal);
    if (outcome.type === 'ended') return outcome.stdout;
    throw whyNotRendered(outcome, chart, root);
  }
}

/**
 * What tells the helm on the PATH from any other. One that is a program itself is not run for that;
 * what only stands for it is asked for its version. Throws TOOL where there is none, and ABORTED.
 */
export async function helmMark(
  root: string,
  { variables }: Environment,
  signal: AbortSignal,
): Promise<string> {
  const program = await findHelm(variables.PATH);
  const mark = await fileMark(program);
  const content = await file(mark.path);
  const begin = content && slice(content, { start: 0, end: Math.min(2, content.size) });
  const isScript = begin && (await readText(begin, 2)) === '#!';
  // Version managers have links to themselves.
  const isItself = !isScript && basename(mark.path).startsWith('helm');
  const version = isItself ? undefined : await run(['version', '--short']);
  return JSON.stringify([mark, version]);

  async function run(args: readonly string[]): Promise<string> {
    const outcome = await runSandboxed(sandboxed(program, args, root, variables.PATH), signal);
    return outcome.type === 'ended' ? outcome.stdout : outcome.stderr;
  }
}

/** Throws TOOL where there is none. */
async function findHelm(path: string | undefined): Promise<string> {
  const found = await findProgram('helm', path);
  if (found !== undefined) return found;
  throw new OciError('TOOL', 'helm is not on the PATH, and charts need it', {
    hint: 'Install helm 3.16 or later: https://helm.sh/docs/intro/install/',
  });
}

function sandboxed(
  program: string,
  args: readonly string[],
  cwd: string,
  path: string | undefined,
): SandboxedProgram {
  const variables = { PATH: path, ...isolation };
  return { program, args, cwd, variables, timeout: renderTimeout, outputLimit, memoryLimit };
}

/** What helm is told for a chart. Nothing that somebody wrote is read as another flag. */
export function argumentsFor(chart: ChartToRender): readonly string[] {
  const { path, file, release, namespace, kubeVersion, apiVersions, values, set, tests } = chart;
  return [
    'template',
    ...(namespace === undefined ? [] : [`--namespace=${namespace}`]),
    ...(kubeVersion === undefined ? [] : [`--kube-version=${kubeVersion}`]),
    ...apiVersions.map((version) => `--api-versions=${inList(version)}`),
    ...values.map((values) => `--values=${inList(`./${values}`)}`),
    ...set.map(({ how, text }) => `--${how}=${how === 'set-file' ? withDirectory(text) : text}`),
    ...(tests ? [] : ['--skip-tests']),
    '--include-crds',
    '--skip-schema-validation',
    '--',
    release,
    // With a directory in front it is neither a repository's nor a plugin's.
    file ?? `./${path}`,
  ];
}

/** One element of a list, which helm takes apart at commas. */
function inList(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** `key=path`, so that helm cannot take the path for a URL. */
function withDirectory(text: string): string {
  const at = text.indexOf('=') + 1;
  return `${text.slice(0, at)}./${text.slice(at)}`;
}

/** Neither plugins nor repositories nor a cluster of whoever runs the build may change what a chart renders to. */
const isolation = {
  HOME: '/nonexistent',
  KUBECONFIG: '/dev/null',
  HELM_PLUGINS: '/nonexistent/plugins',
  HELM_CACHE_HOME: '/nonexistent/cache',
  HELM_CONFIG_HOME: '/nonexistent/config',
  HELM_DATA_HOME: '/nonexistent/data',
  // Collects garbage in earnest before the memory ends.
  GOMEMLIMIT: String(memoryLimit * 0.75),
} as const;
