import { describe, expect, test } from 'vitest';
import { parseKubefile, scopeOf } from '../../src/kubefile/kubefile.ts';
import {
  readApp,
  readAppCommands,
  readAppEnvironment,
  readCommands,
  readLaunch,
  requireLaunchAtEnd,
  sealerKeywords,
} from '../../src/kubefile/sealer.ts';

const reads = {
  APP: readApp,
  APPENV: readAppEnvironment,
  APPCMDS: readAppCommands,
  LAUNCH: readLaunch,
  CMDS: readCommands,
} as const;

/** What the last instruction of a build file says. */
function said(lines: string): unknown {
  const kubefile = parseKubefile('Kubefile', `FROM scratch\n${lines}`);
  const instruction = kubefile.instructions.at(-1);
  const read = Object.entries(reads).find(([keyword]) => keyword === instruction?.keyword)?.[1];
  if (!instruction || !read) throw new Error('not one of them');
  return read(
    instruction.text,
    scopeOf(kubefile, instruction, () => undefined),
  );
}

test('there are eight instructions that only sealer has', () => {
  expect([...sealerKeywords].sort()).toEqual([
    'APP',
    'APPCMDS',
    'APPENV',
    'CMDS',
    'CNI',
    'CSI',
    'KUBEVERSION',
    'LAUNCH',
  ]);
});

describe('an instruction is read', () => {
  test.each<[string, unknown]>([
    ['APP web local://web', { name: 'web', sources: ['web'] }],
    ['app web local://a/ local://./b.yaml', { name: 'web', sources: ['a/', './b.yaml'] }],
    ['APP web local://a \\\n  # more\n  local://b', { name: 'web', sources: ['a', 'b'] }],
    ['APP ["web", "local://a b"]', { name: 'web', sources: ['a b'] }],
    ['APP w.e-b_1 local://$ARCH', { name: 'w.e-b_1', sources: ['$ARCH'] }],
    [
      'APPENV web A=1 B="x" C=a=b D=',
      {
        name: 'web',
        pairs: [
          ['A', '1'],
          ['B', '"x"'],
          ['C', 'a=b'],
          ['D', ''],
        ],
      },
    ],
    ['APPENV ["web", "A=b c"]', { name: 'web', pairs: [['A', 'b c']] }],
    ['APPCMDS web ["a b", "&& c"]', { name: 'web', commands: ['a b', '&& c'] }],
    ['LAUNCH web db', ['web', 'db']],
    ['LAUNCH ["web", " db "]', ['web', 'db']],
    ['CMDS ["a b", "c"]', ['a b', 'c']],
  ])('%s', (lines, expected) => {
    expect(said(lines)).toEqual(expected);
  });
});

describe('what sealer would not understand names its line', () => {
  test.each([
    ['APP web', 'application web has no files'],
    ['APP ["web"]', 'application web has no files'],
    ['APP local://web', '"local://web" is not the name of an application'],
    ['APP ../web local://a', '"../web" is not the name of an application'],
    ['APP a/b local://a', '"a/b" is not the name of an application'],
    ['APP .. local://a', '".." is not the name of an application'],
    ['APP -f local://a', '"-f" is not the name of an application'],
    ['APP a;b local://a', '"a;b" is not the name of an application'],
    ['APP [1] local://a', '"[1]" is not the name of an application'],
    ['APP web ./a', './a is not local://PATH'],
    ['APP web local://', 'local:// is not local://PATH'],
    ['APP web oss://a/b', 'oss://a/b is not local://PATH'],
    ['APP web LOCAL://a', 'LOCAL://a is not local://PATH'],
    ['APP web local://*.yaml', 'local://*.yaml is a pattern'],
    ['APPENV web', 'not APPENV name NAME=VALUE…'],
    ['APPENV web A', '"A" is not NAME=VALUE'],
    ['APPENV web A="b c"', '"c\\"" is not NAME=VALUE'],
    ['APPENV web =1', '"=1" is not NAME=VALUE'],
    ['APPCMDS web', 'not APPCMDS name ["command", …]'],
    ['APPCMDS web kubectl apply', 'not APPCMDS name ["command", …]'],
    ['APPCMDS web []', 'not APPCMDS name ["command", …]'],
    ['APPCMDS web [1]', 'not APPCMDS name ["command", …]'],
    ["APPCMDS web ['a']", 'not APPCMDS name ["command", …]'],
    ['APPCMDS ["a"]', 'not APPCMDS name ["command", …]'],
    ["LAUNCH ['web']", 'not LAUNCH name… or LAUNCH ["name", …]'],
    ['LAUNCH []', 'not LAUNCH name… or LAUNCH ["name", …]'],
    ['LAUNCH ["web"', 'not LAUNCH name… or LAUNCH ["name", …]'],
    ['CMDS kubectl apply', 'not CMDS ["command", …]'],
    ['CMDS [kubectl]', 'not CMDS ["command", …]'],
    ['CMDS []', 'not CMDS ["command", …]'],
  ])('%s', (line, why) => {
    expect(() => said(`\n${line}`)).toThrow(
      expect.objectContaining({ code: 'INPUT_INVALID', message: `Kubefile:3: ${why}` }),
    );
  });

  test.each(['http://a.io/x.yaml', 'https://a.io/x.yaml'])('%s is not fetched', (url) => {
    expect(() => said(`APP web local://a ${url}`)).toThrow(
      expect.objectContaining({
        code: 'UNSUPPORTED',
        message: `Kubefile:2: ${url} would have to be fetched during the build`,
        hint: expect.stringContaining('local://PATH'),
      }),
    );
  });
});

describe('what launches comes last', () => {
  const require = (lines: string): void =>
    requireLaunchAtEnd(parseKubefile('Kubefile', `FROM scratch\n${lines}`));

  test.each([
    ['LAUNCH a\nCOPY a b', 'Kubefile:2: LAUNCH is not the last instruction'],
    ['CMDS ["a"]\nLAUNCH a', 'Kubefile:2: CMDS is not the last instruction'],
    ['LAUNCH a\nCMDS ["a"]', 'Kubefile:2: LAUNCH is not the last instruction'],
    ['LAUNCH a\nLAUNCH b', 'Kubefile:2: LAUNCH is not the last instruction'],
    ['LAUNCH a\nFROM scratch', 'Kubefile:2: LAUNCH is not the last instruction'],
    ['CMD a\nENV a=b\nLAUNCH b', 'Kubefile:2: CMD stands beside LAUNCH in line 4'],
  ])('%j', (lines, message) => {
    expect(() => require(lines)).toThrow(
      expect.objectContaining({ code: 'INPUT_INVALID', message }),
    );
  });

  test.each(['LAUNCH a\n# the end\n', 'CMD a\nCMDS ["b"]', 'CMD a\nCMD b', 'APP a local://b'])(
    '%j is fine',
    (lines) => {
      expect(() => require(lines)).not.toThrow();
    },
  );
});
