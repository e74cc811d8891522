import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { bytes, readAll } from '@cluster-image/oci';
import { directory, tarball } from '@cluster-image/storage';
import { temporaryDirectory } from '@cluster-image/testing';
import { describe, expect, test } from 'vitest';
import { findInCharts } from '../../src/discover/charts.ts';
import type { Findings, Unresolved } from '../../src/discover/discovery.ts';
import type { ChartSettings } from '../../src/discover/settings.ts';
import { helmTemplate } from '../../src/helm.ts';
import { findCommands } from '../../src/kubefile/commands.ts';
import { chartFile, packedChart, pod } from '../chart-files.ts';
import { contextDirectory, type Given, putFiles } from '../context.ts';
import { failureOf } from '../failure.ts';

type Charts = Readonly<Record<string, ChartSettings>>;

async function find(root: string, settings: Charts = {}): Promise<Findings> {
  const environment = { cwd: root, variables: process.env };
  const render = helmTemplate(root, environment, new AbortController().signal);
  const tree = directory(root);
  const commands = await findCommands(tree, {});
  return findInCharts(tree, { render, settings, commands });
}

/** `reference file:line via`, in order. */
async function images(root: string, settings: Charts = {}): Promise<readonly string[]> {
  const { images, unresolved } = await find(root, settings);
  expect(unresolved).toEqual([]);
  return images.flatMap(({ reference, origins }) =>
    origins.map(({ file, line, via }) => `${reference} ${file}:${line ?? ''} ${via}`),
  );
}

/** The one chart that cannot be rendered. */
async function unrendered(found: Promise<Findings>): Promise<Unresolved> {
  const { unresolved } = await found;
  const [only] = unresolved;
  expect(unresolved).toHaveLength(1);
  if (!only) throw new Error('all was rendered');
  return only;
}

/** An archive with one file of zeros. */
async function tarOf(path: string, size: number): Promise<Uint8Array> {
  const content = bytes(Buffer.alloc(size));
  const tar = tarball([{ type: 'file', path, mode: 0o644, content }]);
  return readAll(tar, tar.size);
}

describe('a chart', () => {
  test('gives the images it renders to, with template and line', async () => {
    const root = await contextDirectory({
      'charts/folder/Chart.yaml': chartFile('web'),
      'charts/folder/values.yaml': 'image: {repository: quay.io/a/b, tag: v1}\n',
      'charts/folder/templates/pod.yaml': `# a pod\n${pod('{{ .Values.image.repository }}:{{ .Values.image.tag }}')}`,
      'charts/folder/templates/NOTES.txt': 'image: quay.io/notes/none:v1\n',
      'charts/folder/crds/crd.yaml': pod('quay.io/crd/some:v1'),
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
      'quay.io/crd/some:v1 charts/folder/crds/crd.yaml:7 helm template charts/folder',
      'quay.io/hook/some:v1 charts/folder/templates/hook.yaml:7 helm template charts/folder',
    ]);
  });

  test('takes the values that are named after it, not after its folder', async () => {
    const root = await contextDirectory({
      'charts/folder/Chart.yaml': chartFile('web'),
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
      'charts/any-name.tgz': await packedChart('web', {
        'Chart.yaml': chartFile('web'),
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
      'charts/web/Chart.yaml': chartFile('web', dependencies),
      'charts/web/values.yaml': 'redis: {image: "quay.io/mine/redis:2"}\n',
      'charts/web/charts/redis/Chart.yaml': chartFile('redis'),
      'charts/web/charts/redis/values.yaml': 'image: redis:1\n',
      'charts/web/charts/redis/templates/pod.yaml': pod('{{ .Values.image }}'),
      'charts/web/charts/db-1.0.0.tgz': await packedChart('db', {
        'Chart.yaml': chartFile('db'),
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
      'charts/web/Chart.yaml': chartFile('web'),
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
      'charts/my chart/Chart.yaml': chartFile('web'),
      'charts/my chart/templates/pod.yaml': pod('a.io/b:{{ .Values.tag }}'),
      'charts/web.values.yaml': 'tag: "1"\n',
    });
    const { images } = await find(root);
    expect(images.map(({ reference }) => reference)).toEqual(['a.io/b:1']);
  });

  test('several are rendered, and what is none of them is passed over', async () => {
    const root = await contextDirectory({
      'charts/a/Chart.yaml': chartFile('a'),
      'charts/a/templates/pod.yaml': pod('a.io/a:1'),
      'charts/b/Chart.yaml': chartFile('b'),
      'charts/b/templates/pod.yaml': pod('a.io/b:1'),
      'charts/empty/Chart.yaml': chartFile('empty'),
      'charts/README.md': 'image: a.io/none:1\n',
    });
    const { images, suspects } = await find(root);
    expect(images.map(({ reference }) => reference)).toEqual(['a.io/a:1', 'a.io/b:1']);
    expect(suspects).toEqual([]);
  });

  test('is missed where a directory has no Chart.yaml', async () => {
    const root = await contextDirectory({ 'charts/group/web/Chart.yaml': chartFile('web') });
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
    [
      'a name that leads elsewhere',
      chartFile('../x'),
      /^Chart\.yaml: "\.\.\/x" is not a chart name\. A chart names itself/,
    ],
    ['a name that is none', 'apiVersion: v2\nname: [a]\n', /has no name/],
    ['no mapping', '- name: a\n', /has no name/],
    ['no YAML', '{', /has no name/],
  ])('%s', async (_, text, message) => {
    const root = await contextDirectory({
      'charts/web/Chart.yaml': text,
      'charts/web/templates/pod.yaml': pod('a.io/b:1'),
    });
    expect(await unrendered(find(root))).toEqual({
      text: '',
      reason: expect.stringMatching(message),
      origin: { file: 'charts/web' },
    });
  });

  test('Y07: a value that is required is asked for in its own words, where it is needed', async () => {
    const root = await contextDirectory({
      'charts/web/Chart.yaml': chartFile('web'),
      'charts/web/templates/pod.yaml': pod('{{ required "image.tag please" .Values.tag }}'),
    });
    expect(await unrendered(find(root))).toEqual({
      text: '',
      reason:
        'execution error at (web/templates/pod.yaml:7:16): image.tag please. Values that it needs are given in charts/web.values.yaml, or as charts."charts/web".set in cluster-image.json.',
      origin: { file: 'charts/web/templates/pod.yaml', line: 7, via: 'helm template charts/web' },
    });
  });

  test('a value that is not there is named', async () => {
    const root = await contextDirectory({
      'charts/web/Chart.yaml': chartFile('web'),
      'charts/web/templates/pod.yaml': pod('{{ .Values.image.own.tag }}'),
    });
    const { reason, origin } = await unrendered(find(root));
    expect(reason).toMatch(
      /nil pointer .* Give image\.own\.tag in charts\/web\.values\.yaml, or as /,
    );
    expect(origin).toMatchObject({ file: 'charts/web/templates/pod.yaml', line: 7 });
  });

  test('a version of Kubernetes that is too old can be said to be another', async () => {
    const root = await contextDirectory({
      'charts/web/Chart.yaml': chartFile('web', 'kubeVersion: ">=1.99"\n'),
      'charts/web/templates/pod.yaml': pod('a.io/b:1'),
    });
    expect((await unrendered(find(root))).reason).toMatch(
      /requires kubeVersion: >=1\.99 .* Give that of the cluster as charts\."charts\/web"\.kubeVersion in /,
    );
    const { images } = await find(root, { 'charts/web': { kubeVersion: '1.99' } });
    expect(images).toHaveLength(1);
  });

  test('a packed chart in it that unpacks to far more than a chart', async () => {
    const root = await contextDirectory({
      'charts/web/Chart.yaml': chartFile('web'),
      'charts/web/charts/bomb-1.0.0.tgz': gzipSync(
        await tarOf('bomb/values.yaml', 101 * 1024 * 1024),
        { level: 1 },
      ),
    });
    expect((await unrendered(find(root))).reason).toMatch(
      /larger than the maximum|over 104857600 bytes/,
    );
  });

  test('one that cannot be rendered does not hide the others', async () => {
    const root = await contextDirectory({
      'charts/broken/Chart.yaml': chartFile('broken'),
      'charts/broken/templates/pod.yaml': '{{ fail "never" }}',
      'charts/bad.tgz': 'nothing',
      'charts/web/Chart.yaml': chartFile('web'),
      'charts/web/templates/pod.yaml': pod('a.io/b:1'),
    });
    const { images, unresolved } = await find(root);
    expect(images.map(({ reference }) => reference)).toEqual(['a.io/b:1']);
    expect(unresolved.map(({ origin }) => origin.file)).toEqual([
      'charts/bad.tgz',
      'charts/broken/templates/pod.yaml',
    ]);
  });

  test('an archive that unpacks to far more than a chart', async () => {
    const bomb = gzipSync(Buffer.alloc(101 * 1024 * 1024), { level: 1 });
    const root = await contextDirectory({ 'charts/web.tgz': bomb });
    const { reason, origin } = await unrendered(find(root));
    expect(reason).toContain('charts/web.tgz: over 104857600 bytes');
    expect(origin).toEqual({ file: 'charts/web.tgz' });
  });

  test.each([
    ['no archive', Buffer.from('nothing'), /incorrect header/],
    ['an archive that breaks off', gzipSync(Buffer.alloc(2000)).subarray(0, 15), /unexpected end/],
    ['an empty archive', gzipSync(Buffer.alloc(1024)), /is an empty archive/],
  ])('%s', async (_, body, why) => {
    const root = await contextDirectory({ 'charts/web.tgz': body });
    const { reason, origin } = await unrendered(find(root));
    expect(reason).toMatch(why);
    expect(origin).toEqual({ file: 'charts/web.tgz' });
  });

  test('an archive whose files lead out of it', async () => {
    const root = await contextDirectory({
      'charts/web.tgz': await packedChart('web/../..', { 'Chart.yaml': chartFile('web') }),
    });
    expect((await unrendered(find(root))).reason).toContain('web/../..');
  });

  const web = {
    'charts/web/Chart.yaml': chartFile('web'),
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
    const { reason, origin } = await unrendered(find(root));
    expect(reason).toMatch(new RegExp(`^${named} is a link to `));
    expect(origin).toEqual({ file: 'charts/web' });
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
      'shared/web/Chart.yaml': chartFile('web'),
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

describe('what the configuration says of charts', () => {
  const web = {
    'charts/web/Chart.yaml': chartFile('web'),
    'charts/web/values.yaml': 'tag: own\nlist: []\nquoted: plain\n',
    'charts/web/templates/pod.yaml': pod(
      'a.io/{{ .Release.Name }}/{{ .Release.Namespace }}:{{ .Capabilities.KubeVersion.Minor }}-{{ .Capabilities.APIVersions.Has "a.io/v1/Pod" }}-{{ .Values.tag }}-{{ len .Values.list }}-{{ len .Values.quoted }}',
    ),
  };
  const line = 'charts/web/templates/pod.yaml:7';

  test('is what their templates are told', async () => {
    const root = await contextDirectory({ ...web, 'charts/web.values.yaml': 'tag: beside\n' });
    const settings = {
      release: 'site',
      namespace: 'ns',
      kubeVersion: '1.27',
      apiVersions: ['a.io/v1/Pod'],
    };
    expect(await images(root, { './charts/web/': settings })).toEqual([
      `a.io/site/ns:27-true-beside-0-5 ${line} helm template site charts/web -n ns --kube-version 1.27 -a a.io/v1/Pod -f charts/web.values.yaml`,
    ]);
  });

  test('is their values, those of files and single ones over them', async () => {
    const root = await contextDirectory({
      ...web,
      'charts/web.values.yaml': 'tag: beside\nquoted: ""\n',
      'values/a,b.yaml': 'tag: first\n',
      'values/second.yaml': { link: '../other/second.yaml' },
      'other/second.yaml': 'tag: second\n',
    });
    const values = ['values/second.yaml', './values/a,b.yaml'];
    expect(await images(root, { 'charts/web': { values } })).toEqual([
      `a.io/dryrun/default:35-false-first-0-5 ${line} helm template charts/web -f values/second.yaml -f values/a,b.yaml`,
    ]);
    const set = { list: [1, { a: ',' }], quoted: '"],{}' };
    const given = await find(root, { 'charts/web': { values, set } });
    expect(given.images.map(({ reference }) => reference)).toEqual([
      'a.io/dryrun/default:35-false-first-2-5',
    ]);
  });

  test('is several ways to render them, whose images are united', async () => {
    const root = await contextDirectory({
      ...web,
      'values/shared.yaml': 'list: [1]\n',
      'values/b.yaml': 'tag: b\n',
    });
    const settings: ChartSettings = {
      namespace: 'ns',
      values: ['values/shared.yaml'],
      set: { quoted: '' },
      variants: [{ release: 'a' }, { release: 'b', values: ['values/b.yaml'], set: { list: [] } }],
    };
    const { images } = await find(root, { 'charts/web': settings });
    expect(images.map(({ reference }) => reference)).toEqual([
      'a.io/a/ns:35-false-own-1-0',
      'a.io/b/ns:35-false-b-0-0',
    ]);
  });

  test('is whether their tests count', async () => {
    const root = await contextDirectory({
      'charts/web/Chart.yaml': chartFile('web'),
      'charts/web/templates/test.yaml': pod('a.io/test:1').replace(
        '{name: a}',
        '{name: t, annotations: {helm.sh/hook: test}}',
      ),
    });
    expect((await find(root)).images).toEqual([]);
    expect((await find(root, { 'charts/web': { tests: true } })).images).toHaveLength(1);
  });

  test('is that there are others elsewhere', async () => {
    const root = await contextDirectory({
      'apps/web/Chart.yaml': chartFile('web'),
      'apps/web/templates/pod.yaml': pod('a.io/web:1'),
      'charts/group/db/Chart.yaml': chartFile('db'),
      'charts/group/db/templates/pod.yaml': pod('a.io/db:1'),
      'packed/any': await packedChart('any', {
        'Chart.yaml': chartFile('any'),
        'templates/pod.yaml': pod('a.io/any:1'),
      }),
    });
    const settings = { 'apps/web/': {}, './charts/group/db': {}, 'packed/any': {} };
    expect(await images(root, settings)).toEqual([
      'a.io/any:1 packed/any: helm template packed/any: templates/pod.yaml',
      'a.io/db:1 charts/group/db/templates/pod.yaml:7 helm template charts/group/db',
      'a.io/web:1 apps/web/templates/pod.yaml:7 helm template apps/web',
    ]);
    expect((await find(root, settings)).suspects).toEqual([]);
  });

  test.each<[string, Charts, RegExp]>([
    [
      'a chart that is not there',
      { 'apps/none': {} },
      /charts\."apps\/none": there is no such path/,
    ],
    ['a chart outside', { '../web': {} }, /charts\."\.\.\/web": is not a path in the context/],
    ['a path of the machine', { '/web': {} }, /is not a path in the context/],
    ['the same twice', { 'charts/web': {}, 'charts/web/': {} }, /names charts\/web once more/],
    ['no values file', { 'charts/web': { values: ['none.yaml'] } }, /no values file none\.yaml/],
    [
      'a values file outside',
      { 'charts/web': { variants: [{ values: ['../../etc/hostname'] }] } },
      /no values file \.\.\/\.\.\/etc\/hostname in the context/,
    ],
    [
      'a values file that is a link to the outside',
      { 'charts/web': { values: ['outward.yaml'] } },
      /no values file outward\.yaml/,
    ],
  ])('names %s, which is an error', async (_, settings, message) => {
    const root = await contextDirectory({ ...web, 'outward.yaml': { link: '/etc/hostname' } });
    const error = await failureOf(find(root, settings));
    expect([error.code, error.message]).toEqual(['INPUT_INVALID', expect.stringMatching(message)]);
  });

  test('may be that it comes from elsewhere, and is missed while it does not', async () => {
    const root = await contextDirectory({});
    const settings = { 'charts/web.tgz': { repository: 'oci://a.io/charts' } };
    expect((await find(root, settings)).unresolved).toEqual([
      {
        text: '',
        reason: 'a chart of oci://a.io/charts that was not fetched',
        origin: { file: 'charts/web.tgz' },
      },
    ]);
  });
});

describe('a chart that the build file installs', () => {
  const web = {
    'charts/web/Chart.yaml': chartFile('web'),
    'charts/web/templates/pod.yaml': pod(
      'a.io/{{ .Release.Name }}/{{ .Release.Namespace }}:{{ required "tag please" .Values.tag }}',
    ),
  };
  const kubefile = (...commands: readonly string[]): string =>
    `FROM scratch\nCOPY . .\nCMD ${JSON.stringify(commands)}\n`;
  const references = async (root: string, settings?: Charts): Promise<readonly string[]> => {
    const { images, unresolved } = await find(root, settings);
    expect(unresolved).toEqual([]);
    return images.map(({ reference }) => reference);
  };

  test('is rendered as its commands have it, and with the values beside it', async () => {
    const root = await contextDirectory({
      ...web,
      'charts/web.values.yaml': 'tag: beside\n',
      Kubefile: kubefile(
        'helm upgrade -i site charts/web -n ns --set tag=a',
        'helm upgrade -i site charts/web -n ns --set tag=a',
        'helm upgrade -i other charts/web --set tag=b',
      ),
    });
    expect(await references(root)).toEqual([
      'a.io/other/default:b',
      'a.io/site/ns:a',
      'a.io/site/ns:beside',
    ]);
  });

  test('is rendered as the configuration has it where that says its values', async () => {
    const root = await contextDirectory({
      ...web,
      'charts/web.values.yaml': 'tag: beside\n',
      Kubefile: kubefile('helm upgrade -i site charts/web -n ns --set tag=a'),
    });
    expect(await references(root, { 'charts/web': { set: { tag: 'c' } } })).toEqual([
      'a.io/site/ns:c',
    ]);
    expect(await references(root, { 'charts/web': { namespace: 'mine' } })).toEqual([
      'a.io/site/mine:a',
      'a.io/site/mine:beside',
    ]);
  });

  test('may lie anywhere in the context', async () => {
    const root = await contextDirectory({
      'apps/web/Chart.yaml': chartFile('web'),
      'apps/web/templates/pod.yaml': pod('a.io/b:1'),
      Kubefile: kubefile('helm install web apps/web'),
    });
    expect(await references(root)).toEqual(['a.io/b:1']);
  });

  test('may lie in a directory with others, which is no chart that was passed over', async () => {
    const files = {
      'charts/group/web/Chart.yaml': chartFile('web'),
      'charts/group/web/templates/pod.yaml': pod('a.io/b:1'),
      'charts/group/README.md': 'Charts.',
      Kubefile: kubefile('helm install web charts/group/web'),
    };
    const root = await contextDirectory(files);
    expect(await references(root)).toEqual(['a.io/b:1']);
    expect((await find(root)).suspects).toEqual([]);
    const more = await contextDirectory({
      ...files,
      'charts/group/db/Chart.yaml': chartFile('db'),
    });
    expect((await find(more)).suspects.map(({ text }) => text)).toEqual(['charts/group']);
  });

  test('is suspected of more where a value cannot be told and others render it', async () => {
    const files = { ...web, Kubefile: kubefile('helm upgrade -i site charts/web --set tag=$TAG') };
    const alone = await find(await contextDirectory(files));
    expect(alone.unresolved.map(({ origin }) => origin.line)).toEqual([7]);
    const root = await contextDirectory({ ...files, 'charts/web.values.yaml': 'tag: beside\n' });
    expect(await references(root)).toEqual(['a.io/site/default:beside']);
    expect((await find(root)).suspects.map(({ text }) => text)).toEqual([
      '--set tag=$TAG',
      'helm template site charts/web',
    ]);
  });
});
