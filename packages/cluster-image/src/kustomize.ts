import { OciError } from '@cluster-image/oci';
import type { BuildKustomization } from './discover/kustomize.ts';
import type { Environment } from './environment.ts';
import { printable } from './printable.ts';
import { findProgram, type Outcome, pathWithout, runSandboxed } from './sandboxed.ts';

/** How long a kustomization may take to build, in milliseconds, what may come of it and what it may take, in bytes. */
const buildTimeout = 60_000;
const buildLimit = 16 * 1024 * 1024;
const memoryLimit = 2 * 1024 ** 3;

/** The most that is told of what a tool says, in characters. */
const reasonLimit = 1000;

export interface KustomizeOptions {
  /** What is to be built may refer to what kustomize then fetches, with the user's own configuration. */
  readonly remote?: boolean | undefined;
  /** How long a kustomization may take, in milliseconds. */
  readonly timeout?: number;
}

/**
 * Builds kustomizations with the real kustomize, or the one in kubectl, of which one has to be on the
 * PATH. It runs no plugins, and sees nothing of the environment.
 *
 * @param root the context's directory
 */
export function kustomizeBuild(
  root: string,
  environment: Environment,
  signal: AbortSignal,
  { remote = false, timeout = buildTimeout }: KustomizeOptions = {},
): BuildKustomization {
  const { PATH } = environment.variables;
  let tool: Promise<Tool> | undefined;
  return async (directory) => {
    tool ??= findTool(PATH);
    const { program, command } = await tool;
    const outcome = await runSandboxed(
      {
        program,
        // With its dot no directory is taken for a repository, or for an option.
        args: [command, `./${directory}`],
        cwd: root,
        variables: remote ? allowed(environment) : await isolation(PATH),
        timeout,
        outputLimit: buildLimit,
        memoryLimit,
      },
      signal,
    );
    if (outcome.type === 'ended') return { type: 'built', manifests: outcome.stdout };
    return { type: 'failed', reason: reasonOf(outcome, command, root) };
  };
}

interface Tool {
  readonly program: string;
  readonly command: 'build' | 'kustomize';
}

async function findTool(path: string | undefined): Promise<Tool> {
  const kustomize = await findProgram('kustomize', path);
  if (kustomize !== undefined) return { program: kustomize, command: 'build' };
  const kubectl = await findProgram('kubectl', path);
  if (kubectl !== undefined) return { program: kubectl, command: 'kustomize' };
  throw new OciError(
    'TOOL',
    'neither kustomize nor kubectl is on the PATH, and kustomizations need one',
    {
      hint: 'Install kustomize 5 or kubectl 1.27, or later: https://kubectl.docs.kubernetes.io/installation/kustomize/',
    },
  );
}

/** Nothing of whoever runs the build may change what is built; and nothing is fetched, whatever it asks for. */
async function isolation(path: string | undefined): Promise<Readonly<Record<string, string>>> {
  const nowhere = 'http://127.0.0.1:9';
  return {
    PATH: await pathWithout('git', path),
    HOME: '/nonexistent',
    XDG_CONFIG_HOME: '/nonexistent/config',
    KUSTOMIZE_PLUGIN_HOME: '/nonexistent/plugins',
    KUBECONFIG: '/dev/null',
    GIT_ALLOW_PROTOCOL: 'none',
    HTTP_PROXY: nowhere,
    HTTPS_PROXY: nowhere,
    ALL_PROXY: nowhere,
  };
}

/** What git and kustomize need to fetch for the user. */
const fetching = [
  'PATH',
  'HOME',
  'TMPDIR',
  'SSH_AUTH_SOCK',
  'SSL_CERT_FILE',
  'SSL_CERT_DIR',
  'http_proxy',
  'https_proxy',
  'no_proxy',
  'HTTP_PROXY',
  'HTTPS_PROXY',
  'NO_PROXY',
] as const;

function allowed({ variables }: Environment): Readonly<Record<string, string | undefined>> {
  return {
    ...Object.fromEntries(fetching.map((name) => [name, variables[name]])),
    KUSTOMIZE_PLUGIN_HOME: '/nonexistent/plugins',
    KUBECONFIG: '/dev/null',
    GIT_TERMINAL_PROMPT: '0',
  };
}

/** What a tool says, without its warnings and without the machine's own paths. */
function reasonOf(
  { stopped, stderr }: Outcome & { readonly type: 'failed' },
  command: Tool['command'],
  root: string,
): string {
  if (stopped !== undefined) return `kustomize ${stopped}`;
  const said = stderr
    .split('\n')
    .filter((line) => line.trim() !== '' && !line.startsWith('# Warning'))
    .join(' ')
    .replace(/^error: /i, '')
    .replaceAll(`${root}/`, '')
    .replaceAll(root, '.');
  const text = printable(said).slice(0, reasonLimit);
  return `${command === 'build' ? 'kustomize build' : 'kubectl kustomize'}: ${text}`;
}
