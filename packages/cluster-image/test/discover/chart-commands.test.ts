import { directory } from '@cluster-image/storage';
import { describe, expect, test } from 'vitest';
import { type ChartCommands, findChartCommands } from '../../src/discover/chart-commands.ts';
import { type Rendering, renderCommand } from '../../src/discover/chart-renderings.ts';
import type { ChartSettings } from '../../src/discover/settings.ts';
import { findCommands } from '../../src/kubefile/commands.ts';
import { chartFile } from '../chart-files.ts';
import { contextDirectory, type Given } from '../context.ts';

const webFiles = {
  'charts/web/Chart.yaml': chartFile('web'),
  'charts/db-1.0.0.tgz': '',
  'values/site.yaml': '',
};

interface Has {
  readonly files?: Readonly<Record<string, Given>>;
  readonly settings?: Readonly<Record<string, ChartSettings>>;
  readonly buildArguments?: Readonly<Record<string, string>>;
}

async function read(
  kubefile: string,
  { files = {}, settings = {}, buildArguments = {} }: Has = {},
): Promise<ChartCommands> {
  const root = await contextDirectory({ ...webFiles, Kubefile: kubefile, ...files });
  const tree = directory(root);
  const commands = await findCommands(tree, buildArguments);
  if (!commands) throw new Error('no build file');
  const charts = new Map<string, ChartSettings | undefined>([
    ['charts/web', undefined],
    ['charts/db-1.0.0.tgz', undefined],
    ...Object.entries(settings),
  ]);
  return findChartCommands(tree, commands, charts);
}

/** How charts are rendered, as commands, in order; and what is suspected, with its place. */
async function lines(kubefile: string, has?: Has): Promise<readonly string[]> {
  const { renderings, suspects } = await read(kubefile, has);
  const all = [...renderings].flatMap(([path, each]) =>
    each.map((rendering: Rendering) => renderCommand(path, rendering)),
  );
  return [
    ...all,
    ...suspects.map(({ text, origins: [origin] }) => `? ${text} ${origin?.file}:${origin?.line}`),
  ];
}

const image = (rest: string): string => `FROM scratch\nCOPY . .\n${rest}\n`;

describe('commands of a build file', () => {
  test.each<[string, string, readonly string[]]>([
    [
      'upgrade --install',
      'CMD ["helm upgrade --install web charts/web -n ns --create-namespace --set a=b,c=d --set-string=t=1.10 -f values/site.yaml --wait --timeout 5m"]',
      ['helm template web charts/web -n ns -f values/site.yaml --set a=b,c=d --set-string t=1.10'],
    ],
    ['install', 'CMD ["helm install web ./charts/web/"]', ['helm template web charts/web']],
    [
      'template, without a name too',
      'CMD ["helm template charts/web", "helm template x charts/web --kube-version=1.30 -a v1/Pod,a/v1 | kubectl apply -f -"]',
      [
        'helm template charts/web',
        'helm template x charts/web --kube-version 1.30 -a v1/Pod -a a/v1',
      ],
    ],
    ['a generated name', 'CMD ["helm install -g charts/web"]', ['helm template charts/web']],
    [
      'flags in every place and form',
      'CMD ["helm --debug -nns upgrade -i --set-json \'a={\\"b\\":1}\' web --values=values/site.yaml charts/web --atomic --set-literal x=y"]',
      [
        `helm template web charts/web -n ns -f values/site.yaml --set-json 'a={"b":1}' --set-literal x=y`,
      ],
    ],
    [
      'files as values',
      'CMD ["helm install web charts/web --set-file a=values/site.yaml"]',
      ['helm template web charts/web --set-file a=values/site.yaml'],
    ],
    [
      'a packed chart by a pattern',
      'CMD ["helm upgrade -i db charts/db-*.tgz"]',
      ['helm template db charts/db-1.0.0.tgz'],
    ],
    [
      'several on a line, some only under conditions',
      'CMD ["helm install a charts/web && helm install b charts/web; if ! helm status c; then helm install c charts/web; fi || sudo -E /opt/helm install d charts/web"]',
      ['a', 'b', 'c', 'd'].map((name) => `helm template ${name} charts/web`),
    ],
    [
      'as docker has it',
      'CMD ["helm", "install", "web", "charts/web", "--set", "a=$b"]',
      ["helm template web charts/web --set 'a=$b'"],
    ],
    [
      'with a shell',
      'CMD ["/bin/sh", "-c", "helm install web charts/web"]',
      ['helm template web charts/web'],
    ],
    [
      'in a shell of its own',
      `CMD ["bash -ec 'helm install web charts/web'"]`,
      ['helm template web charts/web'],
    ],
    [
      'without brackets',
      'CMD cd /tmp && helm install web \\\n  charts/web',
      ['helm template web charts/web'],
    ],
    [
      'of an entrypoint, the last that there is, before those of CMD',
      'ENTRYPOINT ["helm install never charts/web"]\nCMD ["helm install last charts/web"]\nENTRYPOINT ["helm install first charts/web"]',
      ['helm template first charts/web', 'helm template last charts/web'],
    ],
    [
      'that install nothing',
      'CMD ["helm repo add a https://a.io", "helm uninstall web", "helm dependency build charts/web", "kubectl apply -f manifests"]',
      [],
    ],
  ])('%s', async (_, text, expected) => {
    expect(await lines(image(text))).toEqual(expected);
  });

  test('have the variables of the build file', async () => {
    const text = image(
      'ARG NAME=web\nARG GIVEN=no\nENV NS=ns OPTS="--set a=b  --set c=d" EMPTY=""\nENV FULL=$NS-x\nCMD ["helm upgrade -i $(NAME) charts/${NAME} -n ${FULL} $OPTS $EMPTY --set x=\\"$OPTS\\",y=${NONE:-z},g=${GIVEN}"]',
    );
    expect(await lines(text, { buildArguments: { GIVEN: 'yes' } })).toEqual([
      "helm template web charts/web -n ns-x --set a=b --set c=d --set 'x=--set a=b  --set c=d,y=z,g=yes'",
    ]);
  });

  test('are those of the last stage and of what it is built upon', async () => {
    const text =
      'FROM scratch AS tools\nCMD ["helm install never charts/web"]\nFROM scratch AS below\nENV NS=ns\nCMD ["helm install web charts/web -n $NS"]\nFROM below\nCOPY . .\n';
    expect(await lines(text)).toEqual(['helm template web charts/web -n ns']);
  });

  test('say nothing of what cannot be told without running them, and that is suspected', async () => {
    const text = image(
      'CMD ["helm upgrade -i $NAME charts/web --set time=$(date) --set tag=$TAG -f $FILE -n \\"$NS\\" --timeout $T --set a=b $OPTS", "helm install x $CHART"]',
    );
    const has = await read(text);
    expect([...has.renderings.values()].flat().map(({ isPartial }) => isPartial)).toEqual([true]);
    expect(await lines(text)).toEqual([
      'helm template charts/web --set a=b',
      '? $OPTS Kubefile:3',
      '? $NAME Kubefile:3',
      '? --set time=$(date) Kubefile:3',
      '? --set tag=$TAG Kubefile:3',
      '? --values $FILE Kubefile:3',
      '? --namespace "$NS" Kubefile:3',
      '? $CHART Kubefile:3',
    ]);
    expect(has.suspects[0]).toEqual({
      text: '$OPTS',
      reason: 'cannot be told without running it; charts/web is rendered without it',
      origins: [{ file: 'Kubefile', line: 3, via: 'helm upgrade' }],
    });
  });

  test.each([
    ['a repository', 'bitnami/redis'],
    ['a registry', 'oci://a.io/charts/redis'],
    ['a server', 'https://a.io/redis-1.0.0.tgz'],
    ['outside the context', '../redis'],
    ['this machine', '/charts/web'],
    ['nowhere', 'charts/none'],
    ['a directory that is none', 'values'],
  ])('with a chart of %s tell that it is missed', async (_, chart) => {
    expect(await lines(image(`CMD ["helm install x ${chart}"]`))).toEqual([
      `? ${chart} Kubefile:3`,
    ]);
  });

  test('find the charts that the configuration has from repositories', async () => {
    const settings = { 'charts/redis.tgz': { repository: 'oci://a.io/charts/' } };
    for (const chart of [
      'oci://a.io/charts/redis',
      'any/redis',
      'redis --repo oci://a.io/charts',
    ]) {
      expect(await lines(image(`CMD ["helm install x ${chart}"]`), { settings })).toEqual([
        'helm template x charts/redis.tgz',
      ]);
    }
    expect(await lines(image('CMD ["helm install x any/other"]'), { settings })).toHaveLength(1);
  });

  test('with values that are no file of the context tell so', async () => {
    const files = { 'out.yaml': { link: '/etc/hostname' } };
    const text = image(
      'CMD ["helm install x charts/web -f https://a.io/v.yaml,out.yaml,values/site.yaml --set-file a=none"]',
    );
    expect(await lines(text, { files })).toEqual([
      'helm template x charts/web -f values/site.yaml',
      '? --values https://a.io/v.yaml Kubefile:3',
      '? --values out.yaml Kubefile:3',
      '? --set-file a=none Kubefile:3',
    ]);
  });
});

describe('scripts of the context', () => {
  const script = (text: string, more: Readonly<Record<string, Given>> = {}) => ({
    files: { 'scripts/init.sh': text, ...more },
  });

  test.each([
    'bash scripts/init.sh',
    'sh -ex ./scripts/init.sh a',
    '. scripts/init.sh',
    'cd scripts && ./init.sh',
    'chmod +x scripts/init.sh && scripts/init.sh',
  ])('are read where a command runs them: %s', async (command) => {
    const has = script('#!/bin/bash\nset -e\n\nhelm install web \\\n  charts/web --set a=b # c\n');
    expect(await lines(image(`CMD ["${command}"]`), has)).toEqual([
      'helm template web charts/web --set a=b',
    ]);
  });

  test('tell the line of what cannot be told, whatever ends it', async () => {
    const has = script(
      '#!/bin/sh\r\n\r\nfor i in 1; do\r\n  helm install web charts/web \\\r\n    --set a=$1\r\ndone\r\n',
    );
    expect(await lines(image('CMD ["sh scripts/init.sh"]'), has)).toEqual([
      'helm template web charts/web',
      '? --set a=$1 scripts/init.sh:4',
    ]);
  });

  test('run others, and take variables from those they read', async () => {
    const has = script('. ./env.sh\nexport NS="$NS-x"\nbash next.sh\n', {
      'scripts/env.sh': 'NS=${NS:-ns}\n',
      'scripts/next.sh':
        'helm install web ../charts/web -n $NS\nhelm install web charts/web -n $NS; bash next.sh\n',
    });
    expect(await lines(image('CMD ["cd scripts; bash init.sh"]'), has)).toEqual([
      'helm template web charts/web -n ns-x',
      'helm template web charts/web -n ns-x',
    ]);
  });

  test('leave out lists, which may be any number of words', async () => {
    const has = script('list=(--set a=b)\nhelm upgrade -i "${list[@]}" web "$@" charts/web $*\n');
    expect(await lines(image('CMD ["bash scripts/init.sh"]'), has)).toEqual([
      'helm template web charts/web',
      '? "${list[@]}" scripts/init.sh:2',
      '? "$@" scripts/init.sh:2',
      '? $* scripts/init.sh:2',
    ]);
  });

  test('have loops over words, and functions with what is known when they end', async () => {
    const has = script(
      'install() { helm install "$1" charts/web -n "$NS" --set f=1; }\nNS=ns\nfor name in a b; do helm install $name charts/$name-*.tgz charts/web; helm install $name charts/web; done\nfor c in charts/*; do helm install x "$c"; done\ninstall\n',
    );
    expect(await lines(image('CMD ["bash scripts/init.sh"]'), has)).toEqual([
      'helm template a charts/web',
      'helm template b charts/web',
      'helm template charts/web -n ns --set f=1',
      '? charts/a-*.tgz scripts/init.sh:3',
      '? charts/b-*.tgz scripts/init.sh:3',
      '? charts/* scripts/init.sh:4',
      '? "$1" scripts/init.sh:1',
    ]);
  });

  test('do not know variables that depend on something', async () => {
    const has = script(
      'A=1\nif x; then A=2; B=3; else helm install a charts/web --set a=$A; fi\nfalse || C=4\nread D\nE=$(date)\nF+=5\nhelm install b charts/web --set a=$A --set b=$B --set c=$C --set d=$D --set e=$E --set f=$F\n',
    );
    const found = await lines(image('CMD ["bash scripts/init.sh"]'), has);
    expect(found.slice(0, 2)).toEqual([
      'helm template a charts/web --set a=1',
      'helm template b charts/web',
    ]);
    expect(found).toHaveLength(8);
  });

  test('that are hostile cost little', async () => {
    const double = Array.from({ length: 60 }, () => 'A="$A$A"').join('\n');
    const loops = Array.from({ length: 12 }, (_, at) => `for i${at} in 1 2 3 4 5 6 7 8 9; do`).join(
      ' ',
    );
    const nested = `${'$('.repeat(5000)}x`;
    const text = `A=x\n${double}\nhelm install a charts/web --set a=$A\n${loops} :; ${'done;'.repeat(12)}\n${nested}\n`;
    const started = performance.now();
    expect(await lines(image('CMD ["bash scripts/init.sh"]'), script(text))).toEqual([
      'helm template a charts/web',
      '? --set a=$A scripts/init.sh:62',
    ]);
    expect(performance.now() - started).toBeLessThan(10_000);
  });

  test('are passed over where they are none, or lead out of the context', async () => {
    const files = {
      'scripts/init.sh': { link: '/etc/profile' },
      'scripts/binary': 'helm install x charts/web\0',
      'scripts/large.sh': 'x'.repeat(1024 * 1024 + 1),
    };
    const text = image(
      'CMD ["bash scripts/init.sh", "scripts/binary", "bash scripts/large.sh", "bash ../../x.sh"]',
    );
    expect(await lines(text, { files })).toEqual([]);
  });
});
