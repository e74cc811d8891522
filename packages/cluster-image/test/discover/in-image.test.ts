import { parsePlatform } from '@cluster-image/oci';
import { directory } from '@cluster-image/storage';
import { describe, expect, test } from 'vitest';
import { discover } from '../../src/discover/discover.ts';
import type { Discovery } from '../../src/discover/discovery.ts';
import { helmTemplate } from '../../src/helm.ts';
import { chartFile, packedChart, pod } from '../chart-files.ts';
import { contextDirectory, type Given } from '../context.ts';

const dollar = '$';

async function find(
  files: Readonly<Record<string, Given>>,
  options: {
    readonly platforms?: readonly string[];
    readonly arguments?: Record<string, string>;
  } = {},
): Promise<Discovery> {
  const root = await contextDirectory(files);
  const environment = { cwd: root, variables: process.env };
  return discover(directory(root), {
    render: helmTemplate(root, environment, new AbortController().signal),
    kustomize: async () => ({ type: 'failed', reason: 'not expected' }),
    platforms: (options.platforms ?? ['linux/amd64']).map(parsePlatform),
    buildArguments: options.arguments ?? {},
  });
}

/** `reference file:line application`, in order. */
async function images(...given: Parameters<typeof find>): Promise<readonly string[]> {
  const { images, suspects, unresolved } = await find(...given);
  expect([suspects, unresolved]).toEqual([[], []]);
  return images.flatMap(({ reference, origins }) =>
    origins.map(({ file, line, application }) =>
      [reference, `${file}:${line ?? ''}`, application].filter(Boolean).join(' '),
    ),
  );
}

const chartAt = (path: string, template = '{{ .Values.image }}') => ({
  [`${path}/Chart.yaml`]: chartFile('web'),
  [`${path}/values.yaml`]: 'image: a.io/own:1\n',
  [`${path}/templates/pod.yaml`]: pod(template),
});

describe('what the build file copies to where manifests are', () => {
  test('is searched, wherever it was before', async () => {
    expect(
      await images({
        Kubefile:
          'FROM scratch\nCOPY deploy/ manifests/\nCOPY list manifests/imageList\nCOPY other.yaml etc/\n',
        'deploy/deep/a.yaml': 'image: a.io/a:1',
        'deploy/b.yaml.tmpl': '{{ if .x }}\nimage: a.io/b:1\n{{ end }}',
        'deploy/c.txt': 'image: a.io/none:1',
        list: '# all of them\n\n"a.io/list:1" # one\na.io/list:2\n',
        'other.yaml': 'image: a.io/none:1',
      }),
    ).toEqual([
      'a.io/a:1 deploy/deep/a.yaml:1',
      'a.io/b:1 deploy/b.yaml.tmpl:2',
      'a.io/list:1 list:3',
      'a.io/list:2 list:4',
    ]);
  });

  test('is searched once where it is searched anyway', async () => {
    const files = {
      'manifests/a.yaml': 'image: a.io/a:1',
      'manifests/imageList': 'a.io/list:1',
      'charts/web.values.yaml': 'image: a.io/given:1',
      ...chartAt('charts/web'),
    };
    const expected = [
      'a.io/a:1 manifests/a.yaml:1',
      'a.io/given:1 charts/web/templates/pod.yaml:7',
      'a.io/list:1 manifests/imageList:1',
    ];
    expect(await images(files)).toEqual(expected);
    expect(await images({ ...files, Kubefile: 'FROM scratch\nCOPY . .\n' })).toEqual(expected);
  });

  test('is what the build arguments, platforms and stages make it', async () => {
    const files = {
      Kubefile: `FROM scratch AS all\nARG set=one\nCOPY $set/ /x/\nFROM scratch\nCOPY --from=all /x manifests\nCOPY ${dollar}{ARCH}.yaml manifests/arch.yaml\n`,
      'one/a.yaml': 'image: a.io/one:1',
      'two/a.yaml': 'image: a.io/two:1',
      'amd64.yaml': 'image: a.io/amd:1',
      'arm64.yaml': 'image: a.io/arm:1',
    };
    expect(await images(files)).toEqual(['a.io/amd:1 amd64.yaml:1', 'a.io/one:1 one/a.yaml:1']);
    expect(
      await images(files, {
        platforms: ['linux/amd64', 'linux/arm64'],
        arguments: { set: 'two' },
      }),
    ).toEqual(['a.io/amd:1 amd64.yaml:1', 'a.io/arm:1 arm64.yaml:1', 'a.io/two:1 two/a.yaml:1']);
  });

  test('may be written in the build file, and links are followed', async () => {
    expect(
      await images({
        Kubefile:
          'FROM scratch\nCOPY <<EOF manifests/a.yaml\nimage: a.io/here:1\nEOF\nCOPY linked manifests/\n',
        'linked/link.yaml': { link: 'real.yaml' },
        'linked/real.yaml': 'image: a.io/real:1',
      }),
    ).toEqual(['a.io/here:1 Kubefile:1', 'a.io/real:1 linked/real.yaml:1']);
  });

  test('is what is left of it when something cannot be copied', async () => {
    expect(
      await images({
        Kubefile:
          'FROM scratch\nCOPY registry ./registry\nRUN make\nCOPY --from=other /a /b\nCOPY deploy manifests\n',
        'deploy/a.yaml': 'image: a.io/a:1',
      }),
    ).toEqual(['a.io/a:1 deploy/a.yaml:1']);
  });

  test('is not what the ignore file holds back', async () => {
    const files = {
      Kubefile: 'FROM scratch\nCOPY deploy manifests\n',
      '.dockerignore': 'deploy/b.yaml\n',
      'deploy/a.yaml': 'image: a.io/a:1',
      'deploy/b.yaml': 'image: a.io/b:1',
    };
    expect(await images(files)).toEqual(['a.io/a:1 deploy/a.yaml:1']);
  });
});

describe('a chart that the build file copies', () => {
  test('is rendered, with the values that are laid over its own', async () => {
    const files = {
      ...chartAt('deploy/web'),
      'values.yaml': 'image: a.io/over:1\n',
      'deploy/Kubefile': '',
    };
    expect(await images({ ...files, Kubefile: 'FROM scratch\nCOPY deploy charts\n' })).toEqual([
      'a.io/own:1 deploy/web/templates/pod.yaml:7',
    ]);
    expect(
      await images({
        ...files,
        Kubefile:
          'FROM scratch\nCOPY deploy/web charts/deep/web\nCOPY values.yaml charts/deep/web/\n',
      }),
    ).toEqual(['a.io/over:1 deploy/web/templates/pod.yaml:7']);
  });

  test('may be packed', async () => {
    expect(
      await images({
        Kubefile: 'FROM scratch\nCOPY web-1.tgz charts/\n',
        'web-1.tgz': await packedChart('packed', {
          'Chart.yaml': chartFile('web'),
          'templates/pod.yaml': pod('a.io/packed:1'),
        }),
      }),
    ).toEqual(['a.io/packed:1 web-1.tgz:']);
  });

  test('that is put together in the image is told of', async () => {
    const { unresolved } = await find({
      ...chartAt('.'),
      Kubefile: 'FROM scratch\nCOPY . charts/web/\n',
    });
    expect(unresolved).toEqual([
      {
        text: '',
        reason: 'a chart that is put together in the image, and cannot be rendered before',
        origin: { file: 'Chart.yaml' },
      },
    ]);
  });
});

describe('an application', () => {
  test('has the images of its manifests', async () => {
    expect(
      await images({
        Kubefile:
          'FROM scratch\nAPP web local://deploy local://manifests/b.yaml\nAPP tool local://tool\nAPPCMDS tool ["./run"]\nLAUNCH web tool\n',
        'deploy/a.yaml': 'image: a.io/a:1',
        'manifests/b.yaml': 'image: a.io/b:1',
        'tool/run': 'image: a.io/none:1',
        'tool/deep/c.yml.tmpl': 'image: a.io/c:1',
      }),
    ).toEqual([
      'a.io/a:1 deploy/a.yaml:1 web',
      'a.io/b:1 manifests/b.yaml:1',
      'a.io/b:1 manifests/b.yaml:1 web',
      'a.io/c:1 tool/deep/c.yml.tmpl:1 tool',
    ]);
  });

  test('that is a chart is rendered under its own name, its templates are no manifests', async () => {
    expect(
      await images({
        Kubefile: 'FROM scratch\nCNI net local://charts/web\n',
        ...chartAt('charts/web', 'a.io/{{ .Release.Name }}:1'),
      }),
    ).toEqual([
      'a.io/dryrun:1 charts/web/templates/pod.yaml:7',
      'a.io/net:1 charts/web/templates/pod.yaml:7 net',
    ]);
  });

  test('may have charts among other files, packed ones too', async () => {
    expect(
      await images({
        Kubefile: 'FROM scratch\nAPP web local://bundle\nAPPCMDS web ["sh install.sh"]\n',
        'bundle/install.sh': 'helm install',
        'bundle/other.tgz': await packedChart('other', { 'README.md': '' }),
        'bundle/broken.tgz': 'none',
        'bundle/packed.tgz': await packedChart('packed', {
          'Chart.yaml': chartFile('packed'),
          'templates/pod.yaml': pod('a.io/packed:1'),
        }),
        ...chartAt('bundle/chart'),
      }),
    ).toEqual([
      'a.io/own:1 bundle/chart/templates/pod.yaml:7 web',
      'a.io/packed:1 bundle/packed.tgz: web',
    ]);
  });

  test('may lie in the context as it will in the image', async () => {
    expect(
      await images({
        Kubefile: 'FROM scratch\nCOPY . .\n',
        'application/apps/web/a.yaml': 'image: a.io/a:1',
        'application/apps/none.yaml': 'image: a.io/none:1',
        'application/none/a.yaml': 'image: a.io/none:1',
      }),
    ).toEqual(['a.io/a:1 application/apps/web/a.yaml:1 web']);
  });
});

describe('a chart that is installed by the commands of a build file of sealer', () => {
  const files = {
    ...chartAt('chart', 'a.io/{{ .Release.Name }}:{{ .Values.image }}'),
    'prod.yaml': 'image: prod\n',
  };

  test('is rendered so: APPCMDS, in the directory of the application', async () => {
    expect(
      await images({
        ...files,
        Kubefile:
          'FROM scratch\nAPP web local://chart local://prod.yaml\nAPPCMDS web ["helm", "upgrade", "-i", "site", ".", "-f", "prod.yaml"]\nLAUNCH web\n',
      }),
    ).toEqual(['a.io/site:prod chart/templates/pod.yaml:7 web']);
  });

  test('is rendered so: scripts that are launched', async () => {
    expect(
      await images({
        ...files,
        Kubefile:
          'FROM scratch\nENV RELEASE=site\nAPP web local://all.sh local://deploy\nAPPCMDS web ["bash", "all.sh"]\n',
        'all.sh': '#!/bin/bash\ncd web && helm install $RELEASE . --set image=set\n',
        ...chartAt('deploy/web', 'a.io/{{ .Release.Name }}:{{ .Values.image }}'),
      }),
    ).toEqual(['a.io/site:set deploy/web/templates/pod.yaml:7 web']);
  });

  test('is rendered so: CMDS, wherever the chart is copied to', async () => {
    expect(
      await images({
        ...files,
        Kubefile:
          'FROM scratch\nCOPY chart opt/web\nCOPY prod.yaml etc/values.yaml\nCMDS ["helm install site opt/web --values etc/values.yaml"]\n',
      }),
    ).toEqual(['a.io/site:prod chart/templates/pod.yaml:7']);
  });

  test('is doubted where it is not in the image', async () => {
    const { suspects } = await find({
      Kubefile: 'FROM scratch\nAPP web local://run.sh\n',
      'run.sh': 'true\nhelm install site ./gone\n',
    });
    expect(suspects).toMatchObject([{ text: './gone', origins: [{ file: 'run.sh', line: 2 }] }]);
  });
});

test('without a build file nothing is copied', async () => {
  expect(await images({ 'application/apps/web/a.yaml': 'image: a.io/a:1' })).toEqual([]);
});
