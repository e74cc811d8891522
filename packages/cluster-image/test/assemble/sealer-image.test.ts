import { parsePlatform } from '@cluster-image/oci';
import { describe, expect, test } from 'vitest';
import type { Application } from '../../src/assemble/applications.ts';
import {
  extensionAnnotation,
  imagesAnnotation,
  type SealerPart,
  sealerAnnotations,
  sealerBase,
} from '../../src/assemble/sealer-image.ts';
import { contextDirectory } from '../context.ts';
import { evaluated, sourceOf } from './stages.ts';

const amd64 = parsePlatform('linux/amd64');

const nothing: SealerPart = {
  isMeant: true,
  applications: new Map(),
  environment: new Map(),
  launched: [],
  commands: [],
  lines: [],
  images: [],
};

const parsed = (annotations: Readonly<Record<string, string>>, name: string): unknown =>
  JSON.parse(annotations[name] ?? 'null');

/** As sealer 0.11 writes and prints it, applications in the order of the build file. */
const sealersOwn = {
  schemaVersion: 'v1alpha1',
  type: 'app-installer',
  applications: [
    {
      name: 'yamlapp',
      type: 'kube',
      files: ['/b.yaml', '/sub/a.yml'],
      version: 'v1',
      env: { X: '9', Y: '"2"', Z: "'3'" },
    },
    { name: 'shellapp', type: 'shell', files: ['/a.sh', '/b.sh'], version: 'v1' },
    { name: 'mixedapp', version: 'v1', cmds: ['kubectl apply -f app.yaml', '&& true'] },
    { name: 'two', type: 'kube', files: ['app.yaml', '/a.yml'], version: 'v1' },
    { name: 'calico', type: 'helm', files: ['calico'], version: 'v1' },
    { name: 'disk', type: 'kube', files: ['app.yaml'], version: 'v1' },
  ],
  env: { A: '1', B: '2' },
  launch: { app_names: ['mixedapp', 'shellapp', 'calico', 'two'] },
};

test('the annotations of a build file are those that sealer writes', async () => {
  const context = await contextDirectory({
    'yamlcontext/b.yaml': '',
    'yamlcontext/sub/a.yml': '',
    'shellcontext/a.sh': '',
    'shellcontext/b.sh': '',
    'mixed/app.yaml': '',
    'app.yaml': '',
    'chart/Chart.yaml': '',
    'chart/values.yaml': '',
    'chart/templates/pod.yaml': '',
  });
  const { sealer } = await evaluated(
    `FROM scratch
ENV B=2 A=1
APP yamlapp local://yamlcontext
APP shellapp local://shellcontext
APP mixedapp local://shellcontext/a.sh local://mixed
APP two local://app.yaml local://yamlcontext/sub
CNI calico local://chart
CSI disk local://app.yaml
KUBEVERSION 1.22.15
APPENV yamlapp X=1 Y="2" Z='3'
APPENV yamlapp X=9
APPCMDS mixedapp ["kubectl apply -f app.yaml", "&& true"]
LAUNCH ["mixedapp","shellapp","calico","two"]`,
    { source: await sourceOf(context) },
  );
  const { buildClient, ...extension } = Object(
    parsed(sealerAnnotations(sealer, 'app-installer', [], amd64), extensionAnnotation),
  );
  expect(extension).toEqual(sealersOwn);
  expect(buildClient).toEqual({ sealerVersion: 'cluster-image', buildahVersion: '' });
});

test('the same is said in the same bytes', () => {
  const part: SealerPart = {
    ...nothing,
    applications: new Map<string, Application>([
      ['b', { name: 'b', version: 'v1', type: 'helm', files: ['b'], env: { Z: '1', A: '2' } }],
      ['a', { name: 'a', version: 'v1', cmds: ['x'], env: {}, files: [] }],
    ]),
    environment: new Map([
      ['Y', '<1>'],
      ['X', '2'],
    ]),
    commands: ['y'],
  };
  const images = [
    { image: 'docker.io/library/nginx:1', application: 'b' },
    { image: 'docker.io/library/nginx:1' },
    { image: 'a.io/x:1', application: 'a' },
    { image: 'docker.io/library/nginx:1', application: 'b' },
  ];
  const platform = parsePlatform('linux/arm/v6');
  expect(sealerAnnotations(part, 'kube-installer', images, platform)).toEqual({
    'sealer.image.extension':
      '{"buildClient":{"sealerVersion":"cluster-image","buildahVersion":""},"schemaVersion":"v1alpha1","type":"kube-installer",' +
      '"applications":[{"name":"b","type":"helm","files":["b"],"version":"v1","env":{"A":"2","Z":"1"}},{"name":"a","version":"v1","cmds":["x"]}],' +
      '"env":{"X":"2","Y":"<1>"},"launch":{"cmds":["y"]}}',
    'sealer.image.container.images':
      '[{"image":"a.io/x:1","appName":"a","platform":{"architecture":"arm","os":"linux","variant":"v6"}},' +
      '{"image":"docker.io/library/nginx:1","platform":{"architecture":"arm","os":"linux","variant":"v6"}},' +
      '{"image":"docker.io/library/nginx:1","appName":"b","platform":{"architecture":"arm","os":"linux","variant":"v6"}}]',
  });
});

test('an image with nothing inside says little', () => {
  expect(sealerAnnotations(nothing, 'kube-installer', [], amd64)).toEqual({
    'sealer.image.extension':
      '{"buildClient":{"sealerVersion":"cluster-image","buildahVersion":""},"schemaVersion":"v1alpha1","type":"kube-installer","launch":{}}',
  });
});

describe('a base', () => {
  test('gives its applications and images, and not what it launches', () => {
    const base = sealerBase(
      {
        [extensionAnnotation]: JSON.stringify({ ...sealersOwn, buildClient: {}, other: 1 }),
        [imagesAnnotation]: JSON.stringify([
          { image: 'a.io/x:1', appName: 'two', platform: { os: 'linux' } },
          { image: 'a.io/y:1', appName: '', platform: null },
        ]),
      },
      'a.io/base:1',
    );
    if (!base) throw new Error('none');
    expect(base).toMatchObject({ isMeant: true, launched: [], commands: [] });
    expect(base.environment.size).toBe(0);
    const annotations = sealerAnnotations(
      base,
      'app-installer',
      [{ image: 'a.io/x:1', application: 'two' }],
      amd64,
    );
    expect(parsed(annotations, extensionAnnotation)).toMatchObject({
      applications: sealersOwn.applications,
    });
    const platform = { architecture: 'amd64', os: 'linux' };
    expect(parsed(annotations, imagesAnnotation)).toEqual([
      { image: 'a.io/x:1', appName: 'two', platform },
      { image: 'a.io/y:1', platform },
    ]);
  });

  test('that left out what may be left out is one', () => {
    const base = sealerBase({ [extensionAnnotation]: '{"applications":null,"launch":{}}' }, 'base');
    expect(base?.applications.size).toBe(0);
  });

  test.each([
    ['another image', { other: '{}' }],
    ['an image that says nothing', { [extensionAnnotation]: '' }],
  ])('is none: %s', (_, annotations) => {
    expect(sealerBase(annotations, 'base')).toBeUndefined();
  });

  test.each([
    [extensionAnnotation, { [extensionAnnotation]: '{' }],
    [extensionAnnotation, { [extensionAnnotation]: '{"applications":[{}]}' }],
    [extensionAnnotation, { [extensionAnnotation]: '{"applications":[{"name":"a","type":"x"}]}' }],
    [imagesAnnotation, { [extensionAnnotation]: '{}', [imagesAnnotation]: '[1]' }],
  ])('that cannot be read is named: %s', (name, annotations) => {
    expect(() => sealerBase(annotations, 'a.io/base:1')).toThrow(
      expect.objectContaining({
        code: 'MANIFEST_INVALID',
        message: `a.io/base:1: its annotation ${name} cannot be read`,
      }),
    );
  });
});
