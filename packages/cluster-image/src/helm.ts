import { OciError, throwIfAborted } from '@cluster-image/oci';
import type { RenderChart } from './discover/charts.ts';
import type { Environment } from './environment.ts';

/** How long a chart may take to render, in milliseconds, and how much may come of it, in bytes. */
const renderTimeout = 60_000;
const renderLimit = 16 * 1024 * 1024;

/** The name that charts are rendered under; sealos has the same. */
const releaseName = 'dryrun';

/**
 * Renders charts with the real helm, which has to be on the PATH. It sees no cluster, no plugins and
 * nothing of the environment; and no schema, whose references it would fetch. Throws TOOL.
 *
 * @param root the context's directory, which chart paths are relative to
 * @param timeout how long a chart may take, in milliseconds
 */
export function helmTemplate(
  root: string,
  environment: Environment,
  signal: AbortSignal,
  timeout = renderTimeout,
): RenderChart {
  return async ({ path, values }) => {
    throwIfAborted(signal);
    // Helm would take a list apart at its commas, which the context's own path may have.
    const files = values.flatMap((file) => ['--values', file]);
    // Loaded now, for a context may have no charts.
    const { execa } = await import('execa');
    const result = await execa(
      'helm',
      ['template', releaseName, `./${path}`, ...files, '--skip-tests', '--skip-schema-validation'],
      {
        cwd: root,
        env: { PATH: environment.variables.PATH, ...isolation },
        extendEnv: false,
        stdin: 'ignore',
        timeout,
        maxBuffer: renderLimit,
        reject: false,
        cancelSignal: signal,
        killSignal: 'SIGKILL',
        // A wrapper's children may hold its output open.
        killDescendants: true,
      },
    );
    throwIfAborted(signal);
    // It may have ended well itself, and left its output to one that had to be stopped.
    if (!result.failed) return result.stdout;
    if (result.code === 'ENOENT') {
      throw new OciError('TOOL', 'helm is not on the PATH, and charts need it', {
        hint: 'Install helm 3.16 or later: https://helm.sh/docs/intro/install/',
      });
    }
    if (result.timedOut) throw new OciError('TOOL', `helm took over ${timeout / 1000} s`);
    if (result.isMaxBuffer) throw new OciError('TOOL', `helm printed over ${renderLimit} bytes`);
    throw new OciError('TOOL', `helm template failed: ${result.stderr.trim() || result.message}`, {
      hint: hintFor(result.stderr),
    });
  };
}

/** Neither plugins nor repositories nor a cluster of whoever runs the build may change what a chart renders to. */
const isolation = {
  HOME: '/nonexistent',
  KUBECONFIG: '/dev/null',
  HELM_PLUGINS: '/nonexistent/plugins',
  HELM_CACHE_HOME: '/nonexistent/cache',
  HELM_CONFIG_HOME: '/nonexistent/config',
  HELM_DATA_HOME: '/nonexistent/data',
} as const;

function hintFor(stderr: string): string | undefined {
  if (/missing in charts\/ directory/.test(stderr)) {
    return 'Run `helm dependency build` on the chart and commit its charts/ directory.';
  }
  if (/unknown flag/.test(stderr)) return 'Install helm 3.16 or later.';
  return 'Values that a chart needs go to charts/<chart name>.values.yaml.';
}
