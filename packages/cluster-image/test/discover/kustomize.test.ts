import { createServer } from 'node:http';
import { codeOf } from '@cluster-image/oci';
import { directory } from '@cluster-image/storage';
import { temporaryDirectory } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { discover } from '../../src/discover/discover.ts';
import type { Findings } from '../../src/discover/discovery.ts';
import { entriesBelow } from '../../src/discover/find-files.ts';
import { type BuildKustomization, findInKustomizations } from '../../src/discover/kustomize.ts';
import { type KustomizePlan, planKustomizations } from '../../src/discover/kustomize-plan.ts';
import { searchRules } from '../../src/discover/search-rules.ts';
import type { KustomizeSettings } from '../../src/discover/settings.ts';
import { type KustomizeOptions, kustomizeBuild } from '../../src/kustomize.ts';
import { contextDirectory, type Given } from '../context.ts';
import { pathWith } from '../tools.ts';

interface FindIn {
  readonly settings?: KustomizeSettings;
  readonly variables?: Readonly<Record<string, string | undefined>>;
  readonly options?: KustomizeOptions;
  readonly explain?: boolean;
}

async function planIn(root: string, settings?: KustomizeSettings): Promise<KustomizePlan> {
  const tree = directory(root);
  return planKustomizations(tree, await entriesBelow(tree, 'manifests'), settings);
}

/** Finds with the real kubectl, in a directory. */
async function findIn(
  root: string,
  { settings, variables, options, explain }: FindIn = {},
): Promise<Findings> {
  const plan = await planIn(root, settings);
  const build = builder(root, variables, options);
  return findInKustomizations(directory(root), plan, { build, rules: searchRules(), explain });
}

function builder(
  root: string,
  variables: FindIn['variables'] = process.env,
  options: KustomizeOptions = {},
): BuildKustomization {
  const { signal } = new AbortController();
  return kustomizeBuild(root, { cwd: root, variables }, signal, options);
}

async function find(
  files: Readonly<Record<string, Given>>,
  options: FindIn = {},
): Promise<Findings> {
  return findIn(await contextDirectory(files), options);
}

/** `reference file:line`, in order; nothing else may be found. */
async function images(
  files: Readonly<Record<string, Given>>,
  settings: KustomizeSettings = {},
): Promise<readonly string[]> {
  const { images, suspects, unresolved } = await find(files, { settings });
  expect([suspects, unresolved]).toEqual([[], []]);
  const lines = images.flatMap(({ reference, origins }) =>
    origins.map(({ file, line }) => `${reference} ${file}:${line ?? ''}`),
  );
  return [...new Set(lines)];
}

/** `file:line: reason` of what is unresolved; no image may be found, and nothing be run. */
async function refused(
  files: Readonly<Record<string, Given>>,
  settings: KustomizeSettings = {},
): Promise<readonly string[]> {
  const ran = await temporaryDirectory();
  const PATH = await pathWith('kubectl', `touch ${ran}/ran`);
  const found = await find(files, { settings, variables: { PATH } });
  expect(found.images).toEqual([]);
  expect(await directory(ran).entry('ran')).toBe(undefined);
  return found.unresolved.map(({ reason, origin: { file, line } }) => `${file}:${line}: ${reason}`);
}

const pod = (image: string, name = 'a'): string => `apiVersion: v1
kind: Pod
metadata: {name: ${name}}
spec:
  containers:
    - name: a
      image: ${image}
`;

describe('kustomizations', () => {
  test('have the images of what they are built to, and tell where those are written', async () => {
    const found = await find({
      'manifests/app/kustomization.yaml': `resources: [pod.yaml, other.yaml]
images:
  - name: web
    newName: quay.io/acme/web
    newTag: "1.10"
`,
      'manifests/app/pod.yaml': pod('web:placeholder'),
      'manifests/app/other.yaml': `# two lines\n${pod('"redis:8"', 'b')}`,
    });
    const via = 'kustomize build manifests/app';
    expect(found).toEqual({
      images: [
        {
          reference: 'docker.io/library/redis:8',
          origins: [{ file: 'manifests/app/other.yaml', line: 8, via }],
        },
        {
          reference: 'quay.io/acme/web:1.10',
          origins: [{ file: 'manifests/app/kustomization.yaml', line: 5, via }],
        },
      ],
      suspects: [],
      unresolved: [],
    });
  });

  test('are built from those on that no other refers to, through components, bases and patches', async () => {
    const files = {
      'manifests/base/kustomization.yml': 'resources: [pod.yaml]\n',
      'manifests/base/pod.yaml': pod('placeholder'),
      'manifests/parts/sidecar/kustomization.yaml': `apiVersion: kustomize.config.k8s.io/v1alpha1
kind: Component
patches: [{path: sidecar.yaml}]
`,
      'manifests/parts/sidecar/sidecar.yaml': `apiVersion: v1
kind: Pod
metadata: {name: a}
spec:
  containers:
    - {name: side, image: 'quay.io/acme/side:2'}
`,
      'manifests/prod/Kustomization': `bases: [../base]
components:
  - ../parts/sidecar
patches:
  - patch: |-
      - op: replace
        path: /spec/containers/1/image
        value: quay.io/acme/app:3
    target: {kind: Pod}
`,
    };
    expect(await images(files)).toEqual([
      'quay.io/acme/app:3 manifests/prod/Kustomization:8',
      'quay.io/acme/side:2 manifests/parts/sidecar/sidecar.yaml:6',
    ]);
    const { roots, covered } = await planIn(await contextDirectory(files));
    expect(roots.map(({ file }) => file)).toEqual(['manifests/prod/Kustomization']);
    expect([...covered].sort()).toEqual(Object.keys(files).sort());
  });

  test('outside of manifests are those that settings name, even those others refer to', async () => {
    const files = {
      'deploy/base/kustomization.yaml': 'resources: [pod.yaml]\n',
      'deploy/base/pod.yaml': pod('nginx:1'),
      'deploy/prod/kustomization.yaml':
        'resources: [../base]\nimages: [{name: nginx, newTag: "2"}]\n',
      'deploy/link': { link: 'prod' },
      'manifests/kustomization.yaml': 'resources: [../deploy/base]\nnamePrefix: m-\n',
    };
    expect(await images(files)).toEqual(['docker.io/library/nginx:1 deploy/base/pod.yaml:7']);
    expect(await images(files, { overlays: ['./deploy/link/', 'deploy/base'] })).toEqual([
      'docker.io/library/nginx:1 deploy/base/pod.yaml:7',
      'docker.io/library/nginx:2 deploy/prod/kustomization.yaml:2',
    ]);
    for (const overlay of ['deploy', 'deploy/none', '../elsewhere', '/etc', '']) {
      const error = await find(files, { settings: { overlays: [overlay] } }).catch(
        (reason: unknown) => reason,
      );
      expect([overlay, codeOf(error)]).toEqual([overlay, 'INPUT_INVALID']);
    }
  });

  test('tell the line of what they are built to, where that is asked for', async () => {
    const files = {
      'manifests/kustomization.yaml': 'namePrefix: a-\nresources: [pod.yaml]\n',
      'manifests/pod.yaml': `# two\n# lines\n${pod('nginx:1')}`,
    };
    const { images } = await find(files, { explain: true });
    expect(images.flatMap(({ origins }) => origins)).toEqual([
      { file: 'manifests/pod.yaml', line: 9, via: 'kustomize build manifests', rendered: 7 },
    ]);
  });

  test('tell no line where several could be meant', async () => {
    const files = {
      'manifests/kustomization.yaml': 'resources: [a.yaml, b.yaml]\n',
      'manifests/a.yaml': pod('redis:8', 'a'),
      'manifests/b.yaml': pod('redis:8', 'b'),
    };
    expect(await images(files)).toEqual([
      'docker.io/library/redis:8 manifests/kustomization.yaml:',
    ]);
  });

  test('have suspects as well, in the files they make ConfigMaps of', async () => {
    const { suspects } = await find({
      'manifests/kustomization.yaml': 'configMapGenerator: [{name: c, files: [k=conf.yaml]}]\n',
      'manifests/conf.yaml': 'proxy: quay.io/acme/proxy:1\n',
    });
    expect(suspects.map(({ text, origins }) => [text, origins[0]?.file, origins[0]?.line])).toEqual(
      [['quay.io/acme/proxy:1', 'manifests/conf.yaml', 1]],
    );
  });

  test('are built by kustomize where that is installed', async () => {
    const PATH = await pathWith(
      'kustomize',
      '[ "$1 $2" = "build ./manifests" ] && /bin/cat manifests/p',
    );
    const root = await contextDirectory({
      'manifests/kustomization.yaml': 'resources: [p]\n',
      'manifests/p': pod('quay.io/acme/app:1'),
    });
    const { images } = await findIn(root, { variables: { PATH } });
    expect(images.map(({ reference }) => reference)).toEqual(['quay.io/acme/app:1']);
  });

  test('need a tool only where there are any', async () => {
    const variables = { PATH: await temporaryDirectory() };
    const plain = { 'manifests/pod.yaml': pod('nginx:1') };
    expect(await find(plain, { variables })).toEqual({ images: [], suspects: [], unresolved: [] });
    const error = await find(
      { 'manifests/kustomization.yaml': 'resources: []\n' },
      { variables },
    ).catch((reason: unknown) => reason);
    expect(codeOf(error)).toBe('TOOL');
    expect(error).toMatchObject({ hint: expect.stringContaining('kubectl') });
  });

  test('that are broken hide no others, and say what is wrong without paths of the machine', async () => {
    const root = await contextDirectory({
      'manifests/broken/kustomization.yaml': 'resources: [none.yaml]\nbases: []\n',
      'manifests/whole/kustomization.yaml': 'resources: [pod.yaml]\n',
      'manifests/whole/pod.yaml': pod('nginx:1'),
      'manifests/syntax/kustomization.yaml': 'resources: [\n',
    });
    const { images, unresolved } = await findIn(root);
    expect(images.map(({ reference }) => reference)).toEqual(['docker.io/library/nginx:1']);
    const [broken, syntax] = unresolved;
    expect(broken).toMatchObject({
      origin: {
        file: 'manifests/broken/kustomization.yaml',
        via: 'kustomize build manifests/broken',
      },
      reason: expect.stringMatching(/^kubectl kustomize: .*none\.yaml/),
    });
    expect(broken?.reason).not.toContain(root);
    expect(broken?.reason).not.toContain('\n');
    expect(syntax).toMatchObject({
      origin: { file: 'manifests/syntax/kustomization.yaml', line: 2 },
      reason: expect.stringMatching(/^not YAML: /),
    });
    expect(unresolved).toHaveLength(2);
  });

  test('of Flux are objects like any other', async () => {
    const flux = 'apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nspec: {}\n';
    const root = await contextDirectory({ 'manifests/kustomization.yaml': flux });
    const { roots, covered } = await planIn(root);
    expect([roots, [...covered]]).toEqual([[], []]);
  });
});

describe('a context with kustomizations', () => {
  test('has the images of other manifests as well, and none of what kustomize replaces', async () => {
    const root = await contextDirectory({
      'manifests/plain.yaml': pod('quay.io/acme/plain:1'),
      'manifests/app/plain.yaml': pod('quay.io/acme/beside:1'),
      'manifests/app/kustomization.yaml':
        'resources: [pod.yaml]\nimages: [{name: placeholder, newName: quay.io/acme/app, newTag: v1}]\n',
      'manifests/app/pod.yaml': pod('placeholder:none'),
      'deploy/kustomization.yaml':
        'resources: [pod.yaml]\nimages: [{name: quay.io/acme/copied, newTag: v2}]\n',
      'deploy/pod.yaml': pod('quay.io/acme/copied:v1'),
      Kubefile: 'FROM scratch\nCOPY deploy manifests/deploy\n',
    });
    const references = async (settings: KustomizeSettings): Promise<readonly string[]> => {
      const { images } = await discover(directory(root), {
        render: async () => '',
        kustomize: builder(root),
        settings: { kustomize: settings },
      });
      return images.map(({ reference }) => reference);
    };
    const [app, beside, plain] = ['app:v1', 'beside:1', 'plain:1'].map((n) => `quay.io/acme/${n}`);
    expect(await references({})).toEqual([app, beside, 'quay.io/acme/copied:v1', plain]);
    expect(await references({ overlays: ['deploy'] })).toEqual([
      app,
      beside,
      'quay.io/acme/copied:v2',
      plain,
    ]);
  });
});

describe('what kustomize would fetch', () => {
  const hint = 'is fetched from elsewhere; keep a copy in the context';

  test.each([
    'https://example.com/app.yaml',
    ' HTTP://example.com/app.yaml',
    'github.com/acme/app//deploy?ref=v1',
    'GitHub.com:acme/app',
    'git::https://example.com/acme/app',
    'git@github.com:acme/app.git',
    'org-1@example.com:acme/app.git',
    'ssh://git@example.com/acme/app',
    'file:///srv/app.git',
    'gh:acme/app',
  ])('is refused, with its place and the ways out: %s', async (url) => {
    for (const field of ['resources', 'bases', 'components', 'transformers', 'Resources']) {
      const text = `namePrefix: a-\n${field}:\n  - ${JSON.stringify(url)}\n`;
      const [only, ...others] = await refused({ 'manifests/kustomization.yaml': text });
      expect(only).toContain('manifests/kustomization.yaml:3: ');
      expect(only).toContain(hint);
      expect(only).toContain('kustomize.remote in cluster-image.json');
      expect(others).toEqual([]);
    }
  });

  test.each([
    ['patches: [{path: "https://e.example/p"}]'],
    ['patches: ["https://e.example/p"]'],
    ['patchesStrategicMerge: ["https://e.example/p"]'],
    ['patchesJson6902: [{path: "https://e.example/p", target: {kind: Pod}}]'],
    ['configMapGenerator: [{name: a, files: ["k=https://e.example/p"]}]'],
    ['secretGenerator: [{name: a, envs: ["https://e.example/p"]}]'],
    ['secretGenerator: [{name: a, env: "https://e.example/p"}]'],
    ['openapi: {path: "https://e.example/p"}'],
    ['crds: ["https://e.example/p"]'],
    ['configurations: ["https://e.example/p"]'],
    ['replacements: [{path: "https://e.example/p"}]'],
    [
      'generators: ["apiVersion: builtin\\nkind: ConfigMapGenerator\\nfiles: [\'https://e.example/p\']\\n"]',
    ],
    ['transformers: [../plugins/plugin.yaml]'],
    ['transformers: [../plugins]'],
    ['x: &u ["https://e.example/p"]\nresources: *u'],
    ['<<: {resources: ["https://e.example/p"]}'],
    ['re\u017fources: ["https://e.example/p"]'],
    ['---\nresources: []\n---\nresources: ["https://e.example/p"]'],
  ])('is refused wherever it is: %s', async (text) => {
    const plugin =
      'apiVersion: builtin\nkind: PatchTransformer\nmetadata: {name: p}\npath: https://e.example/p\n';
    const reasons = await refused({
      'manifests/kustomization.yaml': `${text}\n`,
      'plugins/kustomization.yaml': 'resources: [plugin.yaml]\n',
      'plugins/plugin.yaml': plugin,
    });
    expect(reasons).toHaveLength(1);
    expect(reasons[0]).toContain(hint);
  });

  test('is refused where a base of a base refers to it, and nothing of either is built', async () => {
    expect(
      await refused({
        'manifests/kustomization.yaml': 'resources: [../vendor/a]\n',
        'vendor/a/kustomization.yaml': 'resources: [b]\n',
        'vendor/a/b/kustomization.yaml': '\n\nresources: [github.com/acme/app]\n',
      }),
    ).toEqual([
      expect.stringMatching(/^vendor\/a\/b\/kustomization\.yaml:3: "github\.com\/acme\/app"/),
    ]);
  });

  test.each([
    ['a tag', 'resources: [!!binary aHR0cHM6Ly9lLmV4YW1wbGUvcA==]'],
    ['an alias for a key', 'x: &k resources\n*k : ["https://e.example/p"]'],
    ['a line that breaks for some', '# a\rresources: ["https://e.example/p"]'],
    ['another of them', '# a\u2028resources: ["https://e.example/p"]'],
  ])('is not hidden by %s', async (_, text) => {
    expect(await refused({ 'manifests/kustomization.yaml': `${text}\n` })).toHaveLength(1);
  });

  test('are charts, too', async () => {
    const chart = 'helmCharts:\n  - {name: a, repo: "https://e.example", version: 1.0.0}\n';
    const generator =
      'apiVersion: builtin\nkind: HelmChartInflationGenerator\nmetadata: {name: a}\n';
    const reason = 'a chart that kustomize would fetch and render; put it into charts/';
    const settings = { remote: true };
    expect(await refused({ 'manifests/kustomization.yaml': chart }, settings)).toEqual([
      `manifests/kustomization.yaml:2: ${reason}`,
    ]);
    const files = {
      'manifests/kustomization.yaml': 'generators: [g.yaml]\n',
      'manifests/g.yaml': generator,
    };
    expect(await refused(files, settings)).toEqual([`manifests/g.yaml:2: ${reason}`]);
  });

  test('is fetched where that is allowed', async () => {
    const server = createServer((_, response) => response.end(pod('quay.io/acme/far:1')));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    try {
      const address = server.address();
      const port = typeof address === 'object' ? address?.port : undefined;
      const files = {
        'manifests/kustomization.yaml': `resources: ["http://127.0.0.1:${port}/pod.yaml"]\n`,
      };
      const found = await find(files, {
        settings: { remote: true },
        options: { remote: true },
      });
      expect(found.unresolved).toEqual([]);
      expect(found.images.map(({ reference }) => reference)).toEqual(['quay.io/acme/far:1']);
    } finally {
      server.close();
    }
  });
});
