import { execFileSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { OciError } from '@cluster-image/oci';
import { temporaryDirectory } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { binary } from '../../../tools/helm/binaries.mjs';
import { plainRendering } from '../src/discover/chart-renderings.ts';
import type { ChartToRender } from '../src/discover/charts.ts';
import { helmTemplate } from '../src/helm.ts';
import { chartFile, pod } from './chart-files.ts';
import { contextDirectory, type Given } from './context.ts';
import { failureOf } from './failure.ts';
import { pathWith } from './tools.ts';

const web = { ...plainRendering, path: 'charts/web' };
const files = {
  'charts/web/Chart.yaml': chartFile('web'),
  'charts/web/templates/pod.yaml': pod('a.io/b:1'),
};

/** A PATH whose helm is the program itself. */
async function realPath(): Promise<string> {
  return pathWith('helm', `exec '${await binary('helm')}' "$@"`);
}

interface Running {
  readonly chart?: Partial<ChartToRender>;
  readonly variables?: Readonly<Record<string, string | undefined>>;
  readonly signal?: AbortSignal;
  readonly timeout?: number;
}

async function render(
  root: string,
  { chart = {}, variables, signal = new AbortController().signal, timeout }: Running = {},
): Promise<string> {
  const environment = { cwd: root, variables: variables ?? { PATH: await realPath() } };
  return helmTemplate(root, environment, signal, timeout)({ ...web, ...chart });
}

async function failing(script: string, running: Running = {}): Promise<OciError> {
  const root = await contextDirectory(files);
  const PATH = await pathWith('helm', script);
  return failureOf(render(root, { variables: { PATH }, ...running }));
}

describe('helm', () => {
  test('that is not there is asked for', async () => {
    const root = await contextDirectory(files);
    const variables = { PATH: await temporaryDirectory() };
    const { code, message, hint } = await failureOf(render(root, { variables }));
    expect([code, message, hint]).toEqual([
      'TOOL',
      'helm is not on the PATH, and charts need it',
      expect.stringContaining('https://helm.sh'),
    ]);
  });

  test('sees nothing of the environment but the PATH', async () => {
    const PATH = await pathWith('helm', 'env >&2; exit 1');
    const variables = { PATH, CANARY: 'canary', KUBECONFIG: '/canary', https_proxy: 'canary' };
    const { message } = await failing('', { variables });
    expect(message).toContain('HOME=/nonexistent');
    expect(message).not.toContain('canary');
  });

  test('that prints without end is stopped', async () => {
    const { code, message } = await failing('exec yes');
    expect([code, message]).toEqual(['INPUT_INVALID', 'helm printed over 16777216 bytes']);
  });

  test('X04: that is at work when the run is interrupted ends with it', async () => {
    const signal = AbortSignal.timeout(100);
    expect((await failing('exec sleep 600', { signal })).code).toBe('ABORTED');
  });

  test.each([
    ['waits for its children', 'sleep 600; exit 0'],
    ['leaves its children behind', 'sleep 600 & exit 0'],
    ['does not let itself be ended', "trap '' TERM; sleep 600; sleep 600"],
  ])('X04: in a wrapper that %s is ended with all of them', async (_, script) => {
    const { code, message } = await failing(script, { timeout: 300 });
    expect([code, message]).toEqual(['INPUT_INVALID', 'helm took over 0.3 s']);
    const signal = AbortSignal.timeout(100);
    expect((await failing(script, { signal })).code).toBe('ABORTED');
  });

  test('that does not know what it is told is too old', async () => {
    const { code, hint } = await failing('echo "Error: unknown flag: --skip-x" >&2; exit 1');
    expect([code, hint]).toEqual(['TOOL', 'Install helm 3.16 or later.']);
  });

  test('is told nothing that reads as another flag, a URL or a second file', async () => {
    const root = await contextDirectory(files);
    const variables = { PATH: await pathWith('helm', 'printf "%s\\n" "$@"') };
    const chart: Partial<ChartToRender> = {
      release: '--post-renderer=x',
      namespace: '--kubeconfig',
      values: ['http://a.io/a,b', '"-"'],
      set: [
        { how: 'set', text: '--debug=1' },
        { how: 'set-file', text: 'a=https://a.io' },
      ],
    };
    expect((await render(root, { chart, variables })).split('\n')).toEqual([
      'template',
      '--namespace=--kubeconfig',
      '--values="./http://a.io/a,b"',
      '--values="./""-"""',
      '--set=--debug=1',
      '--set-file=a=./https://a.io',
      '--skip-tests',
      '--include-crds',
      '--skip-schema-validation',
      '--',
      '--post-renderer=x',
      './charts/web',
    ]);
  });

  test('tells of a chart without what is about this machine', async () => {
    const packed = '/tmp/x/chart.tgz';
    const { message } = await failing(
      `echo 'level=INFO msg="found symbolic link" path=/tmp/a' >&2
       echo 'Error: ${packed}: no' >&2; echo >&2; echo 'Use --debug flag to render' >&2; exit 1`,
      { chart: { file: packed } },
    );
    expect(message).toBe('charts/web: no');
  });
});

describe('Y07: a template', () => {
  /** What a chart with such a template renders to, without what helm says of it. */
  async function rendered(template: string, more: Record<string, Given> = {}): Promise<string> {
    const root = await contextDirectory({
      ...files,
      'charts/web/templates/pod.yaml': template,
      ...more,
    });
    const text = await render(root);
    return text.replace(/^---\n# Source: .*\n/, '').trim();
  }

  test.each([
    ['takes all memory', '{{ range until 1000000000 }}{{ end }}', /^helm needed over 1024 MiB/],
    ['prints without end', 'a: {{ repeat 17000000 "a" }}', /^helm printed over 16777216 bytes/],
    [
      'includes itself',
      '{{ define "a" }}{{ include "a" . }}{{ end }}{{ include "a" . }}',
      /error calling include/,
    ],
    ['asks for the environment', '{{ env "HOME" }}', /function "env" not defined/],
    ['expands the environment', '{{ expandenv "$HOME" }}', /function "expandenv" not defined/],
  ])('that %s fails', async (_, template, why) => {
    const { code, message } = await failureOf(rendered(template));
    expect([code, message]).toEqual(['INPUT_INVALID', expect.stringMatching(why)]);
    expect(message.length).toBeLessThan(700);
  });

  test('reads no files but those of its chart', async () => {
    const template =
      'a: "{{ .Files.Get "../../other" }}{{ .Files.Get "/etc/hostname" }}{{ .Files.Get "own" }}"';
    expect(await rendered(template, { 'charts/web/own': 'own', other: 'other' })).toBe('a: "own"');
  });

  test('finds out nothing of a cluster or of hosts', async () => {
    const template = 'a: "{{ lookup "v1" "Node" "" "" }}{{ getHostByName "localhost" }}"';
    expect(await rendered(template)).toBe('a: "map[]"');
  });
});

function isTraceable(): boolean {
  try {
    execFileSync('strace', ['-f', 'true'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

test.runIf(isTraceable())('no chart makes helm speak to the network', async () => {
  const trace = join(await temporaryDirectory(), 'trace');
  const helm = await binary('helm');
  const traced = await pathWith(
    'helm',
    `exec strace -f -qq -e trace=%network -o '${trace}' '${helm}' "$@"`,
  );
  const root = await contextDirectory({
    'charts/web/Chart.yaml': chartFile(
      'web',
      'icon: http://127.0.0.1:1/icon\nhome: http://127.0.0.1:1/\n',
    ),
    'charts/web/values.schema.json': '{"$ref": "http://127.0.0.1:1/schema"}',
    'charts/web/templates/pod.yaml':
      'a: {{ getHostByName "example.com" }}{{ lookup "v1" "Pod" "" "" }}',
  });
  await render(root, { variables: { PATH: traced } });
  const calls = (await readFile(trace, 'utf8')).split('\n');
  expect(calls.filter((call) => /^\d+ +\w+\(/.test(call))).toEqual([]);
});
