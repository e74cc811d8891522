import { OciError } from '@cluster-image/oci';
import type { ChartToRender } from './discover/charts.ts';
import { printable } from './printable.ts';
import type { Outcome } from './sandboxed.ts';

type Failed = Extract<Outcome, { type: 'failed' }>;

/** How much of what helm says is told, in characters. */
const longest = 600;

/**
 * Why helm did not render a chart, in its own words as far as they are about the chart: INPUT_INVALID,
 * or TOOL for a helm that does not know its flags.
 */
export function whyNotRendered(
  { stopped, stderr }: Failed,
  chart: ChartToRender,
  root: string,
): OciError {
  if (stopped !== undefined) return new OciError('INPUT_INVALID', `helm ${stopped}`);
  if (/unknown flag/.test(stderr)) {
    return new OciError('TOOL', said(stderr, chart, root), { hint: 'Install helm 3.16 or later.' });
  }
  const hint = hintFor(stderr, chart);
  return new OciError('INPUT_INVALID', said(stderr, chart, root), { hint });
}

function hintFor(stderr: string, chart: ChartToRender): string | undefined {
  if (/missing in charts\/ directory/.test(stderr)) {
    return 'Run `helm dependency build` on the chart and commit its charts/ directory.';
  }
  if (/chart requires kubeVersion/.test(stderr)) {
    return `Give that of the cluster as ${settingOf(chart, 'kubeVersion')}.`;
  }
  const isOfTemplate = /execution error at|executing "|error calling/.test(stderr);
  return isOfTemplate ? valuesHint(stderr, chart) : undefined;
}

function settingOf({ path }: ChartToRender, option: string): string {
  return `charts.${JSON.stringify(path)}.${option} in cluster-image.json`;
}

/** What helm said, on one line, without what is about this machine or about helm. */
function said(stderr: string, { file, path }: ChartToRender, root: string): string {
  const lines = stderr.split('\n').map((line) => line.trim());
  const about = lines.filter((line) => line !== '' && !noise.some((each) => each.test(line)));
  const text = about
    .join(' ')
    .replace(/^Error: /, '')
    .replace(/^INSTALLATION FAILED: /, '');
  const plain = printable(
    (file === undefined ? text : text.replaceAll(file, path)).replaceAll(`${root}/`, ''),
  );
  return plain.length > longest ? `${plain.slice(0, longest)} …` : plain;
}

const noise: readonly RegExp[] = [
  /^Use --debug flag/,
  /^(?:time=\S+ )?level=/,
  // As older ones have it: 2024/01/31 12:00:00 found symbolic link in path …
  /^(?:\d{4}\/\d\d\/\d\d [\d:]+ |[\w/]+\.go:\d+: |walk\.go)/,
  /^WARNING: /,
];

/** Which value it is about where that can be seen, and where values are given. */
function valuesHint(stderr: string, chart: ChartToRender): string {
  const [, name = '<chart name>'] = /([\w.-]+)\/(?:charts|templates)\//.exec(stderr) ?? [];
  const asked = /<[^>]*?\.Values\.([\w.]+)[^>]*>:?\s+nil pointer/.exec(stderr)?.[1];
  const what = asked === undefined ? 'Values that it needs are given' : `Give ${asked}`;
  return `${what} in charts/${name}.values.yaml, or as ${settingOf(chart, 'set')}.`;
}
