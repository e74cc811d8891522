import { describe, expect, test } from 'vitest';
import { type Application, launchLine } from '../../src/assemble/applications.ts';
import type { Evaluated } from '../../src/assemble/evaluate.ts';
import type { SealerPart } from '../../src/assemble/sealer-image.ts';
import { contextDirectory } from '../context.ts';
import { evaluated, type Given, listing, sourceOf } from './stages.ts';

const dollar = '$';

const context = {
  'yaml/b.yaml': '',
  'yaml/sub/a.YML': '',
  'yaml/sub.yaml': '',
  'shell/b.sh': '',
  'shell/a.sh': '',
  'chart/Chart.yaml': 'name: web',
  'chart/values.yaml': '',
  'chart/templates/a.txt': '',
  'no-values/Chart.yaml': '',
  'no-values/templates/a.yaml': '',
  'amd64/only.yaml': '',
  'arm64/only.sh': '',
  'app.yaml': '',
  'mixed/app.yaml': '',
  'mixed/install.sh': '',
  'text.txt': '',
  'link.yaml': { link: 'yaml/b.yaml' },
  'link-yaml': { link: 'yaml' },
};

async function stageOf(lines: string, given: Given = {}): Promise<Evaluated> {
  const source = await sourceOf(await contextDirectory(context));
  return evaluated(`FROM scratch\n${lines}`, { source, ...given });
}

async function applicationsOf(lines: string, given?: Given) {
  const { sealer } = await stageOf(lines, given);
  return [...sealer.applications.values()];
}

describe('an application', () => {
  test('has its files in a directory of its own', async () => {
    const { files } = await stageOf('WORKDIR /x\nAPP web local://yaml local://app.yaml');
    expect(listing(files)).toEqual([
      'd 755 /application',
      'd 755 /application/apps',
      'd 755 /application/apps/web',
      'f 644 /application/apps/web/app.yaml',
      'f 644 /application/apps/web/b.yaml',
      'd 755 /application/apps/web/sub',
      'f 644 /application/apps/web/sub.yaml',
      'f 644 /application/apps/web/sub/a.YML',
      'd 755 /x',
    ]);
  });

  test.each<[string, string | undefined, readonly string[] | undefined]>([
    ['local://yaml', 'kube', ['/b.yaml', '/sub/a.YML', '/sub.yaml']],
    ['local://./yaml/', 'kube', ['/b.yaml', '/sub/a.YML', '/sub.yaml']],
    ['local://link-yaml', 'kube', ['/b.yaml', '/sub/a.YML', '/sub.yaml']],
    ['local://app.yaml local://yaml/sub', 'kube', ['app.yaml', '/a.YML']],
    ['local://shell', 'shell', ['/a.sh', '/b.sh']],
    ['local://shell/b.sh local://shell', 'shell', ['b.sh']],
    ['local://chart', 'helm', ['web']],
    ['local://text.txt local://chart', 'helm', ['web']],
    ['local://no-values', 'helm', ['web']],
    [`local://${dollar}{ARCH}`, 'kube', ['/only.yaml']],
    ['local://$ARCH/only.yaml', 'kube', ['only.yaml']],
  ])('is what its files are: %s', async (sources, type, files) => {
    expect(await applicationsOf(`APP web ${sources}`)).toEqual([
      { name: 'web', version: 'v1', type, files, env: undefined, cmds: undefined },
    ]);
  });

  test.each(['mixed', 'text.txt', 'app.yaml local://shell'])(
    'needs commands where its files are all sorts: %s',
    async (path) => {
      await expect(applicationsOf(`APP web local://${path}`)).rejects.toMatchObject({
        code: 'INPUT_INVALID',
        message: 'Kubefile:2: nothing says how application web is launched',
        hint: expect.stringContaining('APPCMDS web ['),
      });
      const [told] = await applicationsOf(`APP web local://${path}\nAPPCMDS web ["a", "b"]`);
      expect(told).toMatchObject({ name: 'web', cmds: ['a', 'b'] });
      expect(told).not.toHaveProperty('type');
    },
  );

  test('is another on another platform', async () => {
    const [application] = await applicationsOf('APP web local://$ARCH', {
      platform: 'linux/arm64',
    });
    expect(application).toMatchObject({ type: 'shell', files: ['/only.sh'] });
  });

  test('has variables, the last of a name, and the last commands', async () => {
    const [application] = await applicationsOf(
      'APP web local://yaml\nAPPENV web A=1 B=$x\nAPPENV web A="2"\nAPPCMDS web ["a"]\nAPPCMDS web ["b"]',
    );
    expect(application).toMatchObject({ env: { A: '"2"', B: '$x' }, cmds: ['b'] });
  });

  test('of the image below is replaced by one of its name, and can be told more', async () => {
    const sealer: SealerPart = {
      isMeant: true,
      applications: new Map<string, Application>([
        ['web', { name: 'web', version: 'v1', type: 'helm', env: { A: '1' } }],
        ['db', { name: 'db', version: 'v1', type: 'shell', env: { A: '1', B: '1' } }],
      ]),
      environment: new Map(),
      launched: [],
      commands: [],
      lines: [],
      images: [],
    };
    const start = { config: {}, files: new Map(), sealer };
    const applications = await applicationsOf('APP web local://yaml/sub\nAPPENV db A=2', { start });
    expect(applications).toEqual([
      { name: 'web', version: 'v1', type: 'kube', files: ['/a.YML'] },
      { name: 'db', version: 'v1', type: 'shell', env: { A: '2' } },
    ]);
  });

  test.each([
    ['APP web local://gone', 'there is no gone in the context'],
    ['APP web local://../yaml/gone', 'there is no ../yaml/gone in the context'],
    ['APP web local://app.yaml\nAPP web local://yaml', 'there is an application web already'],
    ['APP web local://app.yaml\nCNI web local://yaml', 'there is an application web already'],
    ['APPENV web A=1', 'there is no application "web"'],
    ['APPCMDS web ["a"]', 'there is no application "web"'],
    ['APP web local://yaml\nLAUNCH web db', 'there is no application "db"'],
    ['LAUNCH __proto__', 'there is no application "__proto__"'],
    ['APP', 'APP says nothing'],
    ['KUBEVERSION', 'KUBEVERSION says nothing'],
  ])('that is none names its line: %j', async (lines, why) => {
    const line = 1 + lines.split('\n').length;
    await expect(stageOf(lines)).rejects.toMatchObject({
      code: 'INPUT_INVALID',
      message: `Kubefile:${line}: ${why}`,
    });
  });
});

test('networks, storages and versions are labels', async () => {
  const { config, sealer } = await stageOf(
    'CNI calico local://yaml\nCSI disk local://app.yaml\nKUBEVERSION ">=1.22 <1.25"',
  );
  expect(config.Labels).toEqual({
    'cluster.alpha.sealer.io/kube-cni-calico': 'true',
    'cluster.alpha.sealer.io/kube-csi-disk': 'true',
    'app.alpha.sealer.io/supported-kube-version': '>=1.22 <1.25',
  });
  expect([...sealer.applications.keys()]).toEqual(['calico', 'disk']);
});

describe('what is launched', () => {
  const applications =
    'APP a local://yaml/sub\nAPP b local://chart\nAPP c local://shell\nAPP d local://mixed\nAPPCMDS d ["x y", "z"]\n';

  test('are applications, as lines for the shell as well', async () => {
    const { config, sealer } = await stageOf(`${applications}LAUNCH ["c", "a", "b", "d"]`);
    expect([sealer.launched, sealer.commands]).toEqual([['c', 'a', 'b', 'd'], []]);
    expect(config.Cmd).toEqual([
      'bash application/apps/c/a.sh && bash application/apps/c/b.sh',
      'kubectl apply -f application/apps/a/a.YML',
      'helm install b application/apps/b/',
      'cd application/apps/d/ && x y z',
    ]);
  });

  test('are commands', async () => {
    const { config, sealer } = await stageOf('CMDS ["a b", "c"]');
    expect([sealer.launched, sealer.commands, config.Cmd]).toEqual([
      [],
      ['a b', 'c'],
      ['a b', 'c'],
    ]);
  });

  test('is every CMD, which is the last one to others', async () => {
    const { config, sealer } = await stageOf('CMD helm list\nCMD ["a b", "c"]');
    expect([sealer.commands, config.Cmd, sealer.isMeant]).toEqual([
      ['helm list', 'a b', 'c'],
      ['a b', 'c'],
      false,
    ]);
  });

  test('is nothing where there is nothing to launch', () => {
    expect(launchLine({ name: 'a', version: 'v1' })).toBeUndefined();
    expect(launchLine({ name: 'a', version: 'v1', type: 'kube' })).toBeUndefined();
  });
});

test('the architecture is told to what is copied, unless it is said otherwise', async () => {
  const at = async (lines: string) => listing((await stageOf(lines)).files);
  expect(await at(`COPY ${dollar}{ARCH}/ .`)).toEqual(['f 644 /only.yaml']);
  expect(await at('ARG ARCH=arm64\nCOPY $ARCH/ .')).toEqual(['f 644 /only.sh']);
  expect((await stageOf('ENV x=$ARCH')).config.Env).toEqual(['x=']);
});

test('an instruction that cannot be followed is passed over where that is asked for', async () => {
  const lines =
    'COPY gone there\nRUN x\nAPP web local://gone\nAPP db local://mixed\nCOPY app.yaml .\nFOO bar';
  const { files, sealer } = await stageOf(lines, { isLenient: true });
  expect(listing(files).filter((line) => line.startsWith('f'))).toEqual([
    'f 644 /app.yaml',
    'f 644 /application/apps/db/app.yaml',
    'f 644 /application/apps/db/install.sh',
  ]);
  expect([...sealer.applications.keys()]).toEqual(['db']);
});
