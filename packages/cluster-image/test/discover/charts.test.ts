import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { bytes, codeOf, OciError, readAll } from '@cluster-image/oci';
import { directory, type TarEntry, tarball } from '@cluster-image/storage';
import { temporaryDirectory } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { findInCharts } from '../../src/discover/charts.ts';
import type { Findings } from '../../src/discover/discovery.ts';
import { helmTemplate } from '../../src/helm.ts';
import { contextDirectory, type Given, putFiles } from '../context.ts';
import { pathWith } from '../tools.ts';

function find(
  root: string,
  variables: Readonly<Record<string, string | undefined>> = process.env,
  signal = new AbortController().signal,
  timeout?: number,
): Promise<Findings> {
  const render = helmTemplate(root, { cwd: root, variables }, signal, timeout);
  return findInCharts(directory(root), render);
}

/** `reference file:line via`, in order. */
async function images(root: string): Promise<readonly string[]> {
  const { images, unresolved } = await find(root);
  expect(unresolved).toEqual([]);
  return images.flatMap(({ reference, origins }) =>
    origins.map(({ file, line, via }) => `${reference} ${file}:${line ?? ''} ${via}`),
  );
}

async function failure(work: Promise<unknown>): Promise<OciError> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof OciError) return error;
  throw error ?? new Error('nothing failed');
}

const pod = (image: string): string => `apiVersion: v1
kind: Pod
metadata: {name: a}
spec:
  containers:
    - name: a
      image: ${image}
`;

const chart = (name: string, rest = ''): string =>
  `apiVersion: v2\nname: ${name}\nversion: 1.0.0\n${rest}`;

/** A packed chart: its files in a directory of its name. */
async function packed(name: string, files: Readonly<Record<string, string>>): Promise<Uint8Array> {
  const entries = Object.entries(files).map(
    ([path, text]): TarEntry => ({
      type: 'file',
      path: `${name}/${path}`,
      mode: 0o644,
      content: bytes(text),
    }),
  );
  const content = tarball(entries);
  return gzipSync(await readAll(content, content.size));
}

describe('a chart', () => {
  test('gives the images it renders to, with template and line', async () => {
    const root = await contextDirectory({
      'charts/folder/Chart.yaml': chart('web'),
      'charts/folder/values.yaml': 'image: {repository: quay.io/a/b, tag: v1}\n',
      'charts/folder/templates/pod.yaml': `# a pod\n${pod('{{ .Values.image.repository }}:{{ .Values.image.tag }}')}`,
      'charts/folder/templates/NOTES.txt': 'image: quay.io/notes/none:v1\n',
      'charts/folder/crds/crd.yaml': pod('quay.io/crd/none:v1'),
      'charts/folder/templates/test.yaml': pod('quay.io/test/none:v1').replace(
        '{name: a}',
        '{name: t, annotations: {helm.sh/hook: test}}',
      ),
      'charts/folder/templates/hook.yaml': pod('quay.io/hook/some:v1').replace(
        '{name: a}',
        '{name: h, annotations: {helm.sh/hook: pre-install}}',
      ),
    });
    expect(await images(root)).toEqual([
      'quay.io/a/b:v1 charts/folder/templates/pod.yaml:8 helm template charts/folder',
      'quay.io/hook/some:v1 charts/folder/templates/hook.yaml:7 helm template charts/folder',
    ]);
  });

  test('takes the values that are named after it, not after its folder', async () => {
    const root = await contextDirectory({
      'charts/folder/Chart.yaml': chart('web'),
      'charts/folder/values.yaml': 'tag: v1\n',
      'charts/folder/templates/pod.yaml': pod('quay.io/a/b:{{ .Values.tag }}'),
      'charts/web.values.yaml': 'tag: "1.10"\n',
      'charts/folder.values.yaml': 'tag: wrong\n',
    });
    expect(await images(root)).toEqual([
      'quay.io/a/b:1.10 charts/folder/templates/pod.yaml:7 helm template charts/folder -f charts/web.values.yaml',
    ]);
  });

  test('may be packed, with values beside it', async () => {
    const root = await contextDirectory({
      'charts/any-name.tgz': await packed('web', {
        'Chart.yaml': chart('web'),
        'values.yaml': 'tag: v1\n',
        'templates/pod.yaml': pod('quay.io/a/b:{{ .Values.tag }}'),
      }),
      'charts/web.values.yaml': 'tag: v2\n',
    });
    expect(await images(root)).toEqual([
      'quay.io/a/b:v2 charts/any-name.tgz: helm template charts/any-name.tgz -f charts/web.values.yaml: templates/pod.yaml',
    ]);
  });

  test('has subcharts, whose images its own values override', async () => {
    const dependencies =
      'dependencies: [{name: redis, version: 1.0.0}, {name: db, version: 1.0.0}]\n';
    const root = await contextDirectory({
      'charts/web/Chart.yaml': chart('web', dependencies),
      'charts/web/values.yaml': 'redis: {image: "quay.io/mine/redis:2"}\n',
      'charts/web/charts/redis/Chart.yaml': chart('redis'),
      'charts/web/charts/redis/values.yaml': 'image: redis:1\n',
      'charts/web/charts/redis/templates/pod.yaml': pod('{{ .Values.image }}'),
      'charts/web/charts/db-1.0.0.tgz': await packed('db', {
        'Chart.yaml': chart('db'),
        'templates/pod.yaml': pod('quay.io/a/db:1'),
      }),
    });
    expect(await images(root)).toEqual([
      'quay.io/a/db:1 charts/web: helm template charts/web: charts/db/templates/pod.yaml',
      'quay.io/mine/redis:2 charts/web/charts/redis/templates/pod.yaml:7 helm template charts/web',
    ]);
  });

  test('keeps its lines although helm sorts what it renders by kind', async () => {
    const of = (kind: string, image: string): string =>
      `apiVersion: apps/v1
kind: ${kind}
metadata: {name: a}
spec:
  template:
    spec:
      containers:
        - image: ${image}
`;
    const root = await contextDirectory({
      'charts/web/Chart.yaml': chart('web'),
      'charts/web/templates/all.yaml': `${of('Deployment', 'a.io/first:1')}---\n${of('DaemonSet', 'a.io/second:1')}`,
    });
    expect(await images(root)).toEqual([
      'a.io/first:1 charts/web/templates/all.yaml:8 helm template charts/web',
      'a.io/second:1 charts/web/templates/all.yaml:17 helm template charts/web',
    ]);
  });

  test('may lie in a context whose path means something to shells and to helm', async () => {
    const root = join(await temporaryDirectory(), `a, b;'"$(c) -d`);
    await mkdir(root);
    await putFiles(root, {
      'charts/my chart/Chart.yaml': chart('web'),
      'charts/my chart/templates/pod.yaml': pod('a.io/b:{{ .Values.tag }}'),
      'charts/web.values.yaml': 'tag: "1"\n',
    });
    const { images } = await find(root);
    expect(images.map(({ reference }) => reference)).toEqual(['a.io/b:1']);
  });

  test('several are rendered, and what is none of them is passed over', async () => {
    const root = await contextDirectory({
      'charts/a/Chart.yaml': chart('a'),
      'charts/a/templates/pod.yaml': pod('a.io/a:1'),
      'charts/b/Chart.yaml': chart('b'),
      'charts/b/templates/pod.yaml': pod('a.io/b:1'),
      'charts/empty/Chart.yaml': chart('empty'),
      'charts/README.md': 'image: a.io/none:1\n',
    });
    const { images, suspects } = await find(root);
    expect(images.map(({ reference }) => reference)).toEqual(['a.io/a:1', 'a.io/b:1']);
    expect(suspects).toEqual([]);
  });

  test('is missed where a directory has no Chart.yaml', async () => {
    const root = await contextDirectory({ 'charts/group/web/Chart.yaml': chart('web') });
    expect((await find(root)).suspects).toEqual([
      {
        text: 'charts/group',
        reason: 'a directory without Chart.yaml, which is not searched',
        origins: [{ file: 'charts/group' }],
      },
    ]);
  });
});

describe('Y06: a chart that cannot be right', () => {
  test.each([
    ['a name that leads elsewhere', chart('../x'), /"\.\.\/x" is not a chart name/],
    ['a name that is none', 'apiVersion: v2\nname: [a]\n', /has no name/],
    ['no mapping', '- name: a\n', /has no name/],
    ['no YAML', '{', /has no name/],
  ])('%s', async (_, text, message) => {
    const root = await contextDirectory({
      'charts/web/Chart.yaml': text,
      'charts/web/templates/pod.yaml': pod('a.io/b:1'),
    });
    const error = await failure(find(root));
    expect([error.code, error.message]).toEqual(['INPUT_INVALID', expect.stringMatching(message)]);
    expect(error.message).toContain('charts/web/Chart.yaml');
    expect(error.hint).toBeDefined();
  });

  test('a missing dependency is named, with the way to get it', async () => {
    const root = await contextDirectory({
      'charts/web/Chart.yaml': chart(
        'web',
        'dependencies: [{name: redis, version: 1.0.0, repository: "https://charts.invalid"}]\n',
      ),
    });
    const error = await failure(find(root));
    expect(error.code).toBe('TOOL');
    expect(error.message).toMatch(/^charts\/web: .*redis/s);
    expect(error.hint).toContain('helm dependency build');
  });

  test("Y07: a value that is required is asked for in the chart's own words", async () => {
    const root = await contextDirectory({
      'charts/web/Chart.yaml': chart('web'),
      'charts/web/templates/pod.yaml': pod('{{ required "image.tag please" .Values.tag }}'),
    });
    const error = await failure(find(root));
    expect([error.code, error.message]).toEqual([
      'TOOL',
      expect.stringMatching(/^charts\/web: .*templates\/pod\.yaml.*image\.tag please/s),
    ]);
    expect(error.hint).toContain('charts/<chart name>.values.yaml');
  });

  test('an archive that unpacks to far more than a chart', async () => {
    const bomb = gzipSync(Buffer.alloc(101 * 1024 * 1024), { level: 1 });
    const root = await contextDirectory({ 'charts/web.tgz': bomb });
    const error = await failure(find(root));
    expect([error.code, error.message]).toEqual([
      'ARCHIVE_INVALID',
      expect.stringContaining('charts/web.tgz'),
    ]);
  });

  test.each([
    ['no archive', Buffer.from('nothing'), 'ARCHIVE_INVALID'],
    ['an archive that breaks off', gzipSync(Buffer.alloc(2000)).subarray(0, 15), 'ARCHIVE_INVALID'],
    ['an empty archive', gzipSync(Buffer.alloc(1024)), 'INPUT_INVALID'],
  ])('%s', async (_, body, code) => {
    const root = await contextDirectory({ 'charts/web.tgz': body });
    const error = await failure(find(root));
    expect(error.code).toBe(code);
    expect(error.message).toContain('charts/web.tgz');
  });

  test('an archive whose files lead out of it', async () => {
    const root = await contextDirectory({
      'charts/web.tgz': await packed('web/../..', { 'Chart.yaml': chart('web') }),
    });
    expect(codeOf(await failure(find(root)))).toBe('ARCHIVE_INVALID');
  });

  const web = {
    'charts/web/Chart.yaml': chart('web'),
    'charts/web/templates/pod.yaml': pod('a.io/b:1'),
  };

  test.each<[string, Record<string, Given>, string]>([
    ['to a file outside', { 'charts/web/x.txt': { link: '/etc/hostname' } }, 'charts/web/x.txt'],
    ['to a directory outside', { 'charts/web/charts': { link: '../../..' } }, 'charts/web/charts'],
    [
      'to a link that leads outside',
      { 'charts/web/x.txt': { link: '../../y' }, y: { link: '/etc/hostname' } },
      'charts/web/x.txt',
    ],
    [
      'to a directory with such a link',
      { 'charts/web/files': { link: '../../files' }, 'files/deep/x': { link: '../../../x' } },
      'files/deep/x',
    ],
    ['to itself', { 'charts/web/x.txt': { link: 'x.txt' } }, 'charts/web/x.txt'],
    ['to nothing', { 'charts/web/x.txt': { link: 'none' } }, 'charts/web/x.txt'],
  ])('a link %s', async (_, files, named) => {
    const root = await contextDirectory({ ...web, ...files });
    const error = await failure(find(root));
    expect(error.code).toBe('INPUT_INVALID');
    expect(error.message).toMatch(new RegExp(`^${named} is a link to `));
  });

  test('a chart that is itself a link out of the context is unresolved', async () => {
    const root = await contextDirectory({ 'charts/web': { link: '/usr/share' } });
    expect((await find(root)).unresolved).toEqual([
      {
        text: '',
        reason: 'a link that leads to nothing in the context',
        origin: { file: 'charts/web' },
      },
    ]);
  });

  test('links inside the context are followed', async () => {
    const root = await contextDirectory({
      'charts/web': { link: '../shared/web' },
      'shared/web/Chart.yaml': chart('web'),
      'shared/web/templates': { link: '../templates' },
      'shared/web/values.yaml': { link: '../../values/web.yaml' },
      'shared/templates/pod.yaml': pod('a.io/b:{{ .Values.tag }}'),
      'values/web.yaml': 'tag: "1"\n',
    });
    const { images } = await find(root);
    expect(images.map(({ reference }) => reference)).toEqual(['a.io/b:1']);
  });

  test('a schema that refers to files or hosts is not followed', async () => {
    const schema =
      '{"$ref": "file:///dev/zero", "properties": {"a": {"$ref": "http://127.0.0.1:1"}}}';
    const root = await contextDirectory({ ...web, 'charts/web/values.schema.json': schema });
    expect((await find(root)).images).toHaveLength(1);
  });
});

describe('helm', () => {
  const files = {
    'charts/web/Chart.yaml': chart('web'),
    'charts/web/templates/pod.yaml': pod('a.io/b:1'),
  };

  test('that is not there is asked for', async () => {
    const root = await contextDirectory(files);
    const error = await failure(find(root, { PATH: await temporaryDirectory() }));
    expect([error.code, error.message, error.hint]).toEqual([
      'TOOL',
      'charts/web: helm is not on the PATH, and charts need it',
      expect.stringContaining('https://helm.sh'),
    ]);
  });

  test('sees nothing of the environment but the PATH', async () => {
    const root = await contextDirectory(files);
    const PATH = await pathWith('helm', 'env >&2; exit 1');
    const error = await failure(find(root, { PATH, CANARY: 'canary', KUBECONFIG: '/canary' }));
    expect(error.message).toContain('HOME=/nonexistent');
    expect(error.message).not.toContain('canary');
  });

  test('that prints without end is stopped', async () => {
    const root = await contextDirectory(files);
    const error = await failure(find(root, { PATH: await pathWith('helm', 'exec yes') }));
    expect([error.code, error.message]).toEqual([
      'TOOL',
      'charts/web: helm printed over 16777216 bytes',
    ]);
  });

  test('X04: that is at work when the run is interrupted ends with it', async () => {
    const root = await contextDirectory(files);
    const controller = new AbortController();
    const PATH = await pathWith('helm', 'exec sleep 600');
    const running = failure(find(root, { PATH }, controller.signal));
    setTimeout(() => controller.abort(), 100);
    expect((await running).code).toBe('ABORTED');
  });

  test.each([
    ['waits for its children', 'sleep 600; exit 0'],
    ['leaves its children behind', 'sleep 600 & exit 0'],
    ['does not let itself be ended', "trap '' TERM; sleep 600; sleep 600"],
  ])('X04: in a wrapper that %s is ended with all of them', async (_, script) => {
    const root = await contextDirectory(files);
    const PATH = await pathWith('helm', script);
    const { signal } = new AbortController();
    const error = await failure(find(root, { PATH }, signal, 300));
    expect([error.code, error.message]).toEqual(['TOOL', 'charts/web: helm took over 0.3 s']);
    const controller = new AbortController();
    const running = failure(find(root, { PATH }, controller.signal));
    setTimeout(() => controller.abort(), 100);
    expect((await running).code).toBe('ABORTED');
  });

  test('that does not know what it is told is too old', async () => {
    const root = await contextDirectory(files);
    const PATH = await pathWith('helm', 'echo "Error: unknown flag: --skip-x" >&2; exit 1');
    expect((await failure(find(root, { PATH }))).hint).toBe('Install helm 3.16 or later.');
  });
});
