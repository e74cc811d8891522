import { chmod } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf } from '@cluster-image/oci';
import { directory } from '@cluster-image/storage';
import { temporaryDirectory } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { entriesBelow } from '../src/discover/find-files.ts';
import { type BuiltKustomization, findInKustomizations } from '../src/discover/kustomize.ts';
import { planKustomizations } from '../src/discover/kustomize-plan.ts';
import { searchRules } from '../src/discover/search-rules.ts';
import { type KustomizeOptions, kustomizeBuild } from '../src/kustomize.ts';
import { contextDirectory, type Given } from './context.ts';
import { pathWith } from './tools.ts';

interface BuildIn extends KustomizeOptions {
  readonly variables?: Readonly<Record<string, string | undefined>>;
  readonly signal?: AbortSignal;
}

/** Builds the directory `app` as it is, whatever it refers to. */
async function build(
  root: string,
  { variables = process.env, signal = new AbortController().signal, ...options }: BuildIn = {},
): Promise<BuiltKustomization> {
  return kustomizeBuild(root, { cwd: root, variables }, signal, options)('app');
}

/** Why the kustomization in the directory `app` was not built. */
async function failure(
  files: Readonly<Record<string, Given>>,
  options: BuildIn = {},
): Promise<string> {
  const built = await build(await contextDirectory(files), options);
  return built.type === 'failed' ? built.reason : `built: ${built.manifests}`;
}

/** `file:line: reason` of all that is wrong with what is below `manifests/`; there may be no images. */
async function faults(
  files: Readonly<Record<string, Given>>,
  timeout?: number,
): Promise<readonly string[]> {
  const root = join(await contextDirectory(files), 'context');
  const tree = directory(root);
  const { signal } = new AbortController();
  const plan = await planKustomizations(tree, await entriesBelow(tree, 'manifests'));
  const build = kustomizeBuild(root, { cwd: root, variables: process.env }, signal, {
    ...(timeout !== undefined && { timeout }),
  });
  const { images, unresolved } = await findInKustomizations(tree, plan, {
    build,
    rules: searchRules(),
  });
  expect(images).toEqual([]);
  return unresolved.map(({ reason, origin: { file, line } }) => `${file}:${line}: ${reason}`);
}

const pod = `apiVersion: v1
kind: Pod
metadata: {name: a}
spec: {containers: [{name: a, image: nginx}]}
`;

describe('a kustomization is built', () => {
  test('by a program that sees nothing of the environment', async () => {
    const PATH = await pathWith('kustomize', '/usr/bin/env >&2; exit 1');
    const reason = await failure({}, { variables: { PATH, SECRET: 'hush', HOME: '/home/me' } });
    expect(reason).toMatch(/^kustomize build: /);
    expect(reason).toContain('HOME=/nonexistent');
    expect(reason).toContain('KUBECONFIG=/dev/null');
    expect(reason).not.toContain('hush');
    expect(reason).not.toContain('/home/me');
  });

  test('in bounded time, with bounded output', async () => {
    const slow = { PATH: await pathWith('kustomize', 'exec /bin/sleep 30') };
    expect(await failure({}, { variables: slow, timeout: 200 })).toBe('kustomize took over 0.2 s');
    const long = { PATH: await pathWith('kustomize', 'exec /usr/bin/yes') };
    expect(await failure({}, { variables: long })).toBe('kustomize printed over 16777216 bytes');
  });

  test('until that is interrupted', async () => {
    const PATH = await pathWith('kustomize', 'exec /bin/sleep 30');
    const built = build(await contextDirectory({}), {
      variables: { PATH },
      signal: AbortSignal.timeout(100),
    });
    expect(codeOf(await built.catch((error: unknown) => error))).toBe('ABORTED');
  });

  test('and what the tool says has no control characters, warnings and paths of the machine', async () => {
    const root = await contextDirectory({});
    const script = `echo '# Warning: old' >&2; printf 'Error: \\033[1m%s/app\\n\\n' "$PWD" >&2; exit 1`;
    const built = await build(root, { variables: { PATH: await pathWith('kustomize', script) } });
    expect(built).toEqual({ type: 'failed', reason: 'kustomize build: \\u001b[1mapp' });
  });
});

describe('whatever a kustomization asks for', () => {
  test('files are not fetched', async () => {
    const text = 'resources: ["http://registry.example/app.yaml"]\n';
    expect(await failure({ 'app/kustomization.yaml': text })).toContain(
      'dial tcp 127.0.0.1:9: connect: connection refused',
    );
  });

  test('git is not run, unless that is allowed', async () => {
    const root = await contextDirectory({
      'app/kustomization.yaml': 'resources: ["ssh://git@host.example/acme/app"]\n',
    });
    const marks = await temporaryDirectory();
    const PATH = await pathWith('git', `touch ${marks}/ran; exit 1`);
    expect(await build(root, { variables: { PATH } })).toMatchObject({
      type: 'failed',
      reason: expect.stringContaining("no 'git' program on path"),
    });
    expect(await directory(marks).entry('ran')).toBe(undefined);
    expect(await build(root, { variables: { PATH }, remote: true })).toMatchObject({
      type: 'failed',
      reason: expect.stringContaining('git'),
    });
    expect(await directory(marks).entry('ran')).toMatchObject({ type: 'file' });
  });

  test.each(['exec: {path: ./evil.sh}', 'container: {image: evil.example/x:1}'])(
    'no function is run: %s',
    async (how) => {
      const marks = await temporaryDirectory();
      const plugin = `apiVersion: example.com/v1
kind: Evil
metadata:
  name: a
  annotations: {config.kubernetes.io/function: "${how}"}
`;
      const evil = `#!/bin/sh\ntouch ${marks}/ran\n`;
      const PATH = await pathWith('docker', `touch ${marks}/ran`);
      for (const field of ['transformers', 'generators', 'validators']) {
        const root = await contextDirectory({
          'app/kustomization.yaml': `resources: [pod.yaml]\n${field}: [plugin.yaml]\n`,
          'app/pod.yaml': pod,
          'app/plugin.yaml': plugin,
          'app/evil.sh': evil,
        });
        await chmod(join(root, 'app/evil.sh'), 0o755);
        expect(await build(root, { variables: { ...process.env, PATH } })).toMatchObject({
          type: 'failed',
          reason: expect.stringContaining('external plugins disabled'),
        });
        expect(await directory(marks).entry('ran')).toBe(undefined);
      }
    },
    30_000,
  );

  test('no chart is rendered', async () => {
    const marks = await temporaryDirectory();
    const PATH = await pathWith('helm', `touch ${marks}/ran`);
    const files = {
      'app/kustomization.yaml': 'helmCharts: [{name: a, releaseName: a}]\n',
      'app/charts/a/Chart.yaml': 'apiVersion: v2\nname: a\nversion: 1.0.0\n',
    };
    expect(await failure(files, { variables: { PATH } })).toContain('must specify --enable-helm');
    expect(await directory(marks).entry('ran')).toBe(undefined);
  });

  test('nothing outside of the context is read', async () => {
    const secret = pod.replace('nginx', 'quay.io/acme/secret:1');
    const outside = {
      'secret.yaml': secret,
      'base/kustomization.yaml': 'resources: [pod.yaml]\n',
      'base/pod.yaml': secret,
    };
    const at = 'context/manifests/kustomization.yaml';
    const links: Readonly<Record<string, Given>> = {
      'context/manifests/file.yaml': { link: '../../secret.yaml' },
      'context/manifests/base': { link: '../../base' },
      'context/manifests/self': { link: '.' },
      'context/manifests/escape': { link: 'self/../../base' },
      'context/base/kustomization.yaml': 'resources: []\n',
    };
    for (const path of [
      '../../base',
      '../../../../../../../../..',
      '../../secret.yaml',
      '/etc/passwd',
      '../../../../../../../../../../etc/passwd',
      'file.yaml',
      'base',
      'base/pod.yaml',
      'escape',
    ]) {
      const text = `resources:\n  - ${path}\n`;
      expect(await faults({ ...outside, ...links, [at]: text })).toEqual([
        `manifests/kustomization.yaml:2: "${path}" leads out of the context; keep a copy in it`,
      ]);
    }
    for (const path of ['file.yaml', '../../secret.yaml', '/etc/passwd']) {
      const text = `configMapGenerator: [{name: a, files: ["a=${path}"]}]\n`;
      expect(await faults({ ...outside, ...links, [at]: text })).toEqual([
        expect.stringContaining('security; file'),
      ]);
    }
    const link = { ...outside, [at]: { link: '../../base/kustomization.yaml' } };
    expect(await faults(link)).toEqual([
      'manifests/kustomization.yaml:1: leads out of the context; keep a copy in it',
    ]);
  });

  test('circles end', async () => {
    const files = {
      'context/manifests/a/kustomization.yaml': 'resources: [../b]\n',
      'context/manifests/b/kustomization.yaml': 'resources: [../a]\n',
      'context/manifests/self/kustomization.yaml': 'resources: [.]\n',
    };
    expect(await faults(files)).toEqual([
      expect.stringMatching(/^manifests\/a\/kustomization\.yaml:undefined: .*cycle detected/),
      expect.stringMatching(/^manifests\/self\/kustomization\.yaml:undefined: .*cycle detected/),
    ]);
  });

  test('aliases of aliases, and bases of bases, end', async () => {
    const laughs = [
      'a0: &a0 [x,x,x,x,x,x,x,x,x]',
      ...Array.from({ length: 9 }, (_, at) => {
        const alias = `*a${at}`;
        return `a${at + 1}: &a${at + 1} [${Array.from({ length: 9 }, () => alias).join(',')}]`;
      }),
    ].join('\n');
    const doubled = Object.fromEntries(
      Array.from({ length: 30 }, (_, at) =>
        ['a', 'b'].map((side) => [
          `context/manifests/double/${at}${side}/kustomization.yaml`,
          at === 0
            ? `resources: [../../pod]\nnamePrefix: ${side}-\n`
            : `resources: [../${at - 1}a, ../${at - 1}b]\nnamePrefix: ${side}-\n`,
        ]),
      ).flat(),
    );
    const own = { 'context/manifests/own/kustomization.yaml': `${laughs}\nresources: *a9\n` };
    expect(await faults(own)).toEqual([expect.stringContaining('excessive aliasing')]);
    const found = await faults(
      {
        'context/manifests/of/kustomization.yaml': 'resources: [bomb.yaml]\n',
        'context/manifests/of/bomb.yaml': `apiVersion: v1\nkind: Bomb\nmetadata: {name: a}\n${laughs}\n`,
        'context/manifests/pod/kustomization.yaml': 'resources: [pod.yaml]\n',
        'context/manifests/pod/pod.yaml': pod,
        ...doubled,
      },
      4000,
    );
    const stopped = /kustomize (?:took over 4 s|needed over 2048 MiB of memory)$/;
    expect(found).toEqual([
      expect.stringMatching(stopped),
      expect.stringMatching(stopped),
      expect.stringMatching(stopped),
    ]);
  }, 180_000);

  test('a hundred thousand resources end', async () => {
    const names = Array.from({ length: 100_000 }, (_, at) => `  - r${at}.yaml\n`);
    const all = Array.from({ length: 100_000 }, (_, at) => `---\n${pod.replace('a}', `a${at}}`)}`);
    const missing = await faults({
      'context/manifests/missing/kustomization.yaml': `resources:\n${names.join('')}`,
    });
    expect(missing).toEqual([expect.stringMatching(/missing\/kustomization\.yaml.*r0\.yaml/)]);
    const files = {
      'context/manifests/one/kustomization.yaml': 'resources: [all.yaml]\n',
      'context/manifests/one/all.yaml': all.join(''),
    };
    expect(await faults(files, 3000)).toEqual([
      expect.stringMatching(/one\/kustomization\.yaml.*kustomize (?:took|needed) over/),
    ]);
  }, 180_000);
});
